/**
 * Data that processes share through `@effect/experimental`'s persistence: Redis, LMDB or a key-value store.
 *
 * @since 0.1.0
 */
export * as PersistedDiscovery from "./PersistedDiscovery.js"
