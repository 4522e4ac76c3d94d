/**
 * One SMART scope as a value, its parser and its printer. Implements "Scopes for requesting FHIR Resources", "… context
 * data", "… identity data" and the URI appendix of SMART App Launch 2.2, Scopes and Launch Context.
 *
 * @since 0.1.0
 */

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

const keysOf = <K extends string>(table: Readonly<Record<K, string>>): ReadonlyArray<K> =>
  Object.keys(table) as ReadonlyArray<string> as ReadonlyArray<K>

const parseAccess = (text: string): Pick<ResourceV1 | ResourceV2, "syntax" | "permissions"> | undefined => {
  const permissions = keysOf(wordsV1).find((one) => wordsV1[one] === text)
  if (permissions !== undefined) return { syntax: "v1", permissions }
  return isPermissions(text) ? { syntax: "v2", permissions: text } : undefined
}

const parseResource = (text: string, prefix: Prefix): Scope | undefined => {
  const [, context, resourceType = "", letters = "", query] =
    /^(patient|user|system)\/(\*|[A-Z][A-Za-z0-9]*)\.([^?]+)(?:\?(.*))?$/.exec(text) ?? []
  const access = parseAccess(letters)
  const pairs = query?.split("&") ?? []
  if (access === undefined || !pairs.every((pair) => pair.includes("="))) return undefined
  const constraints = pairs.map((pair): Constraint => {
    const at = pair.indexOf("=")
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  return { _tag: "Resource", prefix, context: context as Context, resourceType, ...access, constraints } as Resource
}

const parseLaunchContext = (text: string, prefix: Prefix): Scope | undefined => {
  const [, resourceType, role] = /^launch\/([a-z][a-z0-9]*)(?:\?role=([^&]+))?$/.exec(text) ?? []
  if (resourceType === undefined) return undefined
  return { _tag: "LaunchContext", prefix, resourceType, ...(role === undefined ? {} : { role }) }
}

const OTHERS = ["profile", "email", "address", "phone"] as const

const parseWord = (text: string, prefix: Prefix): Scope | undefined => {
  const _tag = keysOf(words).find((one) => words[one] === text)
  if (_tag !== undefined) return { _tag, prefix }
  const name = OTHERS.find((one) => one === text)
  return name === undefined ? undefined : { _tag: "Other", prefix, name }
}

const parseKnown = (text: string, prefix: Prefix): Scope | undefined =>
  parseWord(text, prefix) ?? parseLaunchContext(text, prefix) ?? parseResource(text, prefix)

/**
 * Parses one scope. Never fails: a scope that SMART does not define is an `Extension` or `Unknown`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseScope = (text: string): Scope => {
  const unknown: Unknown = { _tag: "Unknown", value: text }
  if (/\s/.test(text)) return unknown
  if (text.startsWith(smartPrefix)) return parseKnown(text.slice(smartPrefix.length), smartPrefix) ?? unknown
  if (text.startsWith(openIdPrefix)) return parseWord(text.slice(openIdPrefix.length), openIdPrefix) ?? unknown
  return parseKnown(text, "") ??
    (/^(?:__|[A-Za-z][A-Za-z0-9+.-]*:)./.test(text) ? { _tag: "Extension", value: text } : unknown)
}

/**
 * Why a scope string cannot be sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unsendable {
  readonly reason: "Empty" | "Spacing" | "NotScopeToken" | "CommaSeparated"
  readonly scope: string
  readonly advice: string
}

// RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
const isScopeToken = (text: string): boolean => /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(text)

const isSmart = (text: string): boolean => {
  const { _tag } = parseScope(text)
  return _tag !== "Unknown" && _tag !== "Extension" && _tag !== "Other"
}

/** A comma may stand in the value of a constraint, where it separates alternatives; a scope behind it may not. */
const isCommaSeparated = (text: string): boolean => {
  const [, ...rest] = text.split(",")
  return rest.some(isSmart) || rest.length > 0 && !text.includes("?") && parseScope(text)._tag === "Unknown"
}

/**
 * The problems of a scope string, and those that `validateScope` finds in scopes that can be sent.
 *
 * @internal
 */
export const findUnsendable = <F>(
  text: string,
  validateScope: (scope: string) => ReadonlyArray<F>
): ReadonlyArray<Unsendable | F> => {
  if (text.trim() === "") return [{ reason: "Empty", scope: text, advice: "ask for at least one scope" }]
  const spacing: Unsendable = { reason: "Spacing", scope: text, advice: "separate scopes by exactly one space" }
  const parts = text.split(" ")
  return [
    ...parts.includes("") ? [spacing] : [],
    ...parts.filter((part) => part !== "").flatMap((scope): ReadonlyArray<Unsendable | F> => {
      if (!isScopeToken(scope)) {
        const advice = "percent-encode spaces, quotes, backslashes and what is not ASCII"
        return [{ reason: "NotScopeToken", scope, advice }]
      }
      return isCommaSeparated(scope)
        ? [{ reason: "CommaSeparated", scope, advice: "separate scopes by spaces" }]
        : validateScope(scope)
    })
  ]
}

/**
 * The problems because of which a scope string cannot be sent (RFC 6749, section 3.3). Unknown scopes can be sent:
 * servers define their own. `validate` also finds misspelled ones.
 *
 * @since 0.1.0
 * @category combinators
 */
export const unsendable = (text: string): ReadonlyArray<Unsendable> => findUnsendable<never>(text, () => [])
