/** Every conformance warning, met by running the library against a server that deviates. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import type { ConformanceWarning } from "effect-safire"
import { ClientAuthentication, RetryPolicy, SmartClient, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { fake, json, text } from "../support/http.js"
import * as Identity from "../support/identityServer.js"
import { recorded } from "../support/warnings.js"
import { atSandbox, atServer, config, fault, login, tokens } from "./world.js"

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
    const { layer, seen } = recorded()
    return Effect.as(Effect.provide(run, atSandbox(changes, options, layer)), seen)
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
      Identity.login(server, (nonce) => Effect.flatMap(Identity.goodClaims(nonce), (good) => idTokenOf(good, key))),
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
  const { layer, seen } = recorded()
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
    return seen
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
  const { layer, seen } = recorded()
  return Effect.as(
    Effect.provide(
      configuration,
      atServer(
        ({ url }) => url.endsWith("/metadata") ? json(capabilityStatement) : text("", { status: 404 }),
        { metadata: undefined, legacyMetadata: true },
        layer
      )
    ),
    seen
  )
})

export const entries: Readonly<Record<ConformanceWarning.Code, Entry>> = {
  MetadataMemberMalformed: {
    example: discovered({ scopes_supported: "openid fhirUser" }),
    did: "A member of the SMART configuration is not of the type it must have.",
    instead: "It counts as absent. A step that needs it fails with `EndpointMissing`; the others go on.",
    tell: "Which member it is, and what it should be. `effect-safire doctor` shows the whole list."
  },
  MetadataEndpointRelative: {
    example: discovered({ introspection_endpoint: "introspect" }),
    did: "An endpoint of the SMART configuration is a relative URL.",
    instead: "It is resolved against the FHIR base URL.",
    tell: "Endpoints must be absolute: other clients resolve them otherwise, or not at all."
  },
  MetadataContentType: {
    example: warned(Effect.zipRight(
      fault("discovery", SandboxEhr.Fault.headers({ set: { "content-type": "text/plain" } })),
      configuration
    )),
    did: "The SMART configuration is JSON, but came under another content type.",
    instead: "It is read as JSON.",
    tell: "The content type is `application/json`, whatever is accepted."
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
    did: "The server does not give its SMART configuration any more.",
    instead:
      "The last good one serves, for a day at most (`Discovery.layer({ staleIfError })`). It is asked for again every few seconds.",
    tell: "That it is down. Nobody's login fails because of it yet."
  },
  MetadataLegacy: {
    example: legacy,
    did: "There is no SMART configuration, only the deprecated extension of the CapabilityStatement.",
    instead: "The endpoints that stand there are used, because `legacyMetadata` was set.",
    tell: "To publish `.well-known/smart-configuration`; SMART wants it since 1.0."
  },
  PkceNotAdvertised: {
    example: warned(authorize, { metadata: { code_challenge_methods_supported: undefined } }),
    did: "`S256` is not among `code_challenge_methods_supported`.",
    instead:
      "The challenge is sent all the same. A server that does not know it ignores it, and the login is protected by `state` alone.",
    tell: "To check the verifier, and to say so."
  },
  IssuerUnknown: {
    example: warned(Effect.either(login()), { metadata: { issuer: undefined } }),
    did: "The callback names an issuer, and the SMART configuration has none.",
    instead:
      "It is not compared with anything, because the redirect URI of the launch belongs to this server alone. Where several servers have it, the callback is refused " +
      "(`AuthorizationError`, `IssuerNotComparable`).",
    tell: "To put its `issuer` into the SMART configuration. Until then configure it (`issuer`, `SMART_ISSUER`)."
  },
  IssuerShared: {
    example: shared,
    did:
      "It names an issuer that another server of the registry names, too, and their endpoints differ: one of them is not telling the truth.",
    instead:
      "The issuer identifies the server for which it is configured, or else the one at whose FHIR base URL's origin it is. Where that is neither, the `iss` of a callback is " +
      "compared with nothing: it is accepted only at a redirect URI that belongs to one server alone.",
    tell:
      "Which other server names its issuer. Find out whose it is and configure it (`issuer`, `SMART_ISSUER`); the other server may be hostile."
  },
  TokenContentType: {
    example: answered(SandboxEhr.Fault.headers({ set: { "content-type": "text/html" } })),
    did: "An answer of the token endpoint is JSON, but came under another content type.",
    instead: "It is read as JSON.",
    tell: "The content type is `application/json` (RFC 6749, section 5.1)."
  },
  TokenMemberMalformed: {
    example: changed({ refresh_token: 42 }),
    did: "A member of a token answer or an introspection is not of the type it must have.",
    instead: "It counts as absent. Without a refresh token, as here, the session ends with its access token.",
    tell: "Which member it is, and what it should be."
  },
  TokenTypeMissing: {
    example: answered(SandboxEhr.Fault.omit("token_type")),
    did: "A token answer does not say what kind of token it is.",
    instead: "It is used as a bearer token.",
    tell: "`token_type` is required and is `Bearer`."
  },
  ExpiresInNotNumber: {
    example: changed({ expires_in: "300" }),
    did: "`expires_in` is a string, or no usable number of seconds (a date, milliseconds, zero).",
    instead:
      "A string of digits is read as the number. Otherwise the token is used until it is refused, and renewed then.",
    tell: "`expires_in` is a JSON number: the seconds from now on."
  },
  ExpiresInMissing: {
    example: answered(SandboxEhr.Fault.omit("expires_in")),
    did: "A token answer does not say how long the token is good.",
    instead: "The token is used until it is refused, and renewed then: one request more whenever it has expired.",
    tell: "To send `expires_in`."
  },
  ScopeMissing: {
    example: answered(SandboxEhr.Fault.omit("scope")),
    did: "A token answer does not say what was granted.",
    instead:
      "What was asked for counts as granted, as OAuth has it. A request may then be refused with 403 although `scopes` covers it.",
    tell: "SMART requires `scope` in every token answer."
  },
  ScopeNotString: {
    example: changed({ scope: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"] }),
    did: "`scope` is a list.",
    instead: "It is read as one.",
    tell: "`scope` is one string, separated by spaces."
  },
  ScopeNotGranted: {
    example: changed({ scope: "openid fhirUser launch/patient patient/*.r" }),
    did:
      "The server granted less than the request asked for, which OAuth and SMART allow: people and policies may narrow a grant.",
    instead:
      "The login succeeds; `scopes` has what was granted. `launch`, and what the answer fulfils without naming it (a refresh token, an id_token, the launch context), counts as granted.",
    tell: "Nothing, unless the app needs the scope: then compare the client's registration."
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
    did: "A refresh asked for fewer scopes than were granted, and the answer has more than it asked for.",
    instead: "The token is used as it is; `scopes` says what it is good for.",
    tell: "A refresh may narrow the scopes (RFC 6749, section 6; SMART-107)."
  },
  LaunchContextLegacy: {
    example: changed({ fhirContext: ["ImagingStudy/1"] }),
    did: "`fhirContext` holds strings, as SMART 2.0 had it.",
    instead: "Each string is read as the reference of an item.",
    tell: "Since 2.1 each item is an object with a `reference`."
  },
  LaunchContextMalformed: {
    example: changed({ fhirContext: [{ reference: "List/1", role: "med-list" }] }),
    did:
      "An item of the launch context is not as SMART wants it: a role that is no absolute URI, a patient without a role.",
    instead: "It is handed on as it came.",
    tell: "What the message says."
  },
  PatientMissing: {
    example: answered(SandboxEhr.Fault.omit("patient")),
    did: "Patient scopes were granted, and the token answer names no patient.",
    instead:
      "The login succeeds, with no `patient` in its context. `FhirClient`'s `patient()` fails with `NotInContext`.",
    tell: "Who is granted `launch/patient` or `patient/` scopes must be told which patient."
  },
  IdTokenMissing: {
    example: answered(SandboxEhr.Fault.omit("id_token")),
    did: "`openid` was granted, and there is no id_token in the answer.",
    instead:
      "The login succeeds without `identity`: nobody knows who logged in. If the app needs to know, it must look.",
    tell: "A grant of `openid` comes with an id_token."
  },
  IdTokenNonceMissing: {
    example: identified((good, key) => Identity.sign(key, without(good, "nonce"))),
    did: "The id_token does not repeat the nonce that was sent.",
    instead:
      "It is accepted: SMART does not oblige servers. With `idToken: { nonce: \"required\" }` it is an `IdTokenError`.",
    tell: "OpenID Connect requires it; without it, an id_token can be replayed."
  },
  IdTokenUnverifiable: {
    example: warned(
      Effect.zipRight(fault("openid", SandboxEhr.Fault.status(404)), login()),
      { metadata: { issuer: undefined, jwks_uri: undefined } }
    ),
    did: "There is an id_token, but the server says nowhere who signs it, or with which keys.",
    instead: "It is not believed. The login succeeds without `identity`.",
    tell: "To put `issuer` and `jwks_uri` into the SMART configuration, as `sso-openid-connect` requires."
  },
  IdTokenInvalid: {
    example: identified(
      (good, key) => Identity.sign(key, good),
      (server) =>
        Effect.gen(function*() {
          server.answers.set(Identity.tokenUrl, () => Effect.succeed(Identity.tokenAnswer("not-a-jwt")))
          const client = yield* SmartClient.SmartClient
          yield* client.refresh(tokens({ fhirBaseUrl: Identity.fhirBaseUrl, scopes: ["openid"] }))
        })
    ),
    did: "The id_token that came with a refresh is not believed; the reason is one of `IdTokenError`.",
    instead: "The new tokens are used. Who logged in stays as it was, and the id_token is dropped.",
    tell: "As for the `IdTokenError` of this reason: see [errors.md](errors.md#idtokenerror)."
  },
  IdTokenAlgorithmUnlisted: {
    example: Effect.gen(function*() {
      const key = yield* Identity.makeKey("2026")
      const server = Identity.makeServer([key.jwk], { jwks_uri: undefined })
      server.answers.set(Identity.openIdUrl, {
        issuer: Identity.issuer,
        jwks_uri: Identity.jwksUri,
        id_token_signing_alg_values_supported: ["RS256"]
      })
      yield* Identity.login(
        server,
        (nonce) => Effect.flatMap(Identity.goodClaims(nonce), (good) => Identity.sign(key, good))
      ).pipe(Effect.provide(Identity.layerClient(server, { name: "north" })))
      return server.warnings
    }),
    did: "The id_token is signed with an algorithm that the server's OpenID metadata does not list.",
    instead:
      "It is accepted, because the server's own public key has signed it. With `idToken: { algorithms }` only the algorithms given there are accepted, without this warning.",
    tell: "To list every algorithm that it signs with in `id_token_signing_alg_values_supported`."
  },
  FhirUserMissing: {
    example: identified((good, key) => Identity.sign(key, without(good, "fhirUser"))),
    did: "`fhirUser` was granted, and is not in the id_token.",
    instead: "The login succeeds; `identity` has no `fhirUser`. Userinfo may have it.",
    tell: "A grant of `fhirUser` comes with the claim."
  },
  FhirUserMalformed: {
    example: identified((good, key) => Identity.sign(key, { ...good, fhirUser: "Device/1" })),
    did: "`fhirUser` is no reference to a Patient, Practitioner, PractitionerRole, RelatedPerson or Person.",
    instead: "It counts as absent.",
    tell: "`fhirUser` is the URL of the person's resource on the same server."
  }
}
