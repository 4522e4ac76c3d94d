/**
 * What the granted scopes allow at a server, beside what its CapabilityStatement offers (SMART App Launch 2.2, "Scopes
 * for requesting FHIR Resources"; FHIR R4, section 3.1.0.8). Pure.
 *
 * @since 0.1.0
 */
import * as Scopes from "../../launch/Scopes.js"
import * as CapabilityStatements from "../../server/CapabilityStatements.js"

/**
 * The interactions with one resource type, by their codes in a CapabilityStatement.
 *
 * @since 0.1.0
 * @category models
 */
export interface TypeAccess {
  readonly type: string
  /** Whose data: the contexts of the scopes for this type. */
  readonly contexts: ReadonlyArray<Scopes.Context>
  readonly allowedAndOffered: ReadonlyArray<string>
  readonly allowedOnly: ReadonlyArray<string>
  readonly offeredOnly: ReadonlyArray<string>
  /** The allowed interactions that every scope limits by search parameters. */
  readonly constrained: ReadonlyArray<string>
}

/** The permissions of SMART (requirements 120 to 125), in the order of the report. */
const INTERACTIONS: ReadonlyArray<readonly [interaction: string, permission: string]> = [
  ["read", "r"],
  ["vread", "r"],
  ["search-type", "s"],
  ["create", "c"],
  ["update", "u"],
  ["patch", "u"],
  ["delete", "d"],
  ["history-instance", "r"],
  ["history-type", "s"]
]

/** More types than any version of FHIR has, so that the list of a hostile server has an end. */
const MAX_TYPES = 1_000

/** What the scopes of one type allow. */
interface Grant {
  readonly contexts: Set<Scopes.Context>
  readonly permissions: Set<string>
  readonly unconstrained: Set<string>
}

const makeGrant = (): Grant => ({ contexts: new Set(), permissions: new Set(), unconstrained: new Set() })

const add = (grant: Grant, { constraints, context, permissions }: Scopes.Resource): Grant => {
  grant.contexts.add(context)
  for (const letter of permissions) {
    grant.permissions.add(letter)
    if (constraints.length === 0) grant.unconstrained.add(letter)
  }
  return grant
}

/** By resource type, with `*` for all of them. */
const grantsOf = (scopes: ReadonlyArray<Scopes.Scope>): ReadonlyMap<string, Grant> => {
  const grants = new Map<string, Grant>()
  for (const scope of scopes) {
    if (Scopes.isResource(scope)) {
      grants.set(scope.resourceType, add(grants.get(scope.resourceType) ?? makeGrant(), scope))
    }
  }
  return grants
}

/**
 * Compares the scopes with the statement, for each type in either of them, in alphabetical order. A type that is not
 * the name of a resource type is left out, and so are types after the first thousand.
 *
 * @since 0.1.0
 * @category combinators
 */
export const compare = (
  scopes: ReadonlyArray<Scopes.Scope>,
  capabilities: CapabilityStatements.ServerCapabilities
): ReadonlyArray<TypeAccess> => {
  const grants = grantsOf(scopes)
  const all = grants.get("*") ?? makeGrant()
  const types = [...new Set([...grants.keys(), ...capabilities.resources.keys()])]
    .filter((type) => /^[A-Z][A-Za-z]{0,63}$/.test(type))
    .sort()
    .slice(0, MAX_TYPES)
  return types.map((type) => {
    const one = grants.get(type) ?? makeGrant()
    const has = (set: "permissions" | "unconstrained", letter: string) => one[set].has(letter) || all[set].has(letter)
    const isOffered = (code: string) =>
      CapabilityStatements.unlisted(capabilities, { code, resourceType: type }).length === 0
    const select = (test: (code: string, letter: string) => boolean) =>
      INTERACTIONS.flatMap(([code, letter]) => test(code, letter) ? [code] : [])
    return {
      type,
      contexts: [...new Set([...one.contexts, ...all.contexts])].sort(),
      allowedAndOffered: select((code, letter) => has("permissions", letter) && isOffered(code)),
      allowedOnly: select((code, letter) => has("permissions", letter) && !isOffered(code)),
      offeredOnly: select((code, letter) => !has("permissions", letter) && isOffered(code)),
      constrained: select((_, letter) => has("permissions", letter) && !has("unconstrained", letter))
    }
  })
}
