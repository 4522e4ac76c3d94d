/**
 * The base URL of a FHIR server: `iss` of a launch and `aud` of an authorization request (SMART App Launch 2.2). It is
 * not an OpenID issuer: see `Issuer`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import * as Url from "./Url.js"

/**
 * Why a string is not a FHIR base URL.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem = "NotAbsolute" | "NotHttp" | "HasCredentials" | "HasQuery" | "HasFragment"

const problemOf = (input: string): Problem | undefined => {
  // The URL parser removes white space and control characters; appending a path and comparing `aud` do not.
  const url = /[\u0000-\u0020\u007f]/.test(input) ? undefined : Url.parse(input)
  if (url === undefined) return "NotAbsolute"
  if (url.protocol !== "https:" && url.protocol !== "http:") return "NotHttp"
  if (Url.hasCredentials(url)) return "HasCredentials"
  if (input.includes("?")) return "HasQuery"
  if (input.includes("#")) return "HasFragment"
  return undefined
}

/**
 * A FHIR base URL, kept exactly as it was written, because servers compare `aud` byte for byte.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FhirBaseUrl: Schema.brand<Schema.filter<typeof Schema.String>, "effect-safire/FhirBaseUrl"> = Schema.String
  .pipe(
    Schema.filter((input) => problemOf(input) === undefined, {
      identifier: "FhirBaseUrl",
      message: () => "expected an absolute http(s) URL without credentials, query or fragment"
    }),
    Schema.brand("effect-safire/FhirBaseUrl")
  )

/**
 * The base URL of a FHIR server: absolute, without query, fragment and credentials.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirBaseUrl = typeof FhirBaseUrl.Type

/**
 * Parses a FHIR base URL. `Left` is the reason why it cannot be one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string): Either.Either<FhirBaseUrl, Problem> => {
  const problem = problemOf(input)
  return problem === undefined ? Either.right(input as FhirBaseUrl) : Either.left(problem)
}

/**
 * The normalised URL, without a slash at its end: equal for all spellings of one server. For look-ups and comparison,
 * not for requests.
 *
 * @since 0.1.0
 * @category accessors
 */
export const key = (self: FhirBaseUrl): string => {
  const href = new URL(self).href
  return href.endsWith("/") ? href.slice(0, -1) : href
}

/**
 * Whether two strings are FHIR base URLs with the same `key`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const areSame: {
  (that: string): (self: string) => boolean
  (self: string, that: string): boolean
} = dual(2, (self: string, that: string): boolean => {
  const left = parse(self)
  if (self === that || Either.isLeft(left)) return Either.isRight(left)
  const right = parse(that)
  return Either.isRight(right) && key(left.right) === key(right.right)
})

/**
 * Appends to the whole base path, with exactly one slash between (SMART App Launch 2.2, conformance; requirement 226).
 *
 * @since 0.1.0
 * @category combinators
 */
export const append: {
  (path: string): (self: FhirBaseUrl) => string
  (self: FhirBaseUrl, path: string): string
} = dual(
  2,
  (self: FhirBaseUrl, path: string): string =>
    `${self.endsWith("/") ? self.slice(0, -1) : self}/${path.startsWith("/") ? path.slice(1) : path}`
)
