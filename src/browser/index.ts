/**
 * What needs a browser.
 *
 * @since 0.1.0
 */
export * as WebStorageSessionStore from "./WebStorageSessionStore.js"
