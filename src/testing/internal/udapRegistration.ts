/**
 * The registration endpoint: new, modified and cancelled registrations (UDAP Security STU2, section 3; RFC 7591).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { GrantType } from "./client.js"
import * as Http from "./http.js"
import { invalidRequest, OAuthError } from "./oAuthError.js"
import * as Scope from "./scope.js"
import * as UdapJwt from "./udapJwt.js"
import { MAX_LIFETIME, type UdapRegistration, type UdapServer } from "./udapServer.js"

const THREE_YEARS = 3 * 366 * 24 * 60 * 60

const invalidStatement = (description: string) =>
  new OAuthError({ error: "invalid_software_statement", description: `software_statement: ${description}` })
const unapproved = (description: string) =>
  new OAuthError({ error: "unapproved_software_statement", description: `software_statement: ${description}` })
const invalidMetadata = (description: string) => new OAuthError({ error: "invalid_client_metadata", description })

/** A requested registration. */
interface Requested {
  readonly clientName: string
  readonly grantTypes: ReadonlyArray<GrantType>
  readonly redirectUris: ReadonlyArray<string>
  readonly scopes: ReadonlyArray<string>
  /** The registered parameters, as the response repeats them. */
  readonly parameters: UdapJwt.Claims
}

const isStrings = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

const isGrantType = (value: string): value is GrantType =>
  value === "authorization_code" || value === "refresh_token" || value === "client_credentials"

const isText = (value: unknown): value is string => typeof value === "string" && value.trim() !== ""

/** An https URL, or with `allowInsecureLocalhost` an http URL of this machine. */
const isSecure = (server: UdapServer, value: string): boolean => {
  if (!URL.canParse(value)) return false
  const { hostname, protocol } = new URL(value)
  return protocol === "https:" ||
    server.allowInsecureLocalhost && protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(hostname)
}

const grantTypesOf = (
  { grantTypes: supported }: UdapServer,
  value: unknown
): Effect.Effect<ReadonlyArray<GrantType>, OAuthError> => {
  if (!isStrings(value)) return invalidMetadata("grant_types is required, an array of strings")
  const grantTypes = value.filter(isGrantType)
  const has = (grantType: GrantType) => grantTypes.includes(grantType)
  if (grantTypes.length < value.length || !grantTypes.every((one) => supported.includes(one))) {
    return invalidMetadata(`grant_types can have ${supported.join(", ")}`)
  }
  if (new Set(value).size < value.length) return invalidMetadata("grant_types repeats a value")
  return value.length > 0 && has("authorization_code") === has("client_credentials")
    ? invalidMetadata("grant_types must have either authorization_code or client_credentials")
    : has("refresh_token") && !has("authorization_code")
    ? invalidMetadata("refresh_token needs authorization_code")
    : Effect.succeed(grantTypes)
}

/** The rules for members that an app with users must have, and a backend service must not have. */
const userMembers = (server: UdapServer, claims: UdapJwt.Claims, withUser: boolean) =>
  Effect.gen(function*() {
    const { logo_uri: logo, redirect_uris: redirectUris, response_types: responseTypes } = claims
    if (!withUser) {
      if (redirectUris !== undefined) return yield* invalidMetadata("redirect_uris needs authorization_code")
      if (responseTypes !== undefined) return yield* invalidMetadata("response_types needs authorization_code")
    } else {
      if (
        !isStrings(redirectUris) || redirectUris.length === 0 || !redirectUris.every((uri) => isSecure(server, uri))
      ) {
        return yield* new OAuthError({
          error: "invalid_redirect_uri",
          description: "redirect_uris must have one or more https URLs"
        })
      }
      if (JSON.stringify(responseTypes) !== JSON.stringify(["code"])) {
        return yield* invalidMetadata("response_types must be [\"code\"]")
      }
      if (logo === undefined) return yield* invalidMetadata("logo_uri is required with authorization_code")
    }
    if (
      logo !== undefined &&
      !(typeof logo === "string" && isSecure(server, logo) && /\.(?:png|jpe?g|gif)$/i.test(new URL(logo).pathname))
    ) {
      return yield* invalidMetadata("logo_uri must be the https URL of a PNG, JPG or GIF image")
    }
    return isStrings(redirectUris) ? redirectUris : []
  })

/** The requested scopes that the server can grant with a grant type. */
const scopesOf = (server: UdapServer, value: unknown, withUser: boolean) =>
  Effect.gen(function*() {
    if (!isText(value)) return yield* invalidMetadata("scope is required")
    const requested = Scope.splitScopes(value)
    const problem = Scope.findProblem(requested) ?? wildcardProblem(server, requested)
    if (problem !== undefined) return yield* invalidMetadata(problem)
    const scopes = requested.filter((scope) =>
      withUser
        ? Scope.isGrantableToUser(scope) || scope === "udap" && server.scopes.includes("udap")
        : Scope.isGrantableToSystem(scope)
    )
    return scopes.length === 0
      ? yield* invalidMetadata("the client can be granted none of these scopes")
      : scopes
  })

/** Why the server supports no wildcard of a scope request (UDAP Security STU2, section 7.3). */
export const wildcardProblem = (server: UdapServer, scopes: ReadonlyArray<string>): string | undefined => {
  const unsupported = scopes.find((scope) => scope.includes("*") && !Scope.covers(server.scopes, scope))
  return unsupported === undefined ? undefined : `the server does not support the wildcard scope ${unsupported}`
}

const requestedOf = (server: UdapServer, claims: UdapJwt.Claims): Effect.Effect<Requested, OAuthError> =>
  Effect.gen(function*() {
    const { client_name: clientName, contacts, token_endpoint_auth_method: method } = claims
    const grantTypes = yield* grantTypesOf(server, claims["grant_types"])
    if (!isText(clientName)) return yield* invalidMetadata("client_name is required")
    if (!isStrings(contacts) || !contacts.every((contact) => URL.canParse(contact))) {
      return yield* invalidMetadata("contacts is required, an array of URIs")
    }
    if (!contacts.some((contact) => /^mailto:[^@\s,]+@[^@\s,.]+(?:\.[^@\s,.]+)+$/.test(contact))) {
      return yield* invalidMetadata("contacts must have a mailto URI")
    }
    if (method !== "private_key_jwt") {
      return yield* invalidMetadata("token_endpoint_auth_method must be private_key_jwt")
    }
    if (grantTypes.length === 0) {
      yield* userMembers(server, claims, false)
      return { clientName, grantTypes, redirectUris: [], scopes: [], parameters: { grant_types: [] } }
    }
    const withUser = grantTypes.includes("authorization_code")
    const redirectUris = yield* userMembers(server, claims, withUser)
    const scopes = yield* scopesOf(server, claims["scope"], withUser)
    return {
      clientName,
      grantTypes,
      redirectUris,
      scopes,
      parameters: {
        client_name: clientName,
        contacts,
        grant_types: grantTypes,
        token_endpoint_auth_method: method,
        scope: scopes.join(" "),
        ...(withUser ? { redirect_uris: redirectUris, response_types: ["code"] } : {}),
        ...(claims["logo_uri"] === undefined ? {} : { logo_uri: claims["logo_uri"] })
      }
    }
  })

const verifyStatement = (server: UdapServer, statement: string): Effect.Effect<UdapJwt.Verified, OAuthError> =>
  Effect.gen(function*() {
    const verified = yield* UdapJwt.verify(server.pki, statement, MAX_LIFETIME).pipe(
      Effect.catchTags({
        InvalidJwt: ({ description }) => invalidStatement(description),
        Untrusted: ({ description }) => unapproved(description)
      })
    )
    const { claims: { aud, iss, sub }, exp, jti, uris } = verified
    if (typeof iss !== "string" || !uris.includes(iss)) {
      return yield* invalidStatement("iss must be a URI of the certificate's subject alternative name")
    }
    if (sub !== iss) return yield* invalidStatement("sub must equal iss")
    if (aud !== server.endpoints.registration) {
      return yield* invalidStatement("aud must be, as one string, the URL of the registration endpoint")
    }
    if (!(yield* server.sandbox.state.acceptJti(iss, jti, exp * 1000))) {
      return yield* invalidStatement("this jti has been used")
    }
    return verified
  })

/** The URIs of a certification for the client; none of one that the server must ignore (section 3.3). */
const certified = (server: UdapServer, jwt: string, { claims: { iss }, community }: UdapJwt.Verified) =>
  UdapJwt.verify(server.pki, jwt, THREE_YEARS).pipe(
    Effect.map(({ claims, community: signerCommunity, uris }): ReadonlyArray<string> => {
      const { aud, certification_name: name, certification_uris: certifications, iss: signer, sub } = claims
      const audiences: ReadonlyArray<unknown> = Array.isArray(aud) ? aud : [aud]
      return signerCommunity === community && typeof signer === "string" && uris.includes(signer) && sub === iss &&
          (aud === undefined || audiences.includes(server.endpoints.registration)) && isText(name) &&
          isStrings(certifications)
        ? certifications
        : []
    }),
    Effect.orElseSucceed((): ReadonlyArray<string> => [])
  )

const acceptedCertifications = (server: UdapServer, value: unknown, verified: UdapJwt.Verified) =>
  Effect.gen(function*() {
    if (value !== undefined && !isStrings(value)) {
      return yield* invalidRequest("certifications must be an array of JWTs")
    }
    const accepted: Array<string> = []
    const covered = new Set<string>()
    for (const jwt of value ?? []) {
      const uris = yield* certified(server, jwt, verified)
      if (uris.length > 0) accepted.push(jwt)
      for (const uri of uris) covered.add(uri)
    }
    const missing = server.requiredCertifications.find((uri) => !covered.has(uri))
    return missing === undefined ? accepted : yield* unapproved(`the certification ${missing} is required`)
  })

/** Removes a client with its access. */
const removeClient = ({ sandbox: { clients, state } }: UdapServer, clientId: string): Effect.Effect<void> =>
  Effect.gen(function*() {
    clients.delete(clientId)
    const access = (yield* state.access).filter((one) => one.clientId === clientId)
    yield* Effect.forEach(access, ({ id }) => state.revokeAccess(id), { discard: true })
  })

/** Stores a registration; the result is the status of the response. */
const store = (
  server: UdapServer,
  { claims, community }: UdapJwt.Verified,
  requested: Requested,
  certifications: ReadonlyArray<string>
) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const clientUri = String(claims["iss"])
    const existing = Array.from(server.registrations.values()).find((one) =>
      one.status === "Active" && one.community === community && one.clientUri === clientUri
    )
    const isCancelled = requested.grantTypes.length === 0
    if (isCancelled && existing === undefined) {
      return yield* invalidMetadata("no registration of this client in this community can be cancelled")
    }
    const keepsId = existing !== undefined && server.misbehaviour().registration !== "NewClientId"
    const clientId = keepsId ? existing.clientId : `udap-${globalThis.crypto.randomUUID()}`
    if (existing !== undefined && (isCancelled || !keepsId)) {
      server.registrations.set(existing.clientId, { ...existing, status: "Cancelled", modifiedAt: now })
      yield* removeClient(server, existing.clientId)
    }
    const { clientName, grantTypes, redirectUris, scopes } = requested
    if (!isCancelled) {
      const registration: UdapRegistration = {
        clientId,
        community,
        clientUri,
        status: "Active",
        clientName,
        grantTypes,
        scopes,
        redirectUris,
        certifications,
        registeredAt: existing?.registeredAt ?? now,
        modifiedAt: now
      }
      server.registrations.set(clientId, registration)
      server.sandbox.clients.set(clientId, {
        clientId,
        name: clientName,
        redirectUris,
        authentication: { method: "udap", clientUri, community },
        scopes,
        grantTypes
      })
    }
    return {
      clientId: isCancelled ? existing?.clientId ?? clientId : clientId,
      status: existing === undefined ? 201 : 200
    }
  })

const isJson = ({ headers }: Http.SandboxRequest): boolean =>
  (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() === "application/json"

/** Responds to a POST to the registration endpoint. */
export const handle = (
  server: UdapServer,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    if (!isJson(request)) return yield* invalidRequest("the content type must be application/json")
    const body = Http.parseJson(request.body)
    if (!Predicate.isRecord(body)) return yield* invalidRequest("the body must be a JSON object")
    const { certifications, software_statement: statement, udap } = body
    if (udap !== "1") return yield* invalidRequest("udap must be the string \"1\"")
    if (typeof statement !== "string") return yield* invalidStatement("it is required")
    const verified = yield* verifyStatement(server, statement)
    const requested = yield* requestedOf(server, verified.claims)
    const accepted = requested.grantTypes.length === 0
      ? []
      : yield* acceptedCertifications(server, certifications, verified)
    const { clientId, status } = yield* store(server, verified, requested, accepted)
    return Http.json({
      client_id: clientId,
      software_statement: statement,
      ...requested.parameters,
      ...(accepted.length === 0 ? {} : { certifications: accepted }),
      ...(server.misbehaviour().registration === "Cancels" ? { grant_types: [] } : {})
    }, { status, headers: Http.noStore })
  })
