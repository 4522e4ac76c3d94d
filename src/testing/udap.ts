/**
 * UDAP for the SMART EHR for tests.
 *
 * @since 0.1.0
 */

/**
 * UDAP for `SandboxEhr`: trust communities, dynamic registration, B2B and Tiered OAuth.
 *
 * @since 0.1.0
 */
export * as SandboxUdap from "./SandboxUdap.js"
