/**
 * Loads Node's own undici first: if undici from npm is loaded before it, its dispatcher is used by Node's global
 * `fetch`, which breaks some programs.
 *
 * @internal
 */
export const load = (): unknown => globalThis.Response
