/**
 * SMART apps that run in a browser page.
 *
 * @since 0.1.0
 */
export * as BrowserLaunch from "./BrowserLaunch.js"
export { BrowserLaunchError } from "./BrowserLaunchError.js"
export * as FetchFailure from "./FetchFailure.js"
export * as Page from "./Page.js"
export * as WebStorageSessionStore from "./WebStorageSessionStore.js"
