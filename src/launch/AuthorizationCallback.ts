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
import { equal } from "../base/constantTime.js"
import * as Url from "../base/Url.js"
import { safeText } from "../http/wireFields.js"
import { AuthorizationError } from "./AuthorizationError.js"
import type { PendingAuthorization } from "./PendingAuthorization.js"

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

const pairsOf = (callback: Callback): Iterable<readonly [string, string]> | undefined => {
  if (typeof callback === "string") {
    const url = Url.parse(callback)
    if (url !== undefined && callback.includes("?")) return url.searchParams
    // A path with a query, as a request line has it, or a query alone.
    if (callback.includes("?")) {
      return new URLSearchParams(callback.slice(callback.indexOf("?") + 1).replace(/#.*$/s, ""))
    }
    return callback.includes("=") && url === undefined ? new URLSearchParams(callback) : undefined
  }
  if (callback instanceof URL) return callback.searchParams
  if (Symbol.iterator in callback) return callback as Iterable<readonly [string, string]>
  return Object.entries(callback).flatMap(([name, value]) =>
    value === undefined
      ? []
      : typeof value === "string"
      ? [[name, value] as const]
      : value.map((one) => [name, one] as const)
  )
}

const JUDGED = ["state", "code", "error", "error_description", "error_uri", "iss"] as const

/**
 * @since 0.1.0
 * @category models
 */
export interface Judged {
  readonly code: Redacted.Redacted
  /** The callback named an issuer, and the server never said who it is: nothing to compare with. */
  readonly issuerUnknown: boolean
}

/**
 * The code, or why it is not to be had. `state` is judged first, then the sender, then what was said.
 *
 * @since 0.1.0
 * @category combinators
 */
export const judge = (
  callback: Callback,
  pending: PendingAuthorization,
  options: { readonly now: DateTime.Utc; readonly maxAge: Duration.DurationInput }
): Either.Either<Judged, AuthorizationError> => {
  const pairs = pairsOf(callback)
  const values = new Map<string, Array<string>>()
  for (const [name, value] of pairs ?? []) {
    const known = JUDGED.find((one) => one === name)
    if (known !== undefined) values.set(known, [...(values.get(known) ?? []), value])
  }
  const one = (name: (typeof JUDGED)[number]): string | undefined => values.get(name)?.[0]
  const secrets = [one("code") ?? "", one("state") ?? "", Redacted.value(pending.state)]
  const words = {
    error: one("error"),
    errorDescription: one("error_description"),
    errorUri: one("error_uri")
  }
  const fail = (reason: AuthorizationError["reason"], detail: string) =>
    Either.left(
      new AuthorizationError({
        reason,
        server: pending.server,
        detail,
        error: words.error === undefined ? undefined : safeText(words.error, secrets, 80),
        errorDescription: words.errorDescription === undefined ? undefined : safeText(words.errorDescription, secrets),
        errorUri: words.errorUri === undefined ? undefined : safeText(words.errorUri, secrets)
      })
    )

  if (pairs === undefined) return fail("NotACallback", "there are no parameters in it")
  const doubled = JUDGED.find((name) => (values.get(name)?.length ?? 0) > 1)
  if (doubled !== undefined) return fail("DuplicateParameter", `${doubled} stands in the callback more than once`)
  const state = one("state")
  if (state === undefined || state === "") return fail("StateMissing", "the callback has no state")
  if (!equal(state, Redacted.value(pending.state))) return fail("StateMismatch", "the callback has another state")
  const age = DateTime.distanceDuration(pending.createdAt, options.now)
  if (Duration.greaterThan(age, options.maxAge)) {
    return fail("Expired", `the launch was started ${Duration.format(age)} before its callback`)
  }
  const iss = one("iss")
  if (iss === undefined && pending.issuerPromised) return fail("IssuerMissing", "the callback has no iss")
  if (iss !== undefined && pending.issuer !== undefined && iss !== pending.issuer) {
    return fail(
      "IssuerMismatch",
      `the callback says iss "${safeText(iss, secrets, 120)}", the server said "${pending.issuer}"`
    )
  }
  if (words.error !== undefined) {
    return words.error === "access_denied"
      ? fail("AccessDenied", "the server said no")
      : fail("Refused", "the server answered with an error")
  }
  const code = one("code")
  if (code === undefined || code === "") return fail("CodeMissing", "the callback has neither code nor error")
  return Either.right({ code: Redacted.make(code), issuerUnknown: iss !== undefined && pending.issuer === undefined })
}
