/**
 * UDAP Security (FAST) STU2: whom a program trusts, and what servers publish.
 *
 * @since 0.1.0
 */
export { TrustError } from "./TrustError.js"
export * as TrustPolicy from "./TrustPolicy.js"
export * as UdapDiscovery from "./UdapDiscovery.js"
export { UdapDiscoveryError } from "./UdapDiscoveryError.js"
export * as UdapMetadata from "./UdapMetadata.js"
