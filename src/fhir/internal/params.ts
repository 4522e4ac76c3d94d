/**
 * Search parameters, as FHIR R4 writes them into a query (section 3.1.1): repeated for "and", with commas for "or".
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export type Value = string | number | boolean

/**
 * By name, an array for a parameter that is repeated and `undefined` for one that is left out; or pairs in order. Values are encoded; commas,
 * bars and modifiers (`subject:missing`) are the caller's.
 *
 * @since 0.1.0
 * @category models
 */
export type Params =
  | Readonly<Record<string, Value | ReadonlyArray<Value> | undefined>>
  | ReadonlyArray<readonly [name: string, value: Value]>

const isPairs = (params: Params): params is ReadonlyArray<readonly [name: string, value: Value]> =>
  Array.isArray(params)

/**
 * The parameters one by one, without those that are left out.
 *
 * @since 0.1.0
 * @category accessors
 */
export const pairs = (params: Params): ReadonlyArray<readonly [name: string, value: Value]> =>
  isPairs(params)
    ? params
    : Object.entries(params).flatMap(([name, value]): ReadonlyArray<readonly [string, Value]> =>
      value === undefined
        ? []
        : typeof value === "object"
        ? value.map((one) => [name, one] as const)
        : [[name, value]]
    )

/**
 * @since 0.1.0
 * @category combinators
 */
export const print = (params: Params): string =>
  new URLSearchParams(pairs(params).map(([name, value]) => [name, String(value)])).toString()
