/**
 * UDAP Security (FAST) STU2: whom a program trusts, what servers publish, and how an app registers and authenticates.
 *
 * @since 0.1.0
 */
export * as AuthorizationExtension from "./AuthorizationExtension.js"
export * as Certification from "./Certification.js"
export * as ClientCertificate from "./ClientCertificate.js"
export * as SoftwareStatement from "./SoftwareStatement.js"
export * as TieredOAuth from "./TieredOAuth.js"
export { TrustError } from "./TrustError.js"
export * as TrustPolicy from "./TrustPolicy.js"
export * as UdapAuthentication from "./UdapAuthentication.js"
export * as UdapDiscovery from "./UdapDiscovery.js"
export { UdapDiscoveryError } from "./UdapDiscoveryError.js"
export * as UdapMetadata from "./UdapMetadata.js"
export * as UdapRegistration from "./UdapRegistration.js"
export { UdapRegistrationError } from "./UdapRegistrationError.js"
