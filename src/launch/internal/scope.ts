/**
 * One SMART scope as a value, its parser and its printer. Implements "Scopes for requesting FHIR Resources", "… context
 * data", "… identity data" and the URI appendix of SMART App Launch 2.2, Scopes and Launch Context.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"

/**
 * The prefix of the URI form of a SMART scope.
 *
 * @since 0.1.0
 * @category models
 */
export const smartPrefix = "http://smarthealthit.org/fhir/scopes/"

/**
 * The prefix of the URI form of an OpenID Connect scope.
 *
 * @since 0.1.0
 * @category models
 */
export const openIdPrefix = "http://openid.net/specs/openid-connect-core-1_0#"

/**
 * The prefix of a scope: empty, or that of its URI form.
 *
 * @since 0.1.0
 * @category models
 */
export type Prefix = "" | typeof smartPrefix | typeof openIdPrefix

type AnyLetters = `${"" | "c"}${"" | "r"}${"" | "u"}${"" | "d"}${"" | "s"}`

/**
 * The 31 combinations of create, read, update, delete and search: any of the letters, each at most once, in this order.
 *
 * @since 0.1.0
 * @category models
 */
export type Permissions = Exclude<AnyLetters, "">

/**
 * The permissions of SMART v1: `read`, `write` and `*`.
 *
 * @since 0.1.0
 * @category models
 */
export type PermissionsV1 = "rs" | "cud" | "cruds"

/**
 * The data of one patient, the data that the user may access, or the data that the client itself may access.
 *
 * @since 0.1.0
 * @category models
 */
export type Context = "patient" | "user" | "system"

/**
 * A search parameter and its value, both spelled as in the scope (percent-encoded where needed).
 *
 * @since 0.1.0
 * @category models
 */
export type Constraint = readonly [name: string, value: string]

interface ResourceFields {
  readonly _tag: "Resource"
  readonly prefix: Prefix
  readonly context: Context
  /** a FHIR resource type, or `*` for all of them, future ones included */
  readonly resourceType: string
  /** all of them hold; none means every resource of the type */
  readonly constraints: ReadonlyArray<Constraint>
}

/**
 * Access to FHIR resources, written in SMART v1: `patient/Observation.read`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceV1 extends ResourceFields {
  readonly syntax: "v1"
  readonly permissions: PermissionsV1
}

/**
 * Access to FHIR resources, written in SMART v2: `patient/Observation.rs?category=laboratory`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceV2 extends ResourceFields {
  readonly syntax: "v2"
  readonly permissions: Permissions
}

/**
 * Access to FHIR resources. `syntax` is the syntax for printing; the permissions are those of v2 in both cases.
 *
 * @since 0.1.0
 * @category models
 */
export type Resource = ResourceV1 | ResourceV2

/**
 * `launch/patient`, `launch/encounter`, `launch/list?role=…`: a resource in context.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchContext {
  readonly _tag: "LaunchContext"
  readonly prefix: Prefix
  /** all in lower case */
  readonly resourceType: string
  /** spelled as in the scope (percent-encoded where needed) */
  readonly role?: string | undefined
}

/**
 * A scope that is one word: `launch`, `openid`, `fhirUser`, `offline_access`, `online_access`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Word {
  readonly _tag: "Launch" | "OpenId" | "FhirUser" | "OfflineAccess" | "OnlineAccess"
  readonly prefix: Prefix
}

/**
 * A scope of OpenID Connect that SMART does not define.
 *
 * @since 0.1.0
 * @category models
 */
export interface Other {
  readonly _tag: "Other"
  readonly prefix: Prefix
  readonly name: "profile" | "email" | "address" | "phone"
}

/**
 * A scope that the server defines: it begins with `__` or is a URI. Sent unchanged.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extension {
  readonly _tag: "Extension"
  readonly value: string
}

/**
 * Any other scope, unchanged: of another vocabulary, or a misspelling such as `patient/Observation.sr`, which SMART
 * does not define.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unknown {
  readonly _tag: "Unknown"
  readonly value: string
}

/**
 * One scope.
 *
 * @since 0.1.0
 * @category models
 */
export type Scope = Resource | LaunchContext | Word | Other | Extension | Unknown

/**
 * Whether a string is letters of `cruds`, at least one, in this order.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isPermissions = (text: string): text is Permissions => text !== "" && /^c?r?u?d?s?$/.test(text)

/**
 * Whether a scope is about FHIR resources.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isResource = (scope: Scope): scope is Resource => scope._tag === "Resource"

const words = {
  Launch: "launch",
  OpenId: "openid",
  FhirUser: "fhirUser",
  OfflineAccess: "offline_access",
  OnlineAccess: "online_access"
} as const

const wordsV1 = { rs: "read", cud: "write", cruds: "*" } as const

/**
 * Prints one scope, as it was written if it was parsed.
 *
 * @since 0.1.0
 * @category combinators
 */
export const printScope = (scope: Scope): string => {
  switch (scope._tag) {
    case "Resource": {
      const permissions = scope.syntax === "v1" ? wordsV1[scope.permissions] : scope.permissions
      const query = scope.constraints.map(([name, value]) => `${name}=${value}`).join("&")
      const suffix = query === "" ? "" : `?${query}`
      return `${scope.prefix}${scope.context}/${scope.resourceType}.${permissions}${suffix}`
    }
    case "LaunchContext":
      return `${scope.prefix}launch/${scope.resourceType}${scope.role === undefined ? "" : `?role=${scope.role}`}`
    case "Other":
      return `${scope.prefix}${scope.name}`
    case "Extension":
    case "Unknown":
      return scope.value
    default:
      return `${scope.prefix}${words[scope._tag]}`
  }
}

type Access = Pick<ResourceV1, "syntax" | "permissions"> | Pick<ResourceV2, "syntax" | "permissions">

const parseAccess = (text: string): Option.Option<Access> => {
  switch (text) {
    case "read":
      return Option.some({ syntax: "v1", permissions: "rs" })
    case "write":
      return Option.some({ syntax: "v1", permissions: "cud" })
    case "*":
      return Option.some({ syntax: "v1", permissions: "cruds" })
    default:
      return isPermissions(text) ? Option.some({ syntax: "v2", permissions: text }) : Option.none()
  }
}

const parseConstraint = (pair: string): Option.Option<Constraint> => {
  const at = pair.indexOf("=")
  return at < 0 ? Option.none() : Option.some([pair.slice(0, at), pair.slice(at + 1)])
}

const isContext = (text: string | undefined): text is Context =>
  text === "patient" || text === "user" || text === "system"

const parseResource = (text: string, prefix: Prefix): Option.Option<Scope> =>
  Option.gen(function*() {
    const [, context, resourceType = "", letters = "", query] =
      /^(patient|user|system)\/(\*|[A-Z][A-Za-z0-9]*)\.([^?]+)(?:\?(.*))?$/.exec(text) ?? []
    if (!isContext(context)) return yield* Option.none()
    const access = yield* parseAccess(letters)
    const constraints = query === undefined ? [] : yield* Option.all(query.split("&").map(parseConstraint))
    return { _tag: "Resource", prefix, context, resourceType, ...access, constraints }
  })

const parseLaunchContext = (text: string, prefix: Prefix): Option.Option<Scope> => {
  const [, resourceType, role] = /^launch\/([a-z][a-z0-9]*)(?:\?role=([^&]+))?$/.exec(text) ?? []
  return resourceType === undefined
    ? Option.none()
    : Option.some({ _tag: "LaunchContext", prefix, resourceType, ...(role === undefined ? {} : { role }) })
}

const parseWord = (text: string, prefix: Prefix): Option.Option<Scope> => {
  switch (text) {
    case "launch":
      return Option.some({ _tag: "Launch", prefix })
    case "openid":
      return Option.some({ _tag: "OpenId", prefix })
    case "fhirUser":
      return Option.some({ _tag: "FhirUser", prefix })
    case "offline_access":
      return Option.some({ _tag: "OfflineAccess", prefix })
    case "online_access":
      return Option.some({ _tag: "OnlineAccess", prefix })
    case "profile":
    case "email":
    case "address":
    case "phone":
      return Option.some({ _tag: "Other", prefix, name: text })
    default:
      return Option.none()
  }
}

const parseKnown = (text: string, prefix: Prefix): Option.Option<Scope> =>
  parseWord(text, prefix).pipe(
    Option.orElse(() => parseLaunchContext(text, prefix)),
    Option.orElse(() => parseResource(text, prefix))
  )

/**
 * Parses one scope. Never fails: a scope that SMART does not define is an `Extension` or `Unknown`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseScope = (text: string): Scope => {
  const unknown = (): Scope => ({ _tag: "Unknown", value: text })
  if (/\s/.test(text)) return unknown()
  if (text.startsWith(smartPrefix)) {
    return Option.getOrElse(parseKnown(text.slice(smartPrefix.length), smartPrefix), unknown)
  }
  if (text.startsWith(openIdPrefix)) {
    return Option.getOrElse(parseWord(text.slice(openIdPrefix.length), openIdPrefix), unknown)
  }
  return Option.getOrElse(
    parseKnown(text, ""),
    () => /^(?:__|[A-Za-z][A-Za-z0-9+.-]*:)./.test(text) ? { _tag: "Extension", value: text } : unknown()
  )
}
