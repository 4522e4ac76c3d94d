/**
 * SMART on FHIR for Effect. The modules are listed in the order of a launch: a FHIR base URL leads to metadata,
 * metadata to an authorization request, the callback to a token, and the token to FHIR requests.
 *
 * @since 0.1.0
 */

// base
export { ConfigurationError } from "./base/ConfigurationError.js"
export * as ConformanceWarning from "./base/ConformanceWarning.js"
export * as FhirBaseUrl from "./base/FhirBaseUrl.js"
export * as Issuer from "./base/Issuer.js"
export * as SecureRandom from "./base/SecureRandom.js"
// http
export * as AddressGuard from "./http/AddressGuard.js"
export { TokenAudienceError } from "./http/BearerRequest.js"
export * as HttpLimits from "./http/HttpLimits.js"
export * as RetryPolicy from "./http/RetryPolicy.js"
export * as TokenAudience from "./http/TokenAudience.js"
// server
export * as Brands from "./server/Brands.js"
export { BrandsError } from "./server/BrandsError.js"
export * as Capabilities from "./server/Capabilities.js"
export * as CapabilityStatements from "./server/CapabilityStatements.js"
export * as Conformance from "./server/Conformance.js"
export * as Discovery from "./server/Discovery.js"
export { DiscoveryError } from "./server/DiscoveryError.js"
export * as Jwks from "./server/Jwks.js"
export * as LegacyMetadata from "./server/LegacyMetadata.js"
export { MetadataError } from "./server/MetadataError.js"
export * as OpenIdConfiguration from "./server/OpenIdConfiguration.js"
export * as SmartConfiguration from "./server/SmartConfiguration.js"
export * as SmartStyle from "./server/SmartStyle.js"
// client
export * as ClientAuthentication from "./client/ClientAuthentication.js"
export * as ClientAuthenticationConfig from "./client/ClientAuthenticationConfig.js"
export * as ClientAssertion from "./client/ClientAssertion.js"
export { ClientAuthenticationError } from "./client/ClientAuthenticationError.js"
export * as ClientMetadata from "./client/ClientMetadata.js"
export * as KeyRotation from "./client/KeyRotation.js"
export * as PublicJwk from "./client/PublicJwk.js"
export * as RegisteredClient from "./client/RegisteredClient.js"
export * as Registration from "./client/Registration.js"
export { RegistrationError } from "./client/RegistrationError.js"
export * as SigningKey from "./client/SigningKey.js"
export * as SigningKeys from "./client/SigningKeys.js"
// launch
export * as AuthorizationCallback from "./launch/AuthorizationCallback.js"
export { AuthorizationError } from "./launch/AuthorizationError.js"
export * as AuthorizationPost from "./launch/AuthorizationPost.js"
export * as AuthorizationRequest from "./launch/AuthorizationRequest.js"
export { LaunchError } from "./launch/LaunchError.js"
export * as LaunchRequest from "./launch/LaunchRequest.js"
export * as PendingAuthorization from "./launch/PendingAuthorization.js"
export * as Pkce from "./launch/Pkce.js"
export * as Scopes from "./launch/Scopes.js"
export * as TrustedIssuers from "./launch/TrustedIssuers.js"
// token
export * as Identity from "./token/Identity.js"
export * as IdToken from "./token/IdToken.js"
export { IdTokenError } from "./token/IdTokenError.js"
export * as Introspection from "./token/Introspection.js"
export * as LaunchContext from "./token/LaunchContext.js"
export * as LogoutRequest from "./token/LogoutRequest.js"
export * as TokenEndpoint from "./token/TokenEndpoint.js"
export { TokenError } from "./token/TokenError.js"
export * as TokenSet from "./token/TokenSet.js"
export * as UserInfo from "./token/UserInfo.js"
// smart
export * as SmartClient from "./smart/SmartClient.js"
export * as SmartServers from "./smart/SmartServers.js"
export { UnknownServerError } from "./smart/UnknownServerError.js"
// session
export * as BackendServices from "./session/BackendServices.js"
export { SessionError } from "./session/SessionError.js"
export * as Sessions from "./session/Sessions.js"
export * as SessionStore from "./session/SessionStore.js"
// fhir
export * as AppState from "./fhir/AppState.js"
export * as BulkExport from "./fhir/BulkExport.js"
export * as CapabilityWarnings from "./fhir/CapabilityWarnings.js"
export * as FhirClient from "./fhir/FhirClient.js"
export { FhirError } from "./fhir/FhirError.js"
export * as FhirSearch from "./fhir/FhirSearch.js"
export * as RateLimit from "./fhir/RateLimit.js"
export * as Reference from "./fhir/Reference.js"
// app
export * as SmartApp from "./app/SmartApp.js"
