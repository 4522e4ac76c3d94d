/**
 * Search parameters as FHIR R4 writes them into a query (section 3.1.1): repeated for "and", with commas for "or".
 *
 * @since 0.1.0
 */

/**
 * The value of a parameter.
 *
 * @since 0.1.0
 * @category models
 */
export type ParamValue = string | number | boolean

/**
 * By name, with an array for a repeated parameter and `undefined` for an absent one; or pairs in order. Values are
 * URL-encoded. The caller writes commas, bars and modifiers (`subject:missing`).
 *
 * @since 0.1.0
 * @category models
 */
export type Params =
  | Readonly<Record<string, ParamValue | ReadonlyArray<ParamValue> | undefined>>
  | ReadonlyArray<readonly [name: string, value: ParamValue]>

const isPairs = (params: Params): params is ReadonlyArray<readonly [name: string, value: ParamValue]> =>
  Array.isArray(params)

/** Names and values, without absent parameters. */
export const pairs = (params: Params): ReadonlyArray<readonly [name: string, value: ParamValue]> =>
  isPairs(params)
    ? params
    : Object.entries(params).flatMap(([name, value]): ReadonlyArray<readonly [string, ParamValue]> =>
      value === undefined
        ? []
        : typeof value === "object"
        ? value.map((one) => [name, one] as const)
        : [[name, value]]
    )

const isBlank = (value: ParamValue): boolean => typeof value === "string" && value.trim() === ""

/** The name of a parameter without a value. Servers ignore it: the request would match more than it should. */
export const nameWithoutValue = (params: Params): string | undefined =>
  (isPairs(params) ? params : Object.entries(params)).find(([, value]) =>
    typeof value === "object" ? value.length === 0 || value.some(isBlank) : value !== undefined && isBlank(value)
  )?.[0]

/** Why a search or a condition with these parameters is not sent. */
export const noValue = (name: string): string => `the parameter "${name}" has no value; a server ignores it`

/** The query, without a question mark. */
export const print = (params: Params): string =>
  new URLSearchParams(pairs(params).map(([name, value]) => [name, String(value)])).toString()
