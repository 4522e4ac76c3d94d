/**
 * The same app, and the whole library.
 */
export { show } from "./app.js"
export * from "effect-safire"
