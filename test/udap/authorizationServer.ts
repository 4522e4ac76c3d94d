/**
 * A UDAP authorization server for tests: it verifies statements and assertions with `node:crypto` and keeps what it
 * received. It shares no code with the library. `respond` replaces its response to one kind of request.
 */
import { createPublicKey, X509Certificate } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { RetryPolicy, SessionStore } from "effect-safire"
import { ClientCertificate, TrustPolicy, UdapDiscovery, UdapRegistration } from "effect-safire/udap"
import * as jose from "jose"
import * as Pki from "../../src/testing/internal/pki.js"
import { type Fake, fake, json, type SentRequest, text } from "../support/http.js"

export type Json = Readonly<Record<string, unknown>>

export const CLIENT_URI = "https://app.example.org/udap"
export const COMMUNITY = "urn:community:one"
export const OTHER_COMMUNITY = "urn:community:two"

const { subtle } = globalThis.crypto

export const pemOf = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Encoding.encodeBase64(der).replace(/(.{64})/g, "$1\n").trim()}\n-----END ${label}-----\n`

export const privateKeyOf = ({ keys }: Pki.Signer): Effect.Effect<Redacted.Redacted> =>
  Effect.map(
    Effect.promise(() => subtle.exportKey("pkcs8", keys.privateKey)),
    (der) => Redacted.make(pemOf("PRIVATE KEY", new Uint8Array(der)))
  )

const YEAR = 365 * Pki.DAY

/** The authorities and keys; certificates are issued by the clock of each test. */
export const makePki = Effect.runSync(Effect.cached(Effect.gen(function*() {
  const root = yield* Pki.issue({ commonName: "Root One", authority: true, from: 0, to: 78 * YEAR })
  const otherRoot = yield* Pki.issue({ commonName: "Root Two", authority: true, from: 0, to: 78 * YEAR })
  const inter = yield* Pki.issue({ commonName: "Authority One", authority: true, by: root, from: 0, to: 75 * YEAR })
  const keys = yield* Effect.all({
    server: Pki.newKeys(),
    rsa: Pki.newKeys(),
    p256: Pki.newKeys("p256"),
    p384: Pki.newKeys("p384")
  })
  return { root, otherRoot, inter, keys }
})))

export interface AppOptions extends Partial<Pki.CertificateOptions> {
  readonly uris?: ReadonlyArray<string> | undefined
  readonly key?: "rsa" | "p256" | "p384" | undefined
}

/** A certificate of the app by the authority of the first community. */
export const issueApp = ({ key = "rsa", uris = [CLIENT_URI], ...options }: AppOptions = {}) =>
  Effect.flatMap(makePki, ({ inter, keys }) =>
    Pki.issue({
      commonName: "Growth Chart",
      by: inter,
      keys: keys[key],
      names: uris.map(Pki.uri),
      from: 0,
      to: 70 * YEAR,
      ...options
    }))

export const certificateOf = (issued: Pki.Issued) =>
  Effect.gen(function*() {
    const { inter } = yield* makePki
    return yield* ClientCertificate.fromPem({
      chain: pemOf("CERTIFICATE", issued.der) + pemOf("CERTIFICATE", inter.der),
      privateKey: yield* privateKeyOf(issued)
    })
  })

/** A certificate of the app by the root of the second community. */
export const otherAppCertificate = Effect.gen(function*() {
  const { otherRoot } = yield* makePki
  const issued = yield* issueApp({ key: "p256", by: otherRoot })
  return yield* ClientCertificate.fromPem({ chain: issued.der, privateKey: yield* privateKeyOf(issued) })
})

export const appCertificate = (options?: AppOptions) => Effect.flatMap(issueApp(options), certificateOf)

/** The parts of a JWT, verified with the key of its first certificate. */
const verified = (jwt: string): { readonly header: Json; readonly claims: Json; readonly leaf: X509Certificate } => {
  const [head = "", body = "", signature = ""] = jwt.split(".")
  const parsed = (part: string): Json => JSON.parse(Buffer.from(part, "base64url").toString()) as Json
  const header = parsed(head)
  const leaf = new X509Certificate(Buffer.from((header["x5c"] as ReadonlyArray<string>)[0] ?? "", "base64"))
  if (signature === "") throw new Error("no signature")
  return { header, claims: parsed(body), leaf }
}

const isSigned = (jwt: string, leaf: X509Certificate, alg: string): Promise<boolean> =>
  jose.compactVerify(jwt, createPublicKey(leaf.publicKey.export({ format: "pem", type: "spki" })), {
    algorithms: [alg]
  })
    .then(() => true, () => false)

export interface Received {
  readonly kind: "metadata" | "smart" | "register" | "token" | "revoke" | "other"
  readonly seen: SentRequest
  /** Of a statement or an assertion. */
  readonly header: Json
  readonly claims: Json
  /** Of a registration, or of a form. */
  readonly body: Json
}

export interface Options {
  readonly origin?: string | undefined
  /** Members that replace those of the UDAP metadata. */
  readonly metadata?: Json | undefined
  /** The SMART configuration; none by default. */
  readonly smart?: Json | undefined
  readonly respond?:
    | ((received: Received, usual: () => Promise<Response>) => Response | Promise<Response> | undefined)
    | undefined
}

export interface AuthorizationServer {
  readonly origin: string
  readonly fhirBaseUrl: string
  readonly registrationEndpoint: string
  readonly tokenEndpoint: string
  readonly received: ReadonlyArray<Received>
  readonly of: (kind: Received["kind"]) => ReadonlyArray<Received>
  /** By community and client URI. */
  readonly clients: Map<string, string>
  readonly handle: (seen: SentRequest) => Promise<Response>
  readonly net: Fake
}

/** A server of the first community. */
export const makeServer = (options: Options = {}): Effect.Effect<AuthorizationServer> =>
  Effect.gen(function*() {
    const origin = options.origin ?? "https://ehr.example.org"
    const fhirBaseUrl = `${origin}/fhir`
    const registrationEndpoint = `${origin}/udap/register`
    const tokenEndpoint = `${origin}/udap/token`
    const pki = yield* makePki
    const leaf = yield* Pki.issue({
      commonName: "Server",
      by: pki.inter,
      keys: pki.keys.server,
      names: [Pki.uri(fhirBaseUrl)],
      from: 0,
      to: 70 * YEAR
    })
    const otherLeaf = yield* Pki.issue({
      commonName: "Server",
      by: pki.otherRoot,
      keys: pki.keys.server,
      names: [Pki.uri(fhirBaseUrl)],
      from: 0,
      to: 70 * YEAR
    })
    const received: Array<Received> = []
    const clients = new Map<string, string>()
    let ids = 0

    const metadata = (seen: SentRequest): Promise<Response> => {
      const community = new URL(seen.url).searchParams.get("community")
      const x5c = community === OTHER_COMMUNITY
        ? [Encoding.encodeBase64(otherLeaf.der)]
        : [Encoding.encodeBase64(leaf.der), Encoding.encodeBase64(pki.inter.der)]
      const iat = Math.floor(seen.at / 1000)
      const claims = {
        iss: fhirBaseUrl,
        sub: fhirBaseUrl,
        iat,
        exp: iat + 200 * 86_400,
        jti: "1",
        authorization_endpoint: `${origin}/udap/authorize`,
        token_endpoint: tokenEndpoint,
        registration_endpoint: registrationEndpoint
      }
      return new jose.CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
        .setProtectedHeader({ alg: "RS256", x5c })
        .sign(pki.keys.server.privateKey)
        .then((signed_metadata) =>
          json({
            udap_versions_supported: ["1"],
            udap_profiles_supported: ["udap_dcr", "udap_authn", "udap_authz", "udap_to"],
            udap_authorization_extensions_supported: ["hl7-b2b"],
            udap_authorization_extensions_required: [],
            udap_certifications_supported: [],
            grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
            scopes_supported: ["openid", "udap", "system/*.rs", "patient/*.rs"],
            authorization_endpoint: "https://unsigned.example.org/authorize",
            token_endpoint: "https://unsigned.example.org/token",
            token_endpoint_auth_methods_supported: ["private_key_jwt"],
            token_endpoint_auth_signing_alg_values_supported: ["RS256", "RS384", "ES256", "ES384"],
            registration_endpoint: "https://unsigned.example.org/register",
            registration_endpoint_jwt_signing_alg_values_supported: ["RS256", "ES256", "ES384"],
            signed_metadata,
            ...options.metadata
          })
        )
    }

    const register = ({ body, claims, header }: Received): Promise<Response> => {
      const statement = String(body["software_statement"])
      const { leaf } = verified(statement)
      const community = leaf.issuer.includes("Root Two") ? OTHER_COMMUNITY : COMMUNITY
      const key = `${community} ${String(claims["iss"])}`
      return isSigned(statement, leaf, String(header["alg"])).then((signed) => {
        if (!signed || leaf.subjectAltName?.includes(`URI:${String(claims["iss"])}`) !== true) {
          return json({ error: "invalid_software_statement", error_description: "signature" }, { status: 400 })
        }
        const grantTypes = claims["grant_types"] as ReadonlyArray<string>
        const known = clients.get(key)
        const clientId = known ?? `client-${++ids}`
        if (grantTypes.length === 0) clients.delete(key)
        else clients.set(key, clientId)
        const { aud: _aud, exp: _exp, iat: _iat, iss: _iss, jti: _jti, sub: _sub, ...members } = claims
        return json({ client_id: clientId, software_statement: statement, ...members }, {
          status: known === undefined ? 201 : 200
        })
      })
    }

    const token = ({ body, claims, header }: Received): Promise<Response> => {
      const assertion = String(body["client_assertion"])
      const { leaf } = verified(assertion)
      return isSigned(assertion, leaf, String(header["alg"])).then((signed) =>
        signed && [...clients.values()].includes(String(claims["iss"]))
          ? json({
            access_token: `token-${received.length}`,
            token_type: "Bearer",
            expires_in: 300,
            ...(body["grant_type"] === "client_credentials" ? {} : { refresh_token: `refresh-${received.length}` })
          })
          : json({ error: "invalid_client" }, { status: 401 })
      )
    }

    const kinds: Readonly<Record<string, Received["kind"]>> = {
      "/fhir/.well-known/udap": "metadata",
      "/fhir/.well-known/smart-configuration": "smart",
      "/udap/register": "register",
      "/udap/token": "token",
      "/udap/revoke": "revoke"
    }

    const handle = (seen: SentRequest): Promise<Response> => {
      const kind = kinds[new URL(seen.url).pathname] ?? "other"
      const body = kind === "register"
        ? JSON.parse(seen.body) as Json
        : Object.fromEntries(new URLSearchParams(seen.body))
      const jwt = body["software_statement"] ?? body["client_assertion"]
      const { claims, header } = typeof jwt === "string" ? verified(jwt) : { claims: {}, header: {} }
      const one: Received = { kind, seen, header, claims, body }
      received.push(one)
      const usual = (): Promise<Response> => {
        switch (kind) {
          case "metadata":
            return metadata(seen)
          case "smart":
            return Promise.resolve(options.smart === undefined ? text("", { status: 404 }) : json(options.smart))
          case "register":
            return register(one)
          case "token":
            return token(one)
          default:
            return Promise.resolve(text("", { status: 200 }))
        }
      }
      return Promise.resolve(options.respond?.(one, usual) ?? usual())
    }

    return {
      origin,
      fhirBaseUrl,
      registrationEndpoint,
      tokenEndpoint,
      received,
      of: (kind) => received.filter((one) => one.kind === kind),
      clients,
      handle,
      net: fake((seen) => Effect.promise(() => handle(seen)))
    }
  })

/** Two communities without revocation, which other tests are about. */
export const trust = Effect.map(makePki, ({ otherRoot, root }): TrustPolicy.Options => ({
  communities: {
    [COMMUNITY]: { anchors: [root.der], revocation: "off" },
    [OTHER_COMMUNITY]: { anchors: [otherRoot.der], revocation: "off" }
  }
}))

/** Registration at servers, over a store. */
export const registrations = (
  server: AuthorizationServer,
  store: Layer.Layer<SessionStore.SessionStore> = SessionStore.layerMemory
) =>
  Layer.unwrapEffect(Effect.map(trust, (options) =>
    UdapRegistration.layer.pipe(
      Layer.provideMerge(UdapDiscovery.layer()),
      Layer.provideMerge(TrustPolicy.layer(options)),
      Layer.provideMerge(store),
      Layer.provideMerge(server.net.layer),
      Layer.provide(RetryPolicy.layer(RetryPolicy.none))
    )))
