/**
 * Conversion between the two syntaxes of SMART scopes, v1 (`.read`, `.write`, `.*`) and v2 (`.cruds`). Implements the
 * v1 mapping of SMART App Launch 2.2, Scopes and Launch Context, and the choice of syntax by the capabilities
 * `permission-v1` and `permission-v2`.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import {
  isResource,
  type Permissions,
  type PermissionsV1,
  printScope,
  type Resource,
  type ResourceV1,
  type Scope
} from "./scope.js"
import { missing } from "./scopeComparison.js"
import { indexed, merge, without } from "./scopeSet.js"

/**
 * A scope that v1 cannot express, and the wider scopes that replace it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Widened {
  readonly from: Resource
  readonly to: ReadonlyArray<Resource>
}

/**
 * Scopes in another syntax, and the scopes that it cannot express.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conversion {
  readonly scopes: ReadonlyArray<Scope>
  /** not in `scopes`: v1 has no partial letters and no constraints */
  readonly unconvertible: ReadonlyArray<Scope>
  /** scopes replaced by wider ones; empty unless `widen` is set */
  readonly widened: ReadonlyArray<Widened>
}

/**
 * `widen` replaces a scope that the syntax cannot express by wider scopes. Default false.
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

/** The v1 scopes whose letters pass the test; `.*` instead of `.read` and `.write`. */
const inWords = (scope: Resource, test: (scope: Resource, word: string) => boolean): ReadonlyArray<ResourceV1> => {
  const fitting = (["rs", "cud"] as const).filter((word) => test(scope, word))
  return fitting.length === 2 ? [inV1(scope, "cruds")] : fitting.map((word) => inV1(scope, word))
}

/**
 * Writes resource scopes in v1. Letters of several scopes are combined (`.r` and `.s` give `.read`). Other letters and
 * scopes with constraints are reported, or widened if `widen` is set.
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
 * Writes resource scopes in v2, which can express every scope.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toV2 = (scopes: ReadonlyArray<Scope>): ReadonlyArray<Scope> =>
  scopes.map((scope): Scope => isResource(scope) ? { ...scope, syntax: "v2" } : scope)

/**
 * The syntaxes that a server supports: its capabilities `permission-v1` and `permission-v2`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerSyntaxes {
  readonly v1?: boolean | undefined
  readonly v2?: boolean | undefined
}

/**
 * Scopes for a server, and their syntax.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerScopes extends Conversion {
  readonly syntax: "v1" | "v2" | "AsWritten"
}

/**
 * Writes scopes in the syntax that a server supports: v2 if possible, else v1; unchanged if the server declares
 * neither. All are in one syntax, because some servers refuse a mixture.
 *
 * @since 0.1.0
 * @category combinators
 */
export const forServer: {
  (server: ServerSyntaxes, options?: ConversionOptions): (scopes: ReadonlyArray<Scope>) => ServerScopes
  (scopes: ReadonlyArray<Scope>, server: ServerSyntaxes, options?: ConversionOptions): ServerScopes
} = dual((args) => Array.isArray(args[0]), (
  scopes: ReadonlyArray<Scope>,
  server: ServerSyntaxes,
  options?: ConversionOptions
): ServerScopes => {
  if (server.v2 === true) return { syntax: "v2", scopes: toV2(scopes), unconvertible: [], widened: [] }
  if (server.v1 === true) return { syntax: "v1", ...toV1(scopes, options) }
  return { syntax: "AsWritten", scopes, unconvertible: [], widened: [] }
})
