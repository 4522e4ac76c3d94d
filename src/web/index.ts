/**
 * Routes for web apps.
 *
 * @since 0.1.0
 */
export * as CurrentSession from "./CurrentSession.js"
export * as Problem from "./Problem.js"
export * as SmartRoutes from "./SmartRoutes.js"
export * as WebApp from "./WebApp.js"
