/**
 * What needs a relational database, by way of `@effect/sql`.
 *
 * @since 0.1.0
 */
export * as SqlSessionStore from "./SqlSessionStore.js"
