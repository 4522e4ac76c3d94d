/**
 * The algebra of scopes: normal form, union, coverage, and what a grant lacks or adds. Implements "Scope Equivalence"
 * and "Wildcard scopes" of SMART App Launch 2.2, Scopes and Launch Context.
 *
 * Read as access, a set of resource scopes is what any of them allows: context word, resource type, one letter and the
 * constraints that hold. One such permission is wider than another if it has the same context and letter, the same
 * type or `*`, and no constraint that the other lacks. All functions below follow from that order.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type { Constraint, Permissions, Resource, ResourceV2, Scope } from "./scope.js"
import { isPermissions, isResource, printScope } from "./scope.js"
import { canonicalConstraint, canonicalRole } from "./scopeBuilder.js"

// ---- normal form

type Letter = "c" | "r" | "u" | "d" | "s"
const letters: ReadonlyArray<Letter> = ["c", "r", "u", "d", "s"]

const select = (includes: (letter: Letter) => boolean): Option.Option<Permissions> =>
  Option.liftPredicate(letters.filter(includes).join(""), isPermissions)

const printConstraint = ([name, value]: Constraint): string => `${name}=${value}`

const canonicalResource = (scope: Resource): ResourceV2 => {
  const constraints = new Map(scope.constraints.map(canonicalConstraint).map((pair) => [printConstraint(pair), pair]))
  return {
    ...scope,
    prefix: "",
    syntax: "v2",
    constraints: Array.from(constraints.values()).sort(Order.mapInput(Order.string, printConstraint))
  }
}

const canonicalOther = <S extends Exclude<Scope, Resource>>(scope: S): S => {
  switch (scope._tag) {
    case "Extension":
    case "Unknown":
      return scope
    case "LaunchContext":
      return { ...scope, prefix: "", ...(scope.role === undefined ? {} : { role: canonicalRole(scope.role) }) }
    default:
      return { ...scope, prefix: "" }
  }
}

/** Equal for scopes that differ in their letters only. */
const identity = (scope: Resource): string =>
  `${scope.context}/${scope.resourceType}?${scope.constraints.map(printConstraint).join("&")}`

/**
 * Merges the letters of scopes that are equal otherwise.
 *
 * @internal
 */
export const merge = (scopes: ReadonlyArray<Resource>): ReadonlyArray<ResourceV2> => {
  const merged = new Map<string, ResourceV2>()
  for (const scope of scopes.map(canonicalResource)) {
    const key = identity(scope)
    const before = merged.get(key)?.permissions ?? ""
    Option.map(
      select((letter) => before.includes(letter) || scope.permissions.includes(letter)),
      (permissions) => merged.set(key, { ...scope, permissions })
    )
  }
  return Array.from(merged.values())
}

/**
 * The part of a scope that the others do not already allow.
 *
 * @internal
 */
export const without = (scope: ResourceV2, wider: ReadonlyArray<Resource>): Option.Option<ResourceV2> =>
  Option.map(
    select((letter) => scope.permissions.includes(letter) && !wider.some((one) => one.permissions.includes(letter))),
    (permissions) => ({ ...scope, permissions })
  )

interface Node {
  readonly scopes: Array<ResourceV2>
  readonly next: Map<string, Node>
}

const makeNode = (): Node => ({ scopes: [], next: new Map() })

const child = (node: Node, key: string): Node => {
  const found = node.next.get(key) ?? makeNode()
  node.next.set(key, found)
  return found
}

/** The number of nodes that a search visits: all subsets of eight constraints. Scopes with more are not covered. */
const MAX_VISITED = 256

/**
 * Finds the scopes that are at least as wide as a given one, letters aside. They are kept in a tree of their sorted
 * constraints, below context and type: a search only takes branches that the narrower scope has too, the shortest
 * first, and ends after `MAX_VISITED` nodes, so that a long hostile grant does not cost its square.
 *
 * @internal
 */
export const indexed = (scopes: ReadonlyArray<ResourceV2>): (need: ResourceV2) => ReadonlyArray<ResourceV2> => {
  const roots = makeNode()
  for (const scope of scopes) {
    const root = child(roots, `${scope.context}/${scope.resourceType}`)
    scope.constraints.map(printConstraint).reduce(child, root).scopes.push(scope)
  }
  return (need) => {
    const constraints = new Set(need.constraints.map(printConstraint))
    const types = new Set([need.resourceType, "*"])
    const open = Array.from(types).flatMap((type) => {
      const root = roots.next.get(`${need.context}/${type}`)
      return root === undefined ? [] : [root]
    })
    const visit = (next: Node | undefined) => {
      if (next !== undefined) open.push(next)
      return open.length < MAX_VISITED
    }
    // The list grows during the loop; recursion could overflow the stack.
    for (const node of open) {
      if (node.next.size < constraints.size) {
        for (const [key, next] of node.next) if (constraints.has(key) && !visit(next)) break
      } else {
        for (const key of constraints) if (!visit(node.next.get(key))) break
      }
      if (open.length >= MAX_VISITED) break
    }
    // a scope always covers itself, however many constraints it has
    const same = Array.from(constraints).reduce<Node | undefined>(
      (node, key) => node?.next.get(key),
      roots.next.get(`${need.context}/${need.resourceType}`)
    )
    return (same === undefined ? open : [...open, same]).flatMap((node) => node.scopes)
  }
}

/**
 * The order of the kinds of scopes in the normal form.
 *
 * @internal
 */
export const rank: Record<Scope["_tag"], number> = {
  Launch: 0,
  LaunchContext: 1,
  OpenId: 2,
  FhirUser: 3,
  Other: 4,
  OfflineAccess: 5,
  OnlineAccess: 6,
  Resource: 7,
  Extension: 8,
  Unknown: 9
}

const inOrder: Order.Order<readonly [rank: number, text: string]> = Order.tuple(Order.number, Order.string)

/** Each scope is printed once, not at each comparison. */
const sorted = (scopes: ReadonlyArray<Scope>): ReadonlyArray<Scope> =>
  scopes
    .map((scope) => ({ scope, key: [rank[scope._tag], printScope(scope)] as const }))
    .sort((one, other) => inOrder(one.key, other.key))
    .map(({ scope }) => scope)

const isOther = (scope: Scope): scope is Exclude<Scope, Resource> => !isResource(scope)

const normalizeResources = (scopes: ReadonlyArray<Scope>): ReadonlyArray<ResourceV2> => {
  const merged = merge(scopes.filter(isResource))
  const widerThan = indexed(merged)
  return merged.flatMap((scope) => Option.toArray(without(scope, widerThan(scope).filter((one) => one !== scope))))
}

/**
 * The normal form: short v2 spelling, letters merged, scopes that another scope covers removed, sorted. Two sets of
 * scopes with the same meaning have the same normal form.
 *
 * @since 0.1.0
 * @category combinators
 */
export const normalize = (scopes: ReadonlyArray<Scope>): ReadonlyArray<Scope> => {
  const others = new Map(scopes.filter(isOther).map(canonicalOther).map((scope) => [printScope(scope), scope]))
  return sorted([...others.values(), ...normalizeResources(scopes)])
}

// ---- comparison

/**
 * The scopes that allow what `self` or `that` allows, in normal form.
 *
 * @since 0.1.0
 * @category combinators
 */
export const union: {
  (that: ReadonlyArray<Scope>): (self: ReadonlyArray<Scope>) => ReadonlyArray<Scope>
  (self: ReadonlyArray<Scope>, that: ReadonlyArray<Scope>): ReadonlyArray<Scope>
} = dual(
  2,
  (self: ReadonlyArray<Scope>, that: ReadonlyArray<Scope>): ReadonlyArray<Scope> => normalize([...self, ...that])
)

/** The part of each scope that one of the wider ones allows, too. */
const within = (scopes: ReadonlyArray<ResourceV2>, wider: ReadonlyArray<ResourceV2>): ReadonlyArray<ResourceV2> => {
  const widerThan = indexed(wider)
  return scopes.flatMap((scope) => {
    const found = widerThan(scope)
    return Option.toArray(Option.map(
      select((letter) => scope.permissions.includes(letter) && found.some((one) => one.permissions.includes(letter))),
      (permissions) => ({ ...scope, permissions })
    ))
  })
}

/** Finds the scopes whose context and type overlap with those of a given one. */
const overlapping = (
  scopes: ReadonlyArray<ResourceV2>
): (scope: ResourceV2) => ReadonlyArray<ReadonlyArray<ResourceV2>> => {
  const groups = new Map<string, Array<ResourceV2>>()
  const add = (key: string, scope: ResourceV2) => {
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [scope])
    else group.push(scope)
  }
  for (const scope of scopes) {
    add(scope.context, scope)
    add(`${scope.context}/${scope.resourceType}`, scope)
  }
  return ({ context, resourceType }) =>
    (resourceType === "*" ? [context] : [`${context}/${resourceType}`, `${context}/*`])
      .map((key) => groups.get(key) ?? [])
}

/** Above this number of pairs, conjunctions are left out: a hostile grant would cost quadratic time. */
const MAX_PAIRS = 10_000

/** The overlap of two scopes of which neither covers the other: it has the constraints of both. */
const conjunctions = (
  ours: ReadonlyArray<ResourceV2>,
  theirs: ReadonlyArray<ResourceV2>
): ReadonlyArray<ResourceV2> => {
  // of two scopes without constraints one covers the other, if they overlap at all
  const isConstrained = (scope: ResourceV2) => scope.constraints.length > 0
  const all = overlapping(theirs)
  const constrained = overlapping(theirs.filter(isConstrained))
  const partnersOf = (scope: ResourceV2) => (isConstrained(scope) ? all : constrained)(scope)
  let pairs = 0
  for (const one of ours) for (const partners of partnersOf(one)) pairs += partners.length
  if (pairs > MAX_PAIRS) return []
  return ours.flatMap((one) =>
    partnersOf(one).flat().flatMap((two) =>
      Option.toArray(Option.map(
        select((letter) => one.permissions.includes(letter) && two.permissions.includes(letter)),
        (permissions): ResourceV2 => ({
          ...one,
          resourceType: one.resourceType === "*" ? two.resourceType : one.resourceType,
          permissions,
          constraints: [...one.constraints, ...two.constraints]
        })
      ))
    )
  )
}

/**
 * The scopes that allow what both `self` and `that` allow, in normal form: of `patient/*.rs` and
 * `patient/Observation.cruds` it is `patient/Observation.rs`. Scopes with different constraints overlap where all
 * constraints hold; with more than 10,000 pairs of such scopes the result holds only those that one side covers.
 *
 * @since 0.1.0
 * @category combinators
 */
export const intersection: {
  (that: ReadonlyArray<Scope>): (self: ReadonlyArray<Scope>) => ReadonlyArray<Scope>
  (self: ReadonlyArray<Scope>, that: ReadonlyArray<Scope>): ReadonlyArray<Scope>
} = dual(2, (self: ReadonlyArray<Scope>, that: ReadonlyArray<Scope>): ReadonlyArray<Scope> => {
  const ours = normalizeResources(self)
  const theirs = normalizeResources(that)
  const known = new Set(that.filter(isOther).map(canonicalOther).map(printScope))
  const others = self.filter(isOther).map(canonicalOther).filter((scope) => known.has(printScope(scope)))
  return normalize([...others, ...within(ours, theirs), ...within(theirs, ours), ...conjunctions(ours, theirs)])
})

/** The part of each needed scope that no granted one covers. `widerThan` finds the granted scopes that are as wide. */
const uncovered = (
  granted: ReadonlyArray<Scope>,
  needed: ReadonlyArray<Scope>,
  widerThan: (need: ResourceV2) => ReadonlyArray<Resource>
): ReadonlyArray<Scope> => {
  const known = new Set(granted.filter(isOther).map(canonicalOther).map(printScope))
  return needed.flatMap((scope): ReadonlyArray<Scope> => {
    if (isOther(scope)) {
      const other = canonicalOther(scope)
      return known.has(printScope(other)) ? [] : [other]
    }
    const need = canonicalResource(scope)
    return Option.toArray(without(need, widerThan(need)))
  })
}

/**
 * The needed scopes that are not granted, in normal form.
 *
 * @since 0.1.0
 * @category combinators
 */
export const missing: {
  (needed: ReadonlyArray<Scope>): (granted: ReadonlyArray<Scope>) => ReadonlyArray<Scope>
  (granted: ReadonlyArray<Scope>, needed: ReadonlyArray<Scope>): ReadonlyArray<Scope>
} = dual(
  2,
  (granted: ReadonlyArray<Scope>, needed: ReadonlyArray<Scope>): ReadonlyArray<Scope> =>
    normalize(uncovered(granted, needed, indexed(merge(granted.filter(isResource)))))
)

/**
 * As `missing`, in the order of `needed` and without an index: a launch contains neither that nor the normal form. Its
 * time is the product of both lengths, so one of the lists must be the app's own.
 *
 * @internal
 */
export const notGranted = (granted: ReadonlyArray<Scope>, needed: ReadonlyArray<Scope>): ReadonlyArray<Scope> => {
  const resources = granted.filter(isResource).map(canonicalResource).map((scope) => ({
    scope,
    constraints: scope.constraints.map(printConstraint)
  }))
  return uncovered(granted, needed, (need) => {
    const known = new Set(need.constraints.map(printConstraint))
    const types = [need.resourceType, "*"]
    return resources.flatMap(({ constraints, scope }) =>
      scope.context === need.context && types.includes(scope.resourceType) && constraints.every((one) => known.has(one))
        ? [scope]
        : []
    )
  })
}

/**
 * Whether all needed scopes are granted. A narrower grant never covers a wider need, a need for `*` is only covered by
 * a grant of `*`, and `patient/`, `user/` and `system/` do not stand in for each other.
 *
 * @since 0.1.0
 * @category predicates
 */
export const covers: {
  (needed: ReadonlyArray<Scope>): (granted: ReadonlyArray<Scope>) => boolean
  (granted: ReadonlyArray<Scope>, needed: ReadonlyArray<Scope>): boolean
} = dual(
  2,
  (granted: ReadonlyArray<Scope>, needed: ReadonlyArray<Scope>): boolean => missing(granted, needed).length === 0
)

/**
 * How a grant compares with the request.
 *
 * @since 0.1.0
 * @category models
 */
export interface Difference {
  /** the granted part of the request */
  readonly granted: ReadonlyArray<Scope>
  /** the part of the request that was not granted */
  readonly missing: ReadonlyArray<Scope>
  /** scopes that were granted and not requested */
  readonly extra: ReadonlyArray<Scope>
}

/**
 * Compares a grant with the request. A server may grant the same, fewer, more, other or no scopes.
 *
 * @since 0.1.0
 * @category combinators
 */
export const diff: {
  (granted: ReadonlyArray<Scope>): (requested: ReadonlyArray<Scope>) => Difference
  (requested: ReadonlyArray<Scope>, granted: ReadonlyArray<Scope>): Difference
} = dual(2, (requested: ReadonlyArray<Scope>, granted: ReadonlyArray<Scope>): Difference => ({
  granted: intersection(requested, granted),
  missing: missing(granted, requested),
  extra: missing(requested, granted)
}))
