/**
 * The functions of `jose` that verify signatures: a chunk of its own in a bundle, because `Jose` imports this file when
 * it is needed.
 */
export { compactVerify, createLocalJWKSet, decodeProtectedHeader, errors } from "jose"
