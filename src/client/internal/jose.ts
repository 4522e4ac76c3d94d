/**
 * The functions of `jose` that read keys: `keyFormats` imports this file when an app has a private key, so that a page
 * of a public client does not load them.
 */
export { calculateJwkThumbprint, exportJWK, importPKCS8 } from "jose"
