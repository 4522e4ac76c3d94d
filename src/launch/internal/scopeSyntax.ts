/**
 * The two syntaxes of SMART scopes, v1 (`.read`, `.write`, `.*`) and v2 (`.cruds`), and how to write in the one that a
 * server speaks. Implements the v1 mapping of SMART App Launch 2.2, Scopes and Launch Context, and the choice by the
 * capabilities `permission-v1` and `permission-v2`.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import type { Permissions, PermissionsV1, Resource, ResourceV1, Scope } from "./scope.js"
import { isResource, printScope } from "./scope.js"
import { indexed, merge, missing, without } from "./scopeSet.js"

/**
 * A scope that has no form in v1, and the wider ones that stand in for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Widened {
  readonly from: Resource
  readonly to: ReadonlyArray<Resource>
}

/**
 * Scopes in another syntax, and what could not be written in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conversion {
  readonly scopes: ReadonlyArray<Scope>
  /** what `scopes` does not ask for: partial letters and constraints have no v1 form */
  readonly unconvertible: ReadonlyArray<Scope>
  /** where more is asked than was wanted; only if the caller allowed it */
  readonly widened: ReadonlyArray<Widened>
}

/**
 * `widen` allows to ask for more than is wanted where the syntax has no words for less.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConversionOptions {
  readonly widen?: boolean | undefined
}

const isPermissionsV1 = (permissions: Permissions): permissions is PermissionsV1 =>
  permissions === "rs" || permissions === "cud" || permissions === "cruds"

const inV1 = (scope: Resource, permissions: PermissionsV1): ResourceV1 => ({
  ...scope,
  syntax: "v1",
  permissions,
  constraints: []
})

const directly = (scope: Resource): Option.Option<ResourceV1> =>
  scope.constraints.length === 0 && isPermissionsV1(scope.permissions)
    ? Option.some(inV1(scope, scope.permissions))
    : Option.none()

const contains = (scope: Resource, word: string): boolean =>
  Array.from(word).every((letter) => scope.permissions.includes(letter))

const touches = (scope: Resource, word: string): boolean =>
  Array.from(word).some((letter) => scope.permissions.includes(letter))

/** The words of v1 of which the scope fits the test, the one for both instead of two. */
const inWords = (scope: Resource, test: (scope: Resource, word: string) => boolean): ReadonlyArray<ResourceV1> => {
  const fitting = (["rs", "cud"] as const).filter((word) => test(scope, word))
  return fitting.length === 2 ? [inV1(scope, "cruds")] : fitting.map((word) => inV1(scope, word))
}

/**
 * Writes resource scopes in v1. Letters of several scopes are put together where that makes a word (`.r` and `.s` make
 * `.read`); what is left over, or has constraints, is reported, or widened if the caller wants that.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toV1 = (scopes: ReadonlyArray<Scope>, options?: ConversionOptions): Conversion => {
  const resources = scopes.filter(isResource)
  const direct = resources.flatMap((scope) => Option.toArray(directly(scope)))
  const widerThan = indexed(merge(direct))
  const joined = merge(resources.filter((scope) => scope.constraints.length === 0 && Option.isNone(directly(scope))))
    .flatMap((scope) => Option.toArray(without(scope, widerThan(scope))))
    .flatMap((scope) => inWords(scope, contains))
  const converted = [
    ...scopes.flatMap((scope): ReadonlyArray<Scope> => isResource(scope) ? Option.toArray(directly(scope)) : [scope]),
    ...joined
  ]
  const left = missing(converted, resources).filter(isResource)
  if (options?.widen !== true) return { scopes: converted, unconvertible: left, widened: [] }
  const widened = left.map((from) => ({ from, to: inWords(from, touches) }))
  const added = new Map(widened.flatMap(({ to }) => to).map((scope) => [printScope(scope), scope]))
  return { scopes: [...converted, ...added.values()], unconvertible: [], widened }
}

/**
 * Writes resource scopes in v2, which has a form for everything.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toV2 = (scopes: ReadonlyArray<Scope>): ReadonlyArray<Scope> =>
  scopes.map((scope): Scope => isResource(scope) ? { ...scope, syntax: "v2" } : scope)

/**
 * Which syntaxes a server says it understands, with `permission-v1` and `permission-v2` among its capabilities.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerSyntaxes {
  readonly v1?: boolean | undefined
  readonly v2?: boolean | undefined
}

/**
 * Scopes as a server wants them, and in which syntax they are now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerScopes extends Conversion {
  readonly syntax: "v1" | "v2" | "AsWritten"
}

/**
 * Writes scopes in the syntax that a server speaks: v2 if it can, all in one syntax because some servers refuse a
 * mixture, v1 if that is all it can, and as they are if it does not say.
 *
 * @since 0.1.0
 * @category combinators
 */
export const forServer = (
  scopes: ReadonlyArray<Scope>,
  server: ServerSyntaxes,
  options?: ConversionOptions
): ServerScopes => {
  if (server.v2 === true) return { syntax: "v2", scopes: toV2(scopes), unconvertible: [], widened: [] }
  if (server.v1 === true) return { syntax: "v1", ...toV1(scopes, options) }
  return { syntax: "AsWritten", scopes, unconvertible: [], widened: [] }
}
