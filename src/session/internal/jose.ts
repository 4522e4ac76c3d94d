/**
 * The functions of `jose` that encrypt: `encryption` imports this file when a store is built that encrypts, so that
 * other programs do not load them at their start.
 */
export { compactDecrypt, CompactEncrypt } from "jose"
