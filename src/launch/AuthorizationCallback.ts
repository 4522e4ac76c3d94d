/**
 * What came back to the redirect URI, taken whole and judged before a word of it is believed (SMART App Launch 2.2, requirements 4, 5, 60 and 61;
 * RFC 6749, section 4.1.2; RFC 9207). Pure.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { equal } from "../base/ConstantTime.js"
import * as Url from "../base/Url.js"
import { safeText } from "../http/Redaction.js"
import { AuthorizationError } from "./AuthorizationError.js"
import type { PendingAuthorization } from "./PendingAuthorization.js"
import * as RedirectUri from "./RedirectUri.js"

/**
 * The callback's URL, its query, or its parameters: what a framework hands over. `UrlParams` of `@effect/platform` and `URLSearchParams` fit, and so do
 * the fields of a callback that was posted as a form.
 *
 * @since 0.1.0
 * @category models
 */
export type Callback =
  | URL
  | string
  | Iterable<readonly [string, string]>
  | Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

const isPair = (value: unknown): value is readonly [string, string] =>
  Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string"

/**
 * The parameters, doubled ones as often as they stand there. A framework that reads `state[a]=b` as an object is taken at its word: that is no callback.
 *
 * @internal
 */
export const pairsOf = (callback: Callback): ReadonlyArray<readonly [string, string]> | undefined => {
  if (typeof callback === "string") {
    const mark = callback.indexOf("?")
    // A URL, or a path with a query as a request line has it; or a query alone, which may hold a question mark.
    const isQuery = mark < 0
      ? callback.includes("=") && Url.parse(callback) === undefined
      : !/^[^=]*\?|^\//.test(callback) && Url.parse(callback) === undefined
    if (mark < 0 && !isQuery) return undefined
    return Array.from(new URLSearchParams(isQuery ? callback : callback.slice(mark + 1).replace(/#.*$/s, "")))
  }
  if (callback instanceof URL) return Array.from(callback.searchParams)
  const pairs: ReadonlyArray<unknown> = Symbol.iterator in callback
    ? Array.from<unknown>(callback)
    : Object.entries(callback).flatMap(([name, value]) =>
      value === undefined
        ? []
        : Array.isArray(value)
        ? value.map((one: unknown) => [name, one])
        : [[name, value]]
    )
  return pairs.every(isPair) ? pairs : undefined
}

const JUDGED = ["state", "code", "error", "error_description", "error_uri", "iss"] as const

/** Values of a parameter that are kept: one to be judged, one to be seen as a second. Hostile callbacks have thousands. */
const MAX_KEPT = 2

/**
 * @since 0.1.0
 * @category models
 */
export interface Judged {
  /** The callback's `iss`, which is the expected issuer if one is known. Whether other servers claim it is for their registry to say. */
  readonly iss: string | undefined
  /** The code, or what the server answered instead: to be believed when `iss` is. */
  readonly answer: Either.Either<Redacted.Redacted, AuthorizationError>
}

/** What was received under the judged names, and how to say no in words that hold none of its secrets. */
const read = (callback: Callback, known: ReadonlyArray<string> = []) => {
  const pairs = pairsOf(callback)
  const values = new Map<string, Array<string>>()
  let isFlooded = false
  for (const [name, value] of pairs ?? []) {
    const judged = JUDGED.find((one) => one === name)
    if (judged === undefined) continue
    const before = values.get(judged)
    if (before === undefined) values.set(judged, [value])
    else if (before.length < MAX_KEPT) before.push(value)
    else isFlooded = true
  }
  const one = (name: (typeof JUDGED)[number]): string | undefined => values.get(name)?.[0]
  const secrets = [...known, ...(values.get("code") ?? []), ...(values.get("state") ?? [])]
  const said = (name: "error" | "error_description" | "error_uri", maxLength?: number) => {
    const words = one(name)
    // With values that were not kept it cannot be seen whether the words repeat one of them.
    return words === undefined || isFlooded ? undefined : safeText(words, secrets, maxLength)
  }
  const fail = (server: string, reason: AuthorizationError["reason"], detail: string) =>
    Either.left(
      new AuthorizationError({
        reason,
        server,
        detail,
        error: said("error", 80),
        errorDescription: said("error_description"),
        errorUri: said("error_uri")
      })
    )
  /** The state, if there is one and everything judged stands there once. */
  const state = (server: string): Either.Either<string, AuthorizationError> => {
    if (pairs === undefined) return fail(server, "NotACallback", "there are no parameters in it")
    const doubled = JUDGED.find((name) => (values.get(name)?.length ?? 0) > 1)
    if (doubled !== undefined) {
      return fail(server, "DuplicateParameter", `${doubled} stands in the callback more than once`)
    }
    const value = one("state")
    return value === undefined || value === ""
      ? fail(server, "StateMissing", "the callback has no state")
      : Either.right(value)
  }
  return { one, secrets, fail, state }
}

/**
 * The `state` a callback carries, to look up the launch it claims to answer. Nothing else of the callback is to be believed for it: that is `judge`'s.
 *
 * @since 0.1.0
 * @category accessors
 */
export const stateOf = (callback: Callback): Either.Either<Redacted.Redacted, AuthorizationError> =>
  Either.map(read(callback).state("an unknown server"), (state) => Redacted.make(state))

/**
 * Whether a callback answers a launch, and with what: `state` is judged first, then the redirect URI where the callback is a URL, then the age and
 * the issuer. The expected issuer is `options.issuer`, which is the configured one, or else that of the server's metadata.
 *
 * @since 0.1.0
 * @category combinators
 */
export const judge = (
  callback: Callback,
  pending: PendingAuthorization,
  options: {
    readonly now: DateTime.Utc
    readonly maxAge: Duration.DurationInput
    readonly issuer?: string | undefined
  }
): Either.Either<Judged, AuthorizationError> => {
  const received = read(callback, [Redacted.value(pending.state)])
  const { one, secrets } = received
  const fail = (reason: AuthorizationError["reason"], detail: string) => received.fail(pending.server, reason, detail)

  const carried = received.state(pending.server)
  if (Either.isLeft(carried)) return Either.left(carried.left)
  if (!equal(carried.right, Redacted.value(pending.state))) {
    return fail("StateMismatch", "the callback has another state")
  }
  const address = RedirectUri.addressOf(callback)
  if (address !== undefined && !RedirectUri.isAt(address, pending.redirectUri)) {
    return fail(
      "WrongRedirectUri",
      `the callback came to ${safeText(Url.forDisplay(address), secrets, 120)}, the launch sent the redirect URI ${
        Url.forDisplay(pending.redirectUri)
      }`
    )
  }
  const age = Duration.millis(
    Math.max(0, DateTime.toEpochMillis(options.now) - DateTime.toEpochMillis(pending.createdAt))
  )
  if (Duration.greaterThan(age, options.maxAge)) {
    return fail("Expired", `the launch was started ${Duration.format(age)} before its callback`)
  }
  const iss = one("iss")
  const issuer = options.issuer ?? pending.issuer
  if (iss === undefined && pending.issuerPromised) return fail("IssuerMissing", "the callback has no iss")
  if (iss !== undefined && issuer !== undefined && iss !== issuer) {
    return fail(
      "IssuerMismatch",
      `the callback says iss "${safeText(iss, secrets, 120)}", the server's issuer is "${
        safeText(issuer, secrets, 120)
      }"`
    )
  }
  return Either.right({ iss, answer: answerOf(received, fail) })
}

const answerOf = (
  { one }: ReturnType<typeof read>,
  fail: (reason: AuthorizationError["reason"], detail: string) => Either.Either<never, AuthorizationError>
): Judged["answer"] => {
  const error = one("error")
  if (error !== undefined) {
    return error === "access_denied"
      ? fail("AccessDenied", "the server said no")
      : fail("Refused", "the server answered with an error")
  }
  const code = one("code")
  return code === undefined || code === ""
    ? fail("CodeMissing", "the callback has neither code nor error")
    : Either.right(Redacted.make(code))
}
