/**
 * The scopes of SMART App Launch 2.2 ("Scopes and Launch Context"). The sandbox tests the library, so it shares no code
 * with the library's scopes.
 *
 * @since 0.1.0
 */

/** The parts of a resource scope. */
export interface ResourceScope {
  readonly context: "patient" | "user" | "system"
  readonly type: string
  /** Letters of `cruds`. */
  readonly letters: string
  readonly constraints: ReadonlyArray<readonly [name: string, value: string]>
}

// RFC 6749 §3.3: printable ASCII without space, double quote and backslash.
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const resourceScope = /^(patient|user|system)\/(\*|[A-Z][A-Za-z]+)\.([a-z*]+)(?:\?(.+))?$/
const v1Letters: Readonly<Record<string, string>> = { read: "rs", write: "cud", "*": "cruds" }
const contextScope = /^launch(?:\/[a-z]+(?:\?role=[^&]+)?)?$/

/** The parts of a resource scope, v1 or v2; undefined for any other scope and for one with letters out of order. */
export const parseResourceScope = (scope: string): ResourceScope | undefined => {
  const match = resourceScope.exec(scope)
  if (match === null) return undefined
  const [, context, type = "", permission = "", query] = match
  if (context !== "patient" && context !== "user" && context !== "system") return undefined
  const letters = v1Letters[permission] ?? (/^(?=.)c?r?u?d?s?$/.test(permission) ? permission : undefined)
  if (letters === undefined) return undefined
  const constraints = (query ?? "").split("&").filter((part) => part !== "").map((part) => {
    const equals = part.indexOf("=")
    return equals < 0 ? [part, ""] as const : [part.slice(0, equals), part.slice(equals + 1)] as const
  })
  return constraints.some(([name, value]) => name === "" || value === "") ? undefined : {
    context,
    type,
    letters,
    constraints
  }
}

/** The problem of a requested scope string. */
export const findProblem = (scopes: ReadonlyArray<string>): string | undefined => {
  if (scopes.length === 0) return "scope is required"
  for (const scope of scopes) {
    if (!scopeToken.test(scope)) return "a scope has characters that RFC 6749 does not allow"
    if (/^(?:patient|user|system)\//.test(scope) && parseResourceScope(scope) === undefined) {
      return `not a SMART resource scope: ${scope}`
    }
    // SMART scopes have commas only in search parameters; elsewhere they separate scopes by mistake.
    if (scope.split("?")[0]?.includes(",") === true) return "scopes are separated by spaces"
    if (scope.startsWith("launch/") && !contextScope.test(scope)) return `not a launch context scope: ${scope}`
  }
  return scopes.includes("fhirUser") && !scopes.includes("openid") ? "fhirUser needs openid" : undefined
}

/** The scopes of a scope string. */
export const splitScopes = (scope: string): ReadonlyArray<string> => scope.split(" ").filter((word) => word !== "")

const nonResourceScopes: ReadonlySet<string> = new Set([
  "openid",
  "fhirUser",
  "offline_access",
  "online_access",
  "launch",
  "launch/patient",
  "launch/encounter"
])

/** The search parameters that the sandbox supports in scopes. */
const constraintParameters: ReadonlySet<string> = new Set(["_id", "category", "code"])

/** Whether the sandbox can grant a well-formed scope to an app with a user. */
export const isGrantableToUser = (scope: string): boolean => {
  const parsed = parseResourceScope(scope)
  return parsed === undefined
    ? nonResourceScopes.has(scope)
    : parsed.context !== "system" && parsed.constraints.every(([name]) => constraintParameters.has(name))
}

/** Whether the sandbox can grant a well-formed scope to a backend service. */
export const isGrantableToSystem = (scope: string): boolean => {
  const parsed = parseResourceScope(scope)
  return parsed !== undefined && parsed.context === "system" &&
    parsed.constraints.every(([name]) => constraintParameters.has(name))
}

const sameConstraints = (a: ResourceScope, b: ResourceScope): boolean =>
  a.constraints.every(([name, value]) => b.constraints.some(([n, v]) => n === name && v === value))

/** Whether the granted scopes include all permissions of `needed`. */
export const covers = (granted: ReadonlyArray<string>, needed: string): boolean => {
  if (granted.includes(needed)) return true
  const need = parseResourceScope(needed)
  if (need === undefined) return false
  const wider = granted.flatMap((scope) => {
    const grant = parseResourceScope(scope)
    return grant !== undefined && grant.context === need.context && (grant.type === need.type || grant.type === "*") &&
        sameConstraints(grant, need)
      ? [grant]
      : []
  })
  return Array.from(need.letters).every((letter) => wider.some((grant) => grant.letters.includes(letter)))
}
