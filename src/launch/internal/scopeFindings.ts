/**
 * Problems of scopes before they are requested. Implements the scope-token rule of RFC 6749
 * section 3.3 and, as advice, the "minimum necessary" and backend rules of SMART App Launch 2.2.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import { findUnsendable, isPermissions, isResource, parseScope, printScope, type Scope } from "./scope.js"

/**
 * The problem of a scope.
 *
 * - `Empty`: SMART requires at least one scope
 * - `Spacing`: scopes are not separated by exactly one space
 * - `NotScopeToken`: a character that RFC 6749 does not allow in a scope
 * - `CommaSeparated`: scopes are separated by commas instead of spaces
 * - `Misspelled`: looks like a SMART scope, but does not follow its grammar
 * - `EmptyConstraint`: a search parameter without a name or a value
 * - `ConstrainedV1`: search parameters on a v1 scope, which v1 does not have
 * - `MixedSyntax`: v1 and v2 scopes in one request, which some servers refuse
 * - `FhirUserWithoutOpenId`: `fhirUser` has an effect only together with `openid`
 * - `Wildcard`: all resource types, future ones included
 * - `BackendContext`: a backend service has no user and no patient in context
 *
 * @since 0.1.0
 * @category models
 */
export type FindingReason =
  | "Empty"
  | "Spacing"
  | "NotScopeToken"
  | "CommaSeparated"
  | "Misspelled"
  | "EmptyConstraint"
  | "ConstrainedV1"
  | "MixedSyntax"
  | "FhirUserWithoutOpenId"
  | "Wildcard"
  | "BackendContext"

/**
 * A problem of a scope, and advice.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finding {
  readonly reason: FindingReason
  readonly scope: string
  readonly advice: string
}

const finding = (reason: FindingReason, scope: string, advice: string): Finding => ({ reason, scope, advice })

/** The letters in the right order; none if the scope has other letters. */
const inOrder = (text: string): Option.Option<string> => {
  const [, start = "", letters = "", query = ""] = /^([a-z]+\/[^.?]+\.)([cruds]+)(\?.*)?$/.exec(text) ?? []
  const sorted = Array.from("cruds").filter((letter) => letters.includes(letter)).join("")
  return isPermissions(sorted) ? Option.some(`${start}${sorted}${query}`) : Option.none()
}

const misspelled = (text: string): Finding =>
  finding(
    "Misspelled",
    text,
    Option.match(inOrder(text), {
      onNone: () =>
        text.startsWith("launch/")
          ? "write launch/ and a resource type in lower case, with at most one ?role="
          : "write patient/, user/ or system/, a resource type or *, a dot and some of the letters cruds in this order",
      onSome: (right) => `letters go once each in the order cruds: ${right}`
    })
  )

const validateScope = (text: string): ReadonlyArray<Finding> => {
  const scope = parseScope(text)
  if (scope._tag === "Unknown" && /^(?:patient|user|system|launch)\//.test(text)) return [misspelled(text)]
  if (scope._tag !== "Resource" || scope.constraints.length === 0) return []
  return [
    ...scope.constraints.some(([name, value]) => name === "" || value === "")
      ? [finding("EmptyConstraint", text, "give every search parameter a name and a value, or leave it out")]
      : [],
    ...scope.syntax === "v1"
      ? [finding("ConstrainedV1", text, "search parameters need v2 letters, such as .rs for .read")]
      : []
  ]
}

/**
 * The problems of a scope string: those of `unsendable`, and scopes that look like SMART and do not follow its grammar.
 * Without findings, every scope is well-formed, known to SMART or not.
 *
 * @since 0.1.0
 * @category combinators
 */
export const validate = (text: string): ReadonlyArray<Finding> => findUnsendable(text, validateScope)

/**
 * `backend`: the scopes are for a backend service, which acts without a user.
 *
 * @since 0.1.0
 * @category models
 */
export interface LintOptions {
  readonly backend?: boolean | undefined
}

const lintScope = (scope: Scope, options: LintOptions | undefined): ReadonlyArray<Finding> => {
  if (!isResource(scope)) return []
  const text = printScope(scope)
  return [
    ...scope.resourceType === "*"
      ? [finding("Wildcard", text, "ask only for the resource types that the app needs")]
      : [],
    ...options?.backend === true && scope.context !== "system"
      ? [finding("BackendContext", text, "use system/, unless the server knows the patient or user by other means")]
      : []
  ]
}

/**
 * Problems of scopes that can be sent.
 *
 * @since 0.1.0
 * @category combinators
 */
export const lint = (scopes: ReadonlyArray<Scope>, options?: LintOptions): ReadonlyArray<Finding> => {
  const v1 = scopes.find((scope) => isResource(scope) && scope.syntax === "v1")
  const mixed = v1 !== undefined && scopes.some((scope) => isResource(scope) && scope.syntax === "v2")
  const fhirUser = scopes.find((scope) => scope._tag === "FhirUser")
  return [
    ...scopes.flatMap((scope) => lintScope(scope, options)),
    ...mixed ? [finding("MixedSyntax", printScope(v1), "write all scopes in one syntax: Scopes.toV2")] : [],
    ...fhirUser !== undefined && !scopes.some((scope) => scope._tag === "OpenId")
      ? [finding("FhirUserWithoutOpenId", printScope(fhirUser), "ask for openid too")]
      : []
  ]
}
