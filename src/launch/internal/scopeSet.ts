/**
 * The normal form of scopes, and the search for wider ones. Implements "Scope Equivalence" and "Wildcard scopes" of
 * SMART App Launch 2.2, Scopes and Launch Context.
 *
 * Read as access, a set of resource scopes is what any of them allows: context word, resource type, one letter and the
 * constraints that hold. One such permission is wider than another if it has the same context and letter, the same
 * type or `*`, and no constraint that the other lacks. All comparisons follow from that order.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type { Constraint, Permissions, Resource, ResourceV2, Scope } from "./scope.js"
import { isPermissions, isResource, printScope } from "./scope.js"
import { canonicalConstraint, canonicalRole } from "./scopeBuilder.js"

type Letter = "c" | "r" | "u" | "d" | "s"
const letters: ReadonlyArray<Letter> = ["c", "r", "u", "d", "s"]

/**
 * The letters that are included, if any.
 *
 * @internal
 */
export const select = (includes: (letter: Letter) => boolean): Option.Option<Permissions> =>
  Option.liftPredicate(letters.filter(includes).join(""), isPermissions)

/** @internal */
export const printConstraint = ([name, value]: Constraint): string => `${name}=${value}`

/** @internal */
export const canonicalResource = (scope: Resource): ResourceV2 => {
  const constraints = new Map(scope.constraints.map(canonicalConstraint).map((pair) => [printConstraint(pair), pair]))
  return {
    ...scope,
    prefix: "",
    syntax: "v2",
    constraints: Array.from(constraints.values()).sort(Order.mapInput(Order.string, printConstraint))
  }
}

/** @internal */
export const canonicalOther = <S extends Exclude<Scope, Resource>>(scope: S): S => {
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

/** @internal */
export const isOther = (scope: Scope): scope is Exclude<Scope, Resource> => !isResource(scope)

/** @internal */
export const normalizeResources = (scopes: ReadonlyArray<Scope>): ReadonlyArray<ResourceV2> => {
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
