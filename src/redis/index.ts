/**
 * A session store in Redis, with `ioredis`.
 *
 * @since 0.1.0
 */
export * as RedisSessionStore from "./RedisSessionStore.js"
