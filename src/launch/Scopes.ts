/**
 * Scopes: parse, print and build them, compare a request with a grant, and convert them to the syntax of a server.
 * Implements SMART App Launch 2.2, Scopes and Launch Context.
 *
 * @example
 * import { Scopes } from "effect-safire"
 *
 * const wanted = [Scopes.launchPatient, Scopes.patient("AllergyIntolerance", "cruds")]
 * const granted = Scopes.parse("launch/patient patient/AllergyIntolerance.rs user/Practitioner.r")
 *
 * // patient/AllergyIntolerance.cud
 * Scopes.print(Scopes.missing(granted, wanted))
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { parseScope, printScope, type Scope } from "./internal/scope.js"
import { rank } from "./internal/scopeSet.js"

export {
  type Constraint,
  type Context,
  type Extension,
  isPermissions,
  isResource,
  type LaunchContext,
  type Other,
  parseScope,
  type Permissions,
  type PermissionsV1,
  type Prefix,
  printScope,
  type Resource,
  type ResourceV1,
  type ResourceV2,
  type Scope,
  type Unknown,
  type Unsendable,
  unsendable,
  type Word
} from "./internal/scope.js"
export {
  constraintsOf,
  fhirUser,
  launch,
  launchContext,
  type LaunchContextName,
  launchEncounter,
  launchPatient,
  offlineAccess,
  onlineAccess,
  openid,
  patient,
  type ResourceConstructor,
  type ResourceOptions,
  ResourceType,
  type ResourceTypeName,
  system,
  toUri,
  user
} from "./internal/scopeBuilder.js"
export * from "./internal/scopeFindings.js"
export { covers, diff, type Difference, intersection, missing, notGranted, union } from "./internal/scopeComparison.js"
export { normalize } from "./internal/scopeSet.js"
export * from "./internal/scopeSyntax.js"

/**
 * Parses scopes from a space-separated string or a list. Never fails: unknown scopes are `Unknown`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string | ReadonlyArray<string>): ReadonlyArray<Scope> =>
  (typeof text === "string" ? [text] : text)
    .flatMap((part) => part.split(/\s/))
    .filter((part) => part !== "")
    .map(parseScope)

/**
 * Prints scopes, separated by spaces, each as it was written.
 *
 * @since 0.1.0
 * @category combinators
 */
export const print = (scopes: ReadonlyArray<Scope>): string => scopes.map(printScope).join(" ")

/**
 * Whether a value has the tag of a scope.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isScope = (value: unknown): value is Scope =>
  Predicate.hasProperty(value, "_tag") && typeof value._tag === "string" && Object.hasOwn(rank, value._tag)

/**
 * The `scope` member of a message: encoded as a space-separated string.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FromString: Schema.Schema<ReadonlyArray<Scope>, string> = Schema.transform(
  Schema.String,
  Schema.Array(Schema.declare(isScope, { identifier: "Scope" })),
  { strict: true, decode: parse, encode: print }
)
