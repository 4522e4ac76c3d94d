/**
 * The authorization response at the redirect URI, validated as a whole before its code is used (SMART App Launch 2.2,
 * requirements 4, 5, 60 and 61; RFC 6749, section 4.1.2; RFC 9207). Pure.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Redacted from "effect/Redacted"
import { equal } from "../base/ConstantTime.js"
import * as Url from "../base/Url.js"
import { safeText } from "../http/Redaction.js"
import { AuthorizationError } from "./AuthorizationError.js"
import type { PendingAuthorization } from "./PendingAuthorization.js"

/**
 * The callback's URL, its query, or its parameters, such as `UrlParams` of `@effect/platform`, `URLSearchParams`, or
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
 * The parameters, repeated ones included. `undefined` if a value is not text: some frameworks parse `state[a]=b` as an
 * object.
 *
 * @internal
 */
export const parametersOf = (callback: Callback): ReadonlyArray<readonly [string, string]> | undefined => {
  if (typeof callback === "string") {
    const mark = callback.indexOf("?")
    // A URL, a path with a query (from a request line), or a query alone, which may contain a question mark.
    const isQuery = mark < 0
      ? callback.includes("=") && Url.parse(callback) === undefined
      : !/^[^=]*\?|^\//.test(callback) && Url.parse(callback) === undefined
    if (mark < 0 && !isQuery) return undefined
    return Array.from(new URLSearchParams(isQuery ? callback : callback.slice(mark + 1).replace(/#.*/s, "")))
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

const PARAMETERS = ["state", "code", "error", "error_description", "error_uri", "iss"] as const

/** Two values of a parameter prove that it is repeated. A hostile callback may have thousands. */
const MAX_VALUES = 2

/**
 * A callback that belongs to a launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Validated {
  /**
   * The callback's `iss`. It equals the expected issuer, if there is one. The registry checks whether it is ambiguous.
   */
  readonly iss: string | undefined
  /** The code, or the error that the server sent. Valid only if `iss` is. */
  readonly result: Either.Either<Redacted.Redacted, AuthorizationError>
}

/** The parameters that matter here, and errors whose text contains none of their secrets. */
const read = (callback: Callback, knownSecrets: ReadonlyArray<string> = []) => {
  const pairs = parametersOf(callback)
  const values = new Map<string, Array<string>>()
  let isTruncated = false
  for (const [name, value] of pairs ?? []) {
    const parameter = PARAMETERS.find((one) => one === name)
    if (parameter === undefined) continue
    const before = values.get(parameter)
    if (before === undefined) values.set(parameter, [value])
    else if (before.length < MAX_VALUES) before.push(value)
    else isTruncated = true
  }
  const one = (name: (typeof PARAMETERS)[number]): string | undefined => values.get(name)?.[0]
  const secrets = [...knownSecrets, ...(values.get("code") ?? []), ...(values.get("state") ?? [])]
  const errorText = (name: "error" | "error_description" | "error_uri", maxLength?: number) => {
    const text = one(name)
    // If values were dropped, the text may repeat one of them.
    return text === undefined || isTruncated ? undefined : safeText(text, secrets, maxLength)
  }
  const fail = (server: string, reason: AuthorizationError["reason"], detail: string) =>
    Either.left(
      new AuthorizationError({
        reason,
        server,
        detail,
        error: errorText("error", 80),
        errorDescription: errorText("error_description"),
        errorUri: errorText("error_uri")
      })
    )
  /** The state, if it is present and no parameter is repeated. */
  const state = (server: string): Either.Either<string, AuthorizationError> => {
    if (pairs === undefined) return fail(server, "NotACallback", "it has no parameters")
    const repeated = PARAMETERS.find((name) => (values.get(name)?.length ?? 0) > 1)
    if (repeated !== undefined) {
      return fail(server, "DuplicateParameter", `${repeated} occurs more than once in the callback`)
    }
    const value = one("state")
    return value === undefined || value === ""
      ? fail(server, "StateMissing", "the callback has no state")
      : Either.right(value)
  }
  return { one, secrets, fail, state }
}

/**
 * The `state` of a callback, to look up its launch. It does not validate the callback: `validate` does.
 *
 * @since 0.1.0
 * @category accessors
 */
export const stateOf = (callback: Callback): Either.Either<Redacted.Redacted, AuthorizationError> =>
  Either.map(read(callback).state("an unknown server"), (state) => Redacted.make(state))

/**
 * What a callback is compared with.
 *
 * @since 0.1.0
 * @category models
 */
export interface ValidateOptions {
  readonly now: DateTime.Utc
  /** The longest time between the launch and its callback. */
  readonly maxAge: Duration.DurationInput
  /** The configured issuer. */
  readonly issuer?: string | undefined
}

/**
 * A redirect URI without its query, for comparison (RFC 6749, section 3.1.2; RFC 9700, section 4.1). `http` counts as
 * `https`, and a slash at the end does not matter: a proxy may change both.
 *
 * @internal
 */
export const locationOf = ({ host, pathname, protocol }: URL): string =>
  `${protocol === "http:" ? "https:" : protocol}//${host}${pathname.replace(/\/$/, "")}`

/** Only an absolute URL shows the redirect URI of a callback; a path or a query does not. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\//i

const isAt = (address: URL, redirectUri: string): boolean => {
  const expected = Url.parse(redirectUri)
  return expected !== undefined && locationOf(address) === locationOf(expected) &&
    Array.from(expected.searchParams).every(([name, value]) => address.searchParams.getAll(name).includes(value))
}

/**
 * The URL of a callback that arrived at another place than the redirect URI, or without the parameters of the redirect
 * URI's own query. `undefined` if it arrived there, or if the callback is not an absolute URL.
 */
const addressElsewhere = (callback: unknown, redirectUri: string): URL | undefined => {
  // Most callbacks are the redirect URI itself with a query, and need not be parsed.
  const isRedirectUri = typeof callback === "string" && callback.startsWith(`${redirectUri}?`) &&
    !redirectUri.includes("?")
  if (isRedirectUri) return undefined
  const address = callback instanceof URL
    ? callback
    : typeof callback === "string" && ABSOLUTE.test(callback)
    ? Url.parse(callback)
    : undefined
  return address === undefined || isAt(address, redirectUri) ? undefined : address
}

/**
 * Validates a callback against its launch, in this order: `state` (in constant time), repeated parameters, the
 * redirect URI (if the callback is a URL), the age, the issuer. The expected issuer is `options.issuer`, the
 * configured one; without it, that of the server's metadata.
 *
 * @since 0.1.0
 * @category combinators
 */
export const validate: {
  (pending: PendingAuthorization, options: ValidateOptions): (
    callback: Callback
  ) => Either.Either<Validated, AuthorizationError>
  (
    callback: Callback,
    pending: PendingAuthorization,
    options: ValidateOptions
  ): Either.Either<Validated, AuthorizationError>
} = dual(3, (
  callback: Callback,
  pending: PendingAuthorization,
  options: ValidateOptions
): Either.Either<Validated, AuthorizationError> => {
  const received = read(callback, [Redacted.value(pending.state)])
  const { one, secrets } = received
  const fail = (reason: AuthorizationError["reason"], detail: string) => received.fail(pending.server, reason, detail)

  const state = received.state(pending.server)
  if (Either.isLeft(state)) return Either.left(state.left)
  if (!equal(state.right, Redacted.value(pending.state))) {
    return fail("StateMismatch", "the callback has another state")
  }
  const elsewhere = addressElsewhere(callback, pending.redirectUri)
  if (elsewhere !== undefined) {
    return fail(
      "WrongRedirectUri",
      `the callback arrived at ${safeText(Url.forDisplay(elsewhere), secrets, 120)}, the launch sent the redirect URI ${
        Url.forDisplay(pending.redirectUri)
      }`
    )
  }
  const age = Math.max(0, DateTime.toEpochMillis(options.now) - DateTime.toEpochMillis(pending.createdAt))
  if (age > Duration.toMillis(options.maxAge)) {
    return fail("Expired", `the launch was started ${Duration.format(Duration.millis(age))} before its callback`)
  }
  const iss = one("iss")
  const issuer = options.issuer ?? pending.issuer
  if (iss === undefined && pending.issuerPromised) return fail("IssuerMissing", "the callback has no iss")
  if (iss !== undefined && issuer !== undefined && iss !== issuer) {
    return fail(
      "IssuerMismatch",
      `the callback has iss "${safeText(iss, secrets, 120)}", the server's issuer is "${
        safeText(issuer, secrets, 120)
      }"`
    )
  }
  return Either.right({ iss, result: resultOf(received, fail) })
})

const resultOf = (
  { one }: ReturnType<typeof read>,
  fail: (reason: AuthorizationError["reason"], detail: string) => Either.Either<never, AuthorizationError>
): Validated["result"] => {
  const error = one("error")
  if (error !== undefined) {
    if (error === "invalid_idp") {
      return fail("InvalidIdentityProvider", "the server does not accept the identity provider")
    }
    return error === "access_denied"
      ? fail("AccessDenied", "the server refused access")
      : fail("Refused", "the server sent an error")
  }
  const code = one("code")
  return code === undefined || code === ""
    ? fail("CodeMissing", "the callback has neither code nor error")
    : Either.right(Redacted.make(code))
}
