/**
 * A session store in a relational database, with `@effect/sql`.
 *
 * @since 0.1.0
 */
export * as SqlSessionStore from "./SqlSessionStore.js"
