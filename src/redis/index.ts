/**
 * What needs Redis, by way of `ioredis`.
 *
 * @since 0.1.0
 */
export * as RedisSessionStore from "./RedisSessionStore.js"
