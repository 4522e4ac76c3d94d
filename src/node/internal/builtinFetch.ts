/**
 * undici from npm puts its own dispatcher behind Node's global `fetch` when it is loaded before the one that Node carries. Not every program
 * survives that, so Node's own is loaded first.
 *
 * @internal
 */
export const load = (): unknown => globalThis.Response
