/**
 * Constructors of scopes that follow the grammar of SMART App Launch 2.2, Scopes and Launch Context. Wrong letters,
 * orders and resource types do not compile; values are percent-encoded.
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Predicate from "effect/Predicate"
import {
  type Constraint,
  type Context,
  type LaunchContext,
  openIdPrefix,
  type Permissions,
  type Resource,
  type ResourceV2,
  type Scope,
  smartPrefix,
  type Word
} from "./scope.js"

/**
 * A FHIR resource type that is known only at run time.
 *
 * @since 0.1.0
 * @category models
 */
export type ResourceType = string & Brand.Brand<"effect-safire/ResourceType">

/**
 * Makes a `ResourceType` from a string; `ResourceType.option` when it may not be one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ResourceType: Brand.Brand.Constructor<ResourceType> = Brand.refined<ResourceType>(
  (text) => /^[A-Z][A-Za-z0-9]*$/.test(text),
  () => Brand.error("a FHIR resource type is a capital letter followed by letters or digits")
)

type Characters<Text extends string> = Text extends `${infer First}${infer Tail}` ? First | Characters<Tail> : never
type Lower = Characters<"abcdefghijklmnopqrstuvwxyz">
type Digit = Characters<"0123456789">
type Rest<Text extends string> = Text extends "" ? true
  : Text extends `${infer First}${infer Tail}` ? Lowercase<First> extends Lower | Digit ? Rest<Tail> : false
  : false

interface NotAResourceType<Text extends string> {
  readonly notAResourceType: Text
}

/**
 * `Text` if it is spelled like a FHIR resource type, such as `Observation`, or is a `ResourceType`; otherwise a type
 * that no string has.
 *
 * @since 0.1.0
 * @category models
 */
export type ResourceTypeName<Text extends string> = Text extends ResourceType ? Text
  : string extends Text ? NotAResourceType<Text>
  : Text extends `${infer First}${infer Tail}`
    ? First extends Uppercase<Lower> ? Rest<Tail> extends true ? Text : NotAResourceType<Text> : NotAResourceType<Text>
  : NotAResourceType<Text>

/**
 * `Text` if it is a FHIR resource type in lower case, such as `imagingstudy`, or is a `ResourceType`; otherwise a type
 * that no string has.
 *
 * @since 0.1.0
 * @category models
 */
export type LaunchContextName<Text extends string> = Text extends ResourceType ? Text
  : string extends Text ? NotAResourceType<Text>
  : Text extends Lowercase<Text>
    ? Text extends `${infer First}${infer Tail}`
      ? First extends Lower ? Rest<Tail> extends true ? Text : NotAResourceType<Text> : NotAResourceType<Text>
    : NotAResourceType<Text>
  : NotAResourceType<Text>

/**
 * `constraints` are FHIR search parameters that narrow the scope; all of them apply. Values are plain text: this module
 * percent-encodes them. A value may have alternatives, separated by commas.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceOptions {
  readonly constraints?: Readonly<Record<string, string>> | Iterable<Constraint> | undefined
}

// ---- spelling

const escape = (text: string, reserved: string): string =>
  // The fast path: most texts have nothing to escape.
  /^[\w.~!*'(),:;@/|$-]*$/.test(text) ? text : Array.from(new TextEncoder().encode(text), (byte) => {
    const character = String.fromCharCode(byte)
    return byte > 0x20 && byte < 0x7F && !reserved.includes(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
  }).join("")

/** A scope-token cannot contain `"` and `\`; `&` ends a value; many parsers read `+` as a space. */
const escapeValue = (text: string): string => escape(text, "\"\\%&+")
const escapeName = (text: string): string => escape(text, "\"\\%&+=")

/** An invalid escape stays as it is: text from a server cannot fail here. */
const unescape = (text: string): string =>
  text.includes("%") ? Either.getOrElse(Encoding.decodeUriComponent(text), () => text) : text

/**
 * The canonical spelling of a constraint.
 *
 * @internal
 */
export const canonicalConstraint = ([name, value]: Constraint): Constraint => [
  escapeName(unescape(name)),
  escapeValue(unescape(value))
]

/**
 * The canonical spelling of a role.
 *
 * @internal
 */
export const canonicalRole = (role: string): string => escapeValue(unescape(role))

/**
 * The constraints of a scope, percent-decoded.
 *
 * @since 0.1.0
 * @category accessors
 */
export const constraintsOf = (scope: Resource): ReadonlyArray<Constraint> =>
  scope.constraints.map(([name, value]): Constraint => [unescape(name), unescape(value)])

// ---- constructors

/**
 * Makes a scope for a resource type or `*`.
 *
 * @since 0.1.0
 * @category models
 */
export type ResourceConstructor = <const T extends string>(
  resourceType: "*" | (T & ResourceTypeName<T>),
  permissions: Permissions,
  options?: ResourceOptions
) => ResourceV2

const resource = (context: Context): ResourceConstructor => (resourceType, permissions, options) => {
  const constraints = options?.constraints ?? []
  const pairs = Predicate.isIterable(constraints) ? Array.from(constraints) : Object.entries(constraints)
  return {
    _tag: "Resource",
    prefix: "",
    context,
    // Escaped, so that a caller without types cannot add a second scope.
    resourceType: escapeName(resourceType),
    syntax: "v2",
    permissions,
    constraints: pairs.map(([name, value]): Constraint => [escapeName(name), escapeValue(value)])
  }
}

/**
 * Access to data of the patient in context: `Scopes.patient("Observation", "rs")` is `patient/Observation.rs`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const patient: ResourceConstructor = resource("patient")

/**
 * Access to data that the user may see: `Scopes.user("Appointment", "cruds")` is `user/Appointment.cruds`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const user: ResourceConstructor = resource("user")

/**
 * Access to data that the client itself may see, with no user: `Scopes.system("*", "rs")` is `system/*.rs`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const system: ResourceConstructor = resource("system")

/**
 * Asks for a resource in context: `Scopes.launchContext("imagingstudy")`. One role a scope; several roles are several
 * scopes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launchContext = <const T extends string>(
  resourceType: T & LaunchContextName<T>,
  options?: { readonly role?: string | undefined }
): LaunchContext => ({
  _tag: "LaunchContext",
  prefix: "",
  resourceType: escapeName(resourceType.toLowerCase()),
  ...(options?.role === undefined || options.role === "" ? {} : { role: escapeValue(options.role) })
})

/**
 * `launch`: the context of the EHR session that the app was launched from.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launch: Word = { _tag: "Launch", prefix: "" }

/**
 * `launch/patient`: a patient in context.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launchPatient: LaunchContext = { _tag: "LaunchContext", prefix: "", resourceType: "patient" }

/**
 * `launch/encounter`: an encounter in context.
 *
 * @since 0.1.0
 * @category constructors
 */
export const launchEncounter: LaunchContext = { _tag: "LaunchContext", prefix: "", resourceType: "encounter" }

/**
 * `openid`: an id_token.
 *
 * @since 0.1.0
 * @category constructors
 */
export const openid: Word = { _tag: "OpenId", prefix: "" }

/**
 * `fhirUser`: the user as a FHIR resource; only together with `openid`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fhirUser: Word = { _tag: "FhirUser", prefix: "" }

/**
 * `offline_access`: a refresh token that works when the user is away.
 *
 * @since 0.1.0
 * @category constructors
 */
export const offlineAccess: Word = { _tag: "OfflineAccess", prefix: "" }

/**
 * `online_access`: a refresh token that works while the user is there.
 *
 * @since 0.1.0
 * @category constructors
 */
export const onlineAccess: Word = { _tag: "OnlineAccess", prefix: "" }

/**
 * The scope with its URI spelling, for protocols that want scopes to be URIs. Extensions and unknown scopes stay.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toUri = (scope: Scope): Scope => {
  switch (scope._tag) {
    case "Extension":
    case "Unknown":
      return scope
    case "OpenId":
    case "Other":
      return { ...scope, prefix: openIdPrefix }
    default:
      return { ...scope, prefix: smartPrefix }
  }
}
