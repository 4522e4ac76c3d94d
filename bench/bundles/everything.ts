/**
 * The same app, and all there is.
 */
export { show } from "./app.js"
export * from "effect-safire"
