/**
 * UDAP in a sandbox: the server of the EHR, its identity provider, and the authorities of their communities.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { AuthorizationEndpoint } from "./consent.js"
import * as Http from "./http.js"
import type * as IdToken from "./idToken.js"
import * as Metadata from "./metadata.js"
import { invalidRequest } from "./oAuthError.js"
import * as Pages from "./pages.js"
import * as Pki from "./pki.js"
import { at, get, getOrPost, type Handler, oauth, post, type Route } from "./routes.js"
import * as Sandbox from "./sandbox.js"
import type { Extension, ExtensionContext } from "./service.js"
import * as UdapJwt from "./udapJwt.js"
import * as UdapMetadata from "./udapMetadata.js"
import * as UdapPki from "./udapPki.js"
import * as UdapRegistration from "./udapRegistration.js"
import * as UdapRevocation from "./udapRevocation.js"
import { endpointsOf, type Misbehaviour, type UdapServer } from "./udapServer.js"
import * as UdapTiered from "./udapTiered.js"
import * as UdapToken from "./udapToken.js"

/**
 * The options of UDAP; all have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface UdapOptions {
  /** The URIs of the trust communities (default: `communityOne`, `communityTwo`). */
  readonly communities?: ReadonlyArray<string> | undefined
  /** Whether each client credentials request needs the `hl7-b2b` extension (default: true). */
  readonly requireB2B?: boolean | undefined
  /** The URIs of the certifications that a registration needs (default: none). */
  readonly requiredCertifications?: ReadonlyArray<string> | undefined
  /** Whether the server supports Tiered OAuth (default: true). */
  readonly tieredOAuth?: boolean | undefined
  /** How certificates say where their revocation status is (default: `crl`). */
  readonly revocation?: UdapPki.RevocationSource | undefined
  /** Whether redirect URIs and logos may be `http` URLs of this machine (default: false). */
  readonly allowInsecureLocalhost?: boolean | undefined
  /** Members that replace those of the UDAP metadata; `undefined` removes a member. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/**
 * The URI of the first trust community.
 *
 * @since 0.1.0
 * @category models
 */
export const communityOne = "https://one.sandbox.test/community"

/**
 * The URI of the second trust community.
 *
 * @since 0.1.0
 * @category models
 */
export const communityTwo = "https://two.sandbox.test/community"

const json = (value: () => unknown): Handler => () => Effect.sync(() => Http.json(value()))

const rules: Authorize.Rules = {
  isRegistered: ({ authentication }) => authentication.method === "udap",
  optionalParameters: true
}

/** Validates an authorization request; with `idp`, the scope `udap` is required (section 6.1). */
const validate = (server: UdapServer, pairs: Http.Pairs) =>
  Effect.gen(function*() {
    const valid = yield* Authorize.validate(server.sandbox, pairs, rules)
    const refuse = (error: string, description: string) =>
      new Authorize.RedirectedError({
        location: Authorize.errorRedirect(server.sandbox, valid, error, description)
      })
    const problem = UdapRegistration.wildcardProblem(server, valid.scopes)
    if (problem !== undefined) return yield* refuse("invalid_scope", problem)
    const idp = Http.toParams(pairs).get("idp")
    if (idp === undefined) return valid
    if (!valid.scopes.includes("udap")) return yield* refuse("invalid_request", "idp needs the scope udap")
    if (!server.tieredOAuth) return yield* refuse("invalid_idp", "the server supports no Tiered OAuth")
    return { ...valid, idp }
  })

/** The routes of a UDAP server. */
const routesOf = (server: UdapServer, authorize: Handler) => {
  const { endpoints } = server
  return [
    at(endpoints.metadata, "udap", get, (request) => UdapMetadata.handle(server, request)),
    at(endpoints.registration, "register", post, oauth((request) => UdapRegistration.handle(server, request))),
    at(endpoints.token, "token", post, oauth((request) => UdapToken.handle(server, request))),
    at(endpoints.authorization, "authorize", getOrPost, authorize)
  ]
}

/** The signer of the identity provider's ID tokens: its certificate is in the header (section 7.1). */
const idpSigner = (pki: UdapPki.UdapPki, idp: string, misbehaviour: () => Misbehaviour): IdToken.Signer => ({
  sign: (claims) =>
    Effect.gen(function*() {
      const { identityProvider: wrong } = misbehaviour()
      const credentials = yield* pki.serverCertificate(
        UdapPki.serverCertificateKey(idp, pki.firstCommunity, "Valid")
      )
      const privateKey = wrong === "InvalidIdToken" ? (yield* Pki.newKeys()).privateKey : credentials.privateKey
      return yield* UdapJwt.sign({
        ...claims,
        jti: globalThis.crypto.randomUUID(),
        ...(wrong === "UnknownUser" ? { sub: "a-user-of-the-identity-provider-only" } : {})
      }, { chain: credentials.chain, privateKey })
    }),
  jwks: Effect.succeed({ keys: [] })
})

/** The server of the identity provider. */
const makeIdp = (
  server: UdapServer,
  base: string,
  options: Sandbox.Options,
  autoApprove: Sandbox.Options["autoApprove"]
): UdapServer => {
  const misbehaviour = (): Misbehaviour => {
    const { identityProvider } = server.misbehaviour()
    return identityProvider === "Untrusted" ? { certificate: "UnknownRoot" } : {}
  }
  const sandbox = Sandbox.make(
    base,
    { clients: [], resources: options.resources, autoApprove, issueIss: false },
    { autoApprove: true, issuer: base },
    idpSigner(server.pki, base, server.misbehaviour)
  )
  return {
    ...server,
    sandbox,
    endpoints: endpointsOf(base, base),
    registrations: new Map(),
    grantTypes: ["authorization_code"],
    scopes: ["openid", "fhirUser", "udap"],
    requiredCertifications: [],
    // The sandbox itself is its client, at an http URL when it is on a port.
    allowInsecureLocalhost: true,
    metadata: {},
    misbehaviour
  }
}

/** The routes of the identity provider. */
const idpRoutes = (idp: UdapServer, misbehaviour: () => Misbehaviour) => {
  const authorize = Pages.authorize((pairs) => validate(idp, pairs), Pages.decideOrAsk(idp.sandbox))
  const { endpoints } = idp.sandbox
  return [
    ...routesOf(idp, authorize),
    at(endpoints.openidConfiguration, "idp", get, json(() => Metadata.openidConfiguration(idp.sandbox)))
  ].map(([path, route]) => {
    const handle: Handler = (request) =>
      misbehaviour().identityProvider === "Unreachable" ? Effect.succeed(Http.empty(503)) : route.handle(request)
    return [path, { ...route, step: "idp", handle } satisfies Route] as const
  })
}

/** UDAP of one sandbox. */
export const make = ({ sandbox, send }: ExtensionContext, options: Sandbox.Options, udap: UdapOptions) => {
  const origin = new URL(sandbox.fhirBaseUrl).origin
  const idpBase = `${origin}/idp`
  const tieredOAuth = udap.tieredOAuth ?? true
  let current: Misbehaviour = {}
  const misbehaviour = () => current
  const server: UdapServer = {
    sandbox,
    pki: UdapPki.make(origin, udap.communities ?? [communityOne, communityTwo], udap.revocation ?? "crl"),
    endpoints: endpointsOf(sandbox.fhirRoot, sandbox.issuer),
    registrations: new Map(),
    grantTypes: ["authorization_code", "refresh_token", "client_credentials"],
    scopes: [...Metadata.scopesSupported, ...(tieredOAuth ? ["udap"] : [])],
    tieredOAuth,
    requireB2B: udap.requireB2B ?? true,
    requiredCertifications: udap.requiredCertifications ?? [],
    allowInsecureLocalhost: udap.allowInsecureLocalhost ?? false,
    metadata: udap.metadata ?? {},
    misbehaviour
  }
  sandbox.certificates.authenticate = (request, params, endpoint) =>
    Effect.map(
      UdapToken.authenticate(server, request, params, [endpoint, server.endpoints.token]),
      ({ client }) => client
    )
  const idp = makeIdp(server, idpBase, options, sandbox.autoApprove)
  const tiered = UdapTiered.make(server, idpBase, send)
  const decideOrAsk = Pages.decideOrAsk(sandbox)

  const authorize = Pages.authorize(
    (pairs) => validate(server, pairs),
    (valid) =>
      valid.idp === undefined
        ? decideOrAsk(valid)
        : Effect.map(tiered.start(valid), ({ href }) => Http.redirect(href))
  )
  const complete = (pairs: Http.Pairs) =>
    Effect.filterOrFail(
      tiered.complete(pairs),
      (valid) => valid !== undefined,
      () => invalidRequest("no login at the identity provider has this state")
    )
  const callback = Pages.authorize(complete, decideOrAsk)

  /** Signs the user in at the identity provider without HTTP. */
  const signIn = (url: URL, user: string | undefined) =>
    Authorize.validate(idp.sandbox, Http.parsePairs(url.search), rules).pipe(
      Effect.flatMap((valid) => Authorize.approve(idp.sandbox, valid, { user })),
      Effect.catchTag("RedirectedError", ({ location }) => Effect.succeed(location))
    )

  const authorizationEndpoint: AuthorizationEndpoint = {
    url: server.endpoints.authorization,
    validate: (pairs) => validate(server, pairs),
    authenticateUser: (valid, user) =>
      valid.idp === undefined ? Effect.succeed(valid) : Effect.gen(function*() {
        const location = yield* signIn(yield* tiered.start(valid), user)
        return yield* complete(Http.parsePairs(new URL(location).search))
      })
  }

  const table = new Map<string, Route>([
    ...routesOf(server, authorize),
    at(tiered.callback, undefined, get, callback),
    ...(tieredOAuth ? idpRoutes(idp, misbehaviour) : [])
  ])

  /** The CRL or the OCSP responder of an authority. */
  const revocationRoute = (path: string): Route | undefined => {
    const authority = UdapRevocation.authorityAt(server.pki, path)
    if (authority === undefined) return undefined
    return path.endsWith(".crl")
      ? { step: "crl", methods: get, handle: () => UdapRevocation.handleCrl(authority, misbehaviour) }
      : {
        step: "ocsp",
        methods: post,
        handle: (request: Http.SandboxRequest) => UdapRevocation.handleOcsp(authority, request, misbehaviour)
      }
  }

  const extension: Extension = {
    routeOf: (path) => table.get(path) ?? revocationRoute(path),
    authorizationEndpoints: [authorizationEndpoint]
  }

  const inCommunity = (community = server.pki.firstCommunity) => community

  return {
    extension,
    service: {
      endpoints: server.endpoints,
      communities: server.pki.communities,
      identityProvider: idpBase,
      anchors: (community?: string) => Effect.map(server.pki.root(inCommunity(community)), ({ der }) => [der]),
      intermediates: (community?: string) =>
        Effect.map(server.pki.intermediate(inCommunity(community)), ({ der }) => [der]),
      crls: (community?: string) =>
        Effect.gen(function*() {
          const uri = inCommunity(community)
          yield* server.pki.intermediate(uri)
          const ofCommunity = Array.from(server.pki.authorities.values()).filter((one) => one.community === uri)
          return yield* Effect.forEach(ofCommunity, (authority) => UdapRevocation.crl(authority, current.crl))
        }),
      issueCertificate: (request: UdapPki.CertificateRequest) => server.pki.issue(request),
      revokeCertificate: server.pki.revoke,
      signCertification: (
        { name, signer, subject, uris, ...claims }: UdapCertification
      ) =>
        Effect.gen(function*() {
          const iat = Math.floor((yield* Clock.currentTimeMillis) / 1000)
          return yield* UdapJwt.sign({
            iss: signer.uri,
            sub: subject,
            iat,
            exp: iat + 365 * 24 * 60 * 60,
            jti: globalThis.crypto.randomUUID(),
            certification_name: name,
            certification_uris: uris,
            grant_types: ["client_credentials"],
            ...claims.claims
          }, signer)
        }),
      registrations: Effect.sync(() => Array.from(server.registrations.values())),
      tokenContext: (accessToken: string) =>
        Effect.map(
          sandbox.state.findToken(accessToken),
          (token) => token?._tag === "AccessToken" ? token.extensions : undefined
        ),
      misbehave: (change: Misbehaviour) =>
        Effect.sync(() => {
          current = { ...current, ...change }
        }),
      behave: Effect.sync(() => {
        current = {}
      })
    }
  }
}

/**
 * A certification of a client (UDAP Security STU2, section 7.4).
 *
 * @since 0.1.0
 * @category models
 */
export interface UdapCertification {
  /** The certifier. */
  readonly signer: UdapPki.Credentials
  /** The URI of the client. */
  readonly subject: string
  readonly name: string
  readonly uris: ReadonlyArray<string>
  /** Claims that replace the others, or add to them. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
}
