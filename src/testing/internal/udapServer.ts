/**
 * One UDAP server of the sandbox: the authorization server of the EHR, or the identity provider. All UDAP steps receive
 * it.
 *
 * @since 0.1.0
 */
import type { Sandbox } from "./sandbox.js"
import type { CertificateKind, UdapPki } from "./udapPki.js"

/**
 * The URLs of the UDAP endpoints. They differ from the endpoints of SMART App Launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface UdapEndpoints {
  readonly metadata: string
  readonly registration: string
  readonly authorization: string
  readonly token: string
}

/**
 * A registration of a client in a community.
 *
 * @since 0.1.0
 * @category models
 */
export interface UdapRegistration {
  readonly clientId: string
  readonly community: string
  readonly clientUri: string
  readonly status: "Active" | "Cancelled"
  readonly clientName: string
  readonly grantTypes: ReadonlyArray<string>
  readonly scopes: ReadonlyArray<string>
  readonly redirectUris: ReadonlyArray<string>
  /** The certifications that the sandbox accepted, as JWTs. */
  readonly certifications: ReadonlyArray<string>
  /** In milliseconds since the epoch. */
  readonly registeredAt: number
  readonly modifiedAt: number
}

/**
 * What the server does wrong, until `behave`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Misbehaviour {
  /** Members of the UDAP metadata; an undefined one is removed. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Claims of the signed metadata; an undefined one is removed. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
  /** Header members of the signed metadata; an undefined one is removed. */
  readonly header?: Readonly<Record<string, unknown>> | undefined
  /** The server's certificate. */
  readonly certificate?: CertificateKind | undefined
  /** The signature of the signed metadata: with a changed byte, by a key that is not the certificate's, or ES256. */
  readonly signature?: "Tampered" | "OtherKey" | "ES256" | undefined
  /** The metadata of the first community, for all communities. */
  readonly ignoreCommunity?: boolean | undefined
  /** No UDAP: 404. */
  readonly withoutUdap?: boolean | undefined
  readonly crl?: "Expired" | "WrongSigner" | "NotYetValid" | undefined
  readonly ocsp?: "Expired" | "WrongSigner" | "Unknown" | "TryLater" | "Garbage" | undefined
  /** A modified registration gets another client id, or each registration is cancelled. */
  readonly registration?: "NewClientId" | "Cancels" | undefined
  /**
   * The identity provider: its user is unknown, its ID token has a wrong signature, it does not respond, or its
   * certificate is of no community.
   */
  readonly identityProvider?: "UnknownUser" | "InvalidIdToken" | "Unreachable" | "Untrusted" | undefined
}

/** A UDAP server. */
export interface UdapServer {
  readonly sandbox: Sandbox
  readonly pki: UdapPki
  readonly endpoints: UdapEndpoints
  /** By client id. */
  readonly registrations: Map<string, UdapRegistration>
  readonly grantTypes: ReadonlyArray<string>
  readonly scopes: ReadonlyArray<string>
  readonly tieredOAuth: boolean
  readonly requireB2B: boolean
  readonly requiredCertifications: ReadonlyArray<string>
  /** Whether redirect URIs and logos may be `http` URLs of this machine. */
  readonly allowInsecureLocalhost: boolean
  readonly metadata: Readonly<Record<string, unknown>>
  readonly misbehaviour: () => Misbehaviour
}

/** The UDAP endpoints under an issuer. */
export const endpointsOf = (base: string, issuer: string): UdapEndpoints => ({
  metadata: `${base}/.well-known/udap`,
  registration: `${issuer}/udap/register`,
  authorization: `${issuer}/udap/authorize`,
  token: `${issuer}/udap/token`
})

/** The maximal lifetime of software statements and authentication tokens, in seconds. */
export const MAX_LIFETIME = 300
