/**
 * Comparisons of sets of scopes: union, intersection, coverage, and what a grant lacks or adds. They follow from the
 * order in `scopeSet.ts`.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import type { Resource, ResourceV2, Scope } from "./scope.js"
import { isResource, printScope } from "./scope.js"
import {
  canonicalOther,
  canonicalResource,
  indexed,
  isOther,
  merge,
  normalize,
  normalizeResources,
  printConstraint,
  select,
  without
} from "./scopeSet.js"

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
  // Of two scopes without constraints one covers the other, if they overlap at all
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
  /** The granted part of the request. */
  readonly granted: ReadonlyArray<Scope>
  /** The part of the request that was not granted. */
  readonly missing: ReadonlyArray<Scope>
  /** Scopes that were granted and not requested. */
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
