/**
 * JSON text that is equal for equal values: the members of an object have no order, the items of an array have one. A
 * list instead of recursion would gain nothing: the values come from this program.
 *
 * @internal
 */
export const canonicalJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join()
  }}`
}
