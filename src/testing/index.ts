/**
 * A SMART EHR for tests.
 *
 * @since 0.1.0
 */

/**
 * A strict SMART App Launch 2.2 authorization server with a small synthetic FHIR store, in memory or on a port.
 *
 * @since 0.1.0
 */
export * as SandboxEhr from "./SandboxEhr.js"
