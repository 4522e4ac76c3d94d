/** Every conformance warning, met by running the library against a server that deviates. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { ConformanceWarning } from "effect-safire"
import {
  BulkExport,
  CapabilityStatements,
  CapabilityWarnings,
  ClientAuthentication,
  FhirClient,
  LegacyMetadata,
  RetryPolicy,
  SmartClient,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { UdapRegistration } from "effect-safire/udap"
import { fake, json, type SentRequest, text } from "../support/http.js"
import * as Identity from "../support/identityServer.js"
import { recorded } from "../support/warnings.js"
import * as Udap from "../udap/authorizationServer.js"
import { atSandbox, atServer, config, fault, fhirBaseUrl, login, tokens } from "./world.js"

export interface Entry {
  readonly example: Effect.Effect<ReadonlyArray<ConformanceWarning.ConformanceWarning>, unknown>
  readonly did: string
  readonly instead: string
  readonly tell: string
}

type App = Layer.Layer.Success<ReturnType<typeof atSandbox>>

const warned = <A, E>(
  run: Effect.Effect<A, E, App>,
  options: SandboxEhr.Options = {},
  changes: Partial<SmartClient.Config> = {}
) =>
  Effect.suspend(() => {
    const { layer, reported } = recorded()
    return Effect.as(Effect.provide(run, atSandbox(changes, options, layer)), reported)
  })

const configuration = Effect.flatMap(SmartClient.SmartClient, (client) => client.configuration)
const authorize = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())

const discovered = (metadata: Readonly<Record<string, unknown>>) => warned(configuration, { metadata })

const answered = (...faults: ReadonlyArray<SandboxEhr.Fault.Fault>) =>
  warned(login((ehr) => ehr.fault("token", SandboxEhr.Fault.all(...faults))))

const changed = (members: Readonly<Record<string, unknown>>) =>
  answered(SandboxEhr.Fault.mutate((good) => ({ ...good, ...members })))

const identified = (
  idTokenOf: (good: Identity.Members, key: Identity.Key) => Effect.Effect<string>,
  then: (server: Identity.Server) => Effect.Effect<unknown, unknown, SmartClient.SmartClient> = () => Effect.void
) =>
  Effect.gen(function*() {
    const key = yield* Identity.makeKey("2026")
    const server = Identity.makeServer([key.jwk])
    yield* Effect.zipRight(
      Identity.login(server, (nonce) => Effect.flatMap(Identity.validClaims(nonce), (good) => idTokenOf(good, key))),
      then(server)
    ).pipe(Effect.provide(
      Layer.provide(Identity.layerClient(server, { name: "north" }), RetryPolicy.layer(RetryPolicy.none))
    ))
    return server.warnings
  })

const without = (claims: Identity.Members, claim: string): Identity.Members =>
  Object.fromEntries(Object.entries(claims).filter(([name]) => name !== claim))

const capabilityStatement = {
  resourceType: "CapabilityStatement",
  rest: [{
    security: {
      extension: [{
        url: "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        extension: [
          { url: "authorize", valueUri: "https://ehr.example.org/auth/authorize" },
          { url: "token", valueUri: "https://ehr.example.org/auth/token" }
        ]
      }]
    }
  }]
}

/** Two servers that name one issuer, and a callback that has it. */
const shared = Effect.suspend(() => {
  const { layer, reported } = recorded()
  const server = (name: string) => ({
    ...config,
    fhirBaseUrl: `https://${name}.example.org/fhir`,
    authentication: ClientAuthentication.makePublic
  })
  return Effect.gen(function*() {
    const client = yield* Effect.flatMap(SmartServers.SmartServers, (registry) => registry.client("north"))
    const { pending, url } = yield* client.authorize()
    yield* Effect.either(client.exchange(
      { code: "the-c0de", state: url.searchParams.get("state") ?? "", iss: "https://login.example.org" },
      pending
    ))
    return reported
  }).pipe(Effect.provide(
    SmartServers.layer({ north: server("north"), south: server("south") }).pipe(
      Layer.provide(
        fake(({ url }) =>
          json({
            issuer: "https://login.example.org",
            authorization_endpoint: new URL("/authorize", url).href,
            token_endpoint: new URL("/token", url).href,
            code_challenge_methods_supported: ["S256"],
            capabilities: []
          })
        ).layer
      ),
      Layer.provide(layer)
    )
  ))
})

const legacy = Effect.suspend(() => {
  const { layer, reported } = recorded()
  return Effect.as(
    Effect.provide(
      configuration,
      atServer(
        ({ url }) => url.endsWith("/metadata") ? json(capabilityStatement) : text("", { status: 404 }),
        { metadata: undefined, legacyMetadata: LegacyMetadata.capabilityStatement },
        layer
      )
    ),
    reported
  )
})

/** A server that registers fewer scopes than were requested. */
const registration = Effect.gen(function*() {
  const { layer, reported } = recorded()
  const server = yield* Udap.makeServer({
    respond: ({ claims, kind }) =>
      kind === "register" ? json({ ...claims, client_id: "1", scope: "system/Patient.rs" }, { status: 201 }) : undefined
  })
  const certificate = yield* Udap.appCertificate({ key: "p256" })
  yield* Effect.provide(
    Effect.flatMap(UdapRegistration.UdapRegistration, (service) =>
      service.register({
        fhirBaseUrl: server.fhirBaseUrl,
        community: Udap.COMMUNITY,
        certificate,
        metadata: {
          clientName: "Growth Chart",
          contacts: ["mailto:it@example.org"],
          grantTypes: ["client_credentials"],
          scopes: ["system/*.rs"]
        }
      })),
    Layer.provide(Udap.registrations(server), layer)
  )
  return reported
})

export const entries: Readonly<Record<ConformanceWarning.Code, Entry>> = {
  MetadataMemberMalformed: {
    example: discovered({ scopes_supported: "openid fhirUser" }),
    did: "A member of the SMART configuration does not have the required type.",
    instead:
      "The library treats it as absent. A step that needs it fails with `EndpointMissing`; the other steps work.",
    tell: "Name the member and its required type. `effect-safire doctor` shows the whole list."
  },
  MetadataEndpointRelative: {
    example: discovered({ introspection_endpoint: "introspect" }),
    did: "An endpoint of the SMART configuration is a relative URL.",
    instead: "The library resolves it against the FHIR base URL.",
    tell: "Endpoints must be absolute URLs. Other clients resolve a relative URL differently, or not at all."
  },
  MetadataContentType: {
    example: warned(Effect.zipRight(
      fault("discovery", SandboxEhr.Fault.headers({ set: { "content-type": "text/plain" } })),
      configuration
    )),
    did: "The SMART configuration is JSON, but has another content type.",
    instead: "The library reads it as JSON.",
    tell: "The content type must be `application/json`, independent of the `Accept` header."
  },
  MetadataStale: {
    example: warned(
      Effect.gen(function*() {
        yield* configuration
        yield* TestClock.adjust("2 hours")
        yield* fault("discovery", SandboxEhr.Fault.status(503))
        yield* configuration
      })
    ),
    did: "The server no longer delivers its SMART configuration.",
    instead:
      "The library uses the last valid one, for a day at most (`Discovery.layer({ staleIfError })`). It asks the server again every few seconds.",
    tell: "The server is down. So far no login fails because of it."
  },
  MetadataLegacy: {
    example: legacy,
    did: "The server has no SMART configuration, only the deprecated extension of the CapabilityStatement.",
    instead: "The library uses the endpoints of that extension, because the client has the option `legacyMetadata`.",
    tell: "Publish `.well-known/smart-configuration`. SMART has required it since 1.0."
  },
  PkceNotAdvertised: {
    example: warned(authorize, { metadata: { code_challenge_methods_supported: undefined } }),
    did: "The server does not list `S256` in `code_challenge_methods_supported`.",
    instead:
      "The library still sends the challenge. A server that does not know it ignores it; then only `state` protects the login.",
    tell: "Check the verifier, and list `S256` in the SMART configuration."
  },
  IssuerUnknown: {
    example: warned(Effect.either(login()), { metadata: { issuer: undefined } }),
    did: "The callback names an issuer, but the SMART configuration names none.",
    instead:
      "The library does not compare the issuer, because the redirect URI of the launch belongs to this server alone. If several servers share the redirect URI, the library refuses the callback (`AuthorizationError`, `IssuerNotComparable`).",
    tell:
      "Put your `issuer` into the SMART configuration. (Until then, configure it in the app: `issuer`, `SMART_ISSUER`.)"
  },
  IssuerShared: {
    example: shared,
    did:
      "The server names an issuer that another server of the registry also names, and their endpoints differ. One of the two does not tell the truth.",
    instead:
      "The issuer identifies the server for which you configured it, or else the server whose FHIR base URL has the issuer's origin. If it identifies neither, the library does not compare the `iss` of a callback: it accepts the callback only at a redirect URI that belongs to one server alone.",
    tell:
      "Name the other server that uses the same issuer. Find out which server owns the issuer and configure it for that one (`issuer`, `SMART_ISSUER`). The other server may be hostile."
  },
  TokenContentType: {
    example: answered(SandboxEhr.Fault.headers({ set: { "content-type": "text/html" } })),
    did: "A response of the token endpoint is JSON, but has another content type.",
    instead: "The library reads it as JSON.",
    tell: "The content type must be `application/json` (RFC 6749, section 5.1)."
  },
  TokenMemberMalformed: {
    example: changed({ refresh_token: 42 }),
    did: "A member of a token response or an introspection does not have the required type.",
    instead:
      "The library treats it as absent. Without a refresh token, as here, the session ends with its access token.",
    tell: "Name the member and its required type."
  },
  TokenTypeMissing: {
    example: answered(SandboxEhr.Fault.omit("token_type")),
    did: "A token response has no token type.",
    instead: "The library uses it as a bearer token.",
    tell: "Send `token_type`: it is required, and its value is `Bearer`."
  },
  ExpiresInNotNumber: {
    example: changed({ expires_in: "300" }),
    did: "`expires_in` is a string, or not a usable number of seconds (a date, milliseconds, zero).",
    instead:
      "The library reads a string of digits as the number. Otherwise it uses the token until the server refuses it, and then renews it.",
    tell: "`expires_in` must be a JSON number: the seconds from now on."
  },
  ExpiresInMissing: {
    example: answered(SandboxEhr.Fault.omit("expires_in")),
    did: "A token response has no lifetime of the token.",
    instead:
      "The library uses the token until the server refuses it, and then renews it. Each expiry costs one more request.",
    tell: "Send `expires_in`."
  },
  ScopeMissing: {
    example: answered(SandboxEhr.Fault.omit("scope")),
    did: "A token response has no granted scopes.",
    instead:
      "The library treats the requested scopes as granted, as OAuth defines. The server may then refuse a request with 403 although `scopes` covers it.",
    tell: "Send `scope`. SMART requires it in every token answer."
  },
  ScopeNotString: {
    example: changed({ scope: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"] }),
    did: "`scope` is a list.",
    instead: "The library reads it as a list of scopes.",
    tell: "`scope` must be one string, with spaces between the scopes."
  },
  ScopeNotGranted: {
    example: changed({ scope: "openid fhirUser launch/patient patient/*.r" }),
    did:
      "The server granted fewer scopes than requested. OAuth and SMART allow this: users and policies may narrow a grant.",
    instead:
      "The login succeeds, and `scopes` has the granted scopes. The library also treats as granted: `launch`, and each scope that the answer fulfils without naming it (with a refresh token, an id_token or the launch context).",
    tell: "Nothing, unless the app needs the scope. In that case compare the client's registration."
  },
  ScopeNotNarrowed: {
    example: warned(
      Effect.gen(function*() {
        const client = yield* SmartClient.SmartClient
        const first = yield* login()
        yield* fault("token", SandboxEhr.Fault.mutate((good) => ({ ...good, scope: first.scopes.join(" ") })))
        yield* client.refresh(first, { scopes: ["patient/Observation.rs"] })
      })
    ),
    did:
      "A refresh requested fewer scopes than the server had granted, and the response has more than the requested ones.",
    instead: "The library uses the token. `scopes` has its scopes.",
    tell: "A refresh may narrow the scopes (RFC 6749, section 6; SMART-107)."
  },
  LaunchContextLegacy: {
    example: changed({ fhirContext: ["ImagingStudy/1"] }),
    did: "`fhirContext` contains strings, as in SMART 2.0.",
    instead: "The library reads each string as the `reference` of an item.",
    tell: "Since SMART 2.1, each item must be an object with a `reference`."
  },
  LaunchContextMalformed: {
    example: changed({ fhirContext: [{ reference: "List/1", role: "med-list" }] }),
    did:
      "An item of the launch context violates a rule of SMART: its role is not an absolute URI, or a patient has no role.",
    instead: "The library keeps the item unchanged.",
    tell: "Pass on what the message says."
  },
  PatientMissing: {
    example: answered(SandboxEhr.Fault.omit("patient")),
    did: "The server granted patient scopes, but the token response names no patient.",
    instead:
      "The login succeeds, with no `patient` in its context. `FhirClient`'s `patient()` fails with `NotInContext`.",
    tell: "If the server grants `launch/patient` or `patient/` scopes, the token response must name the patient."
  },
  IdTokenMissing: {
    example: answered(SandboxEhr.Fault.omit("id_token")),
    did: "The server granted `openid`, but the response has no id_token.",
    instead:
      "The login succeeds without `identity`: the app does not know who logged in. If the app needs to know, it must check for `identity`.",
    tell: "A grant of `openid` must come with an id_token."
  },
  IdTokenNonceMissing: {
    example: identified((good, key) => Identity.sign(key, without(good, "nonce"))),
    did: "The id_token does not repeat the nonce that the login sent.",
    instead:
      "The library accepts it, because SMART does not require servers to repeat the nonce. With `idToken: { nonce: \"required\" }` it is an `IdTokenError`.",
    tell: "OpenID Connect requires the nonce. Without it, an attacker can replay an id_token."
  },
  IdTokenUnverifiable: {
    example: warned(
      Effect.zipRight(fault("openid", SandboxEhr.Fault.status(404)), login()),
      { metadata: { issuer: undefined, jwks_uri: undefined } }
    ),
    did: "The server sends an id_token, but publishes neither an issuer nor keys for it.",
    instead: "The library does not use it. The login succeeds without `identity`.",
    tell: "Put `issuer` and `jwks_uri` into the SMART configuration, as `sso-openid-connect` requires."
  },
  IdTokenInvalid: {
    example: identified(
      (good, key) => Identity.sign(key, good),
      (server) =>
        Effect.gen(function*() {
          server.responses.set(Identity.tokenUrl, () => Effect.succeed(Identity.tokenResponse("not-a-jwt")))
          const client = yield* SmartClient.SmartClient
          yield* client.refresh(tokens({ fhirBaseUrl: Identity.fhirBaseUrl, scopes: ["openid"] }))
        })
    ),
    did: "A refresh returned an invalid id_token. The reason is one of `IdTokenError`.",
    instead: "The library uses the new tokens, drops the id_token and keeps the identity of the login.",
    tell: "The same as for the `IdTokenError` of this reason: see [errors.md](errors.md#idtokenerror)."
  },
  IdTokenAlgorithmUnlisted: {
    example: Effect.gen(function*() {
      const key = yield* Identity.makeKey("2026")
      const server = Identity.makeServer([key.jwk], { jwks_uri: undefined })
      server.responses.set(Identity.openIdUrl, {
        issuer: Identity.issuer,
        jwks_uri: Identity.jwksUri,
        id_token_signing_alg_values_supported: ["RS256"]
      })
      yield* Identity.login(
        server,
        (nonce) => Effect.flatMap(Identity.validClaims(nonce), (good) => Identity.sign(key, good))
      ).pipe(Effect.provide(Identity.layerClient(server, { name: "north" })))
      return server.warnings
    }),
    did: "The server signed the id_token with an algorithm that its OpenID metadata does not list.",
    instead:
      "The library accepts it, because the server's own public key verifies the signature. With `idToken: { algorithms }` it accepts only the algorithms given there, without this warning.",
    tell: "List every algorithm that the server signs with in `id_token_signing_alg_values_supported`."
  },
  FhirUserMissing: {
    example: identified((good, key) => Identity.sign(key, without(good, "fhirUser"))),
    did: "The server granted `fhirUser`, but the id_token does not have this claim.",
    instead: "The login succeeds, but `identity` has no `fhirUser`. Userinfo may have it.",
    tell: "A grant of `fhirUser` must come with the claim."
  },
  FhirUserMalformed: {
    example: identified((good, key) => Identity.sign(key, { ...good, fhirUser: "Device/1" })),
    did: "`fhirUser` does not refer to a Patient, Practitioner, PractitionerRole, RelatedPerson or Person.",
    instead: "The library treats it as absent.",
    tell: "`fhirUser` must be the URL of the person's resource on the same server."
  },
  ExportCountWrong: {
    example: Effect.suspend(() => {
      const { layer, reported } = recorded()
      const files = "https://ehr.example.org/fhir/files"
      const manifest = { requiresAccessToken: true, output: [], error: [{ url: `${files}/errors.ndjson`, count: 3 }] }
      const server = ({ url }: SentRequest) =>
        url.includes("$export")
          ? text("", { status: 202, headers: { "content-location": `${fhirBaseUrl}/status/1` } })
          : url.includes("/status/")
          ? json(manifest)
          : text("{\"resourceType\":\"OperationOutcome\"}\n")
      return Effect.flatMap(
        Effect.all([FhirClient.FhirClient, SmartClient.SmartClient]),
        ([fhir, client]) => Stream.runDrain(BulkExport.run(fhir.forTokens(client, tokens())))
      ).pipe(
        Effect.provide(Layer.merge(atServer(server), layer)),
        Effect.as(reported)
      )
    }),
    did: "A file of a bulk export has another number of resources than its `count` in the manifest.",
    instead:
      "The library delivers the messages of an `error` file, and with `wrongCount: \"warn\"` the resources of any file. Without it, a wrong count of data is a `FhirError`.",
    tell: "`count` must be the number of resources in the file."
  },
  CapabilityUnlisted: {
    example: Effect.suspend(() => {
      const { layer, reported } = recorded()
      const http = fake(({ url }) =>
        json(
          url.endsWith("/metadata")
            ? { resourceType: "CapabilityStatement", rest: [{ mode: "server", resource: [{ type: "Patient" }] }] }
            : { resourceType: "Patient", id: "123" }
        )
      ).layer
      return Effect.gen(function*() {
        const fhir = (yield* FhirClient.FhirClient).forTokens(yield* SmartClient.SmartClient, tokens())
        yield* fhir.read("Patient", "123")
        yield* TestClock.adjust("1 second")
        return reported
      }).pipe(Effect.provide(
        Layer.mergeAll(FhirClient.layer, SmartClient.layer(config)).pipe(
          Layer.provide(CapabilityWarnings.layer),
          Layer.provide([CapabilityStatements.layer(), ClientAuthentication.layerPublic]),
          Layer.provide([http, layer])
        )
      ))
    }),
    did:
      "`CapabilityWarnings.layer` is provided to `FhirClient.layer`, and the CapabilityStatement does not list the interaction or a search parameter, or declares its conditional form as not supported.",
    instead: "The request is sent. The warning appears once for each interaction and parameter.",
    tell: "The CapabilityStatement should list what the server supports."
  },
  RegistrationChanged: {
    example: registration,
    did: "The server registered another value of a member than a UDAP app requested, such as fewer scopes.",
    instead:
      "The library uses the registration. `UdapRegistration.RegisteredApp` has the scopes that the server returned.",
    tell: "Ask the operator which scopes it registers for the app, and request only those."
  }
}
