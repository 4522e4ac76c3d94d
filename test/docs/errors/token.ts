/** What can go wrong at the token endpoint, and in finding out who logged in. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import {
  ClientAuthentication,
  HttpLimits,
  IdToken,
  IdTokenError,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient,
  TokenEndpoint,
  TokenError
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import type * as jose from "jose"
import { FhirBaseUrl } from "../../../src/base/FhirBaseUrl.js"
import { fromSettings } from "../../../src/server/SmartConfiguration.js"
import { ConnectionFailure, hang } from "../../support/http.js"
import * as Identity from "../../support/identityServer.js"
import { section } from "../entry.js"
import {
  atSandbox,
  atServer,
  fault,
  fhirBaseUrl,
  http,
  login,
  met,
  metadata,
  patiently,
  type Policy,
  tokens,
  withoutChunks
} from "../world.js"

const exchange = (what: SandboxEhr.Fault.Fault, limits: Layer.Layer<never> = Layer.empty) =>
  met(login((ehr) => ehr.fault("token", what))).pipe(Effect.provide(atSandbox({}, {}, limits)))

const refresh = (changes: Parameters<typeof tokens>[0] = {}, scopes?: ReadonlyArray<string>) =>
  met(Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens(changes), { scopes }))).pipe(
    Effect.provide(atServer(() => new ConnectionFailure("ECONNREFUSED", "connect")))
  )

/** A store that takes three seconds to write, and a server whose tokens live for two. */
const expiredWhileSaved = Effect.gen(function*() {
  const memory = yield* SessionStore.backingMemory
  let isSlow = false
  const writing = yield* Deferred.make<void>()
  const store = SessionStore.layerBacking(Effect.succeed({
    ...memory,
    replace: (...args: Parameters<typeof memory.replace>) =>
      Effect.suspend(() =>
        isSlow
          ? Effect.zipRight(Deferred.succeed(writing, undefined), Effect.delay(memory.replace(...args), "3 seconds"))
          : memory.replace(...args)
      )
  }))
  return yield* met(Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const ehr = yield* SandboxEhr.SandboxEhr
    const id = yield* sessions.completeLaunch(yield* Effect.orDie(ehr.approve((yield* sessions.startLaunch()).url)))
    yield* ehr.fault("token", SandboxEhr.Fault.mutate((members) => ({ ...members, expires_in: 2 })))
    yield* TestClock.adjust("6 minutes")
    isSlow = true
    const asking = yield* Effect.fork(sessions.accessToken(id))
    yield* Deferred.await(writing)
    yield* TestClock.adjust("3 seconds")
    return yield* Fiber.join(asking)
  })).pipe(
    Effect.provide(Layer.provide(Sessions.layerFromClient, store)),
    Effect.provide(atSandbox())
  )
})

const notSent = "Not repeated: nothing was sent."

const unknownOutcome =
  "The library sends an exchange or a refresh with `processed` `unknown` at most once more (`retryUnknown`), because the tokens of a lost response are lost in any case. If that fails, start a new login. `Sessions` keeps the tokens that it has."

export const tokenError = section<TokenError["reason"]>({
  name: "TokenError",
  literals: TokenError.fields.reason.literals,
  about:
    "The token endpoint, or introspection, revocation or userinfo (`operation`), did not return the expected response. `error`, `errorDescription` and `errorUri` are from the server, without values of the request. `received` has the names of the members of an unusable response. `issued` has the tokens of that response, redacted, so that you can revoke them. `processed` says whether the server may have acted: only `no` guarantees that a code or a refresh token is unused.",
  names: /north/,
  entries: {
    Refused: {
      example: exchange(
        SandboxEhr.Fault.oauthError("invalid_grant", { description: "the code is used, expired or not yours" })
      ),
      cause: "The server refused the request with an OAuth error or a 4xx status.",
      cure:
        "`invalid_grant`: start a new login; for client credentials, do the same as for `invalid_client`. `invalid_client`, `unauthorized_client`: check the client id, the secret or key, and how the client sends them (the message names `SMART_CLIENT_SECRET_ENCODING` where it matters). If the client signs assertions, also check the clock of this machine. `invalid_scope`: check the registration. 404: the metadata names another URL than the token endpoint.",
      again:
        "Not repeated. With `invalid_client` the server did not use the code or token: correct the credentials and call again. After any other refusal of a refresh, a session needs a new launch."
    },
    Unavailable: {
      example: exchange(SandboxEhr.Fault.status(503, { headers: { "retry-after": "120" } })),
      cause: "The server, or a proxy in front of it, is busy or broken: 408, 429 or 5xx.",
      cure: "Wait as long as `retryAfter` says. Then ask the operator.",
      again:
        `Retried by the \`RetryPolicy\`, not before \`Retry-After\`, and not if it is more than 30 seconds. With \`processed\` \`no\` (429, 503) the same call is safe. ${unknownOutcome}`
    },
    Unreachable: {
      example: exchange(SandboxEhr.Fault.drop),
      cause:
        "The connection failed (`processed` `no`), or it was interrupted after the request may have arrived (`unknown`, as here).",
      cure:
        "The code comes from the operating system. `ENOTFOUND`: check the host name. `ECONNREFUSED`: check the server or firewall. `ECONNRESET`: a proxy or the server dropped the connection. `CERT_…`, `UNABLE_TO_…`: check the certificate.",
      again: `Retried by the \`RetryPolicy\` if the request was not sent. ${unknownOutcome}`
    },
    TimedOut: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens()))).pipe(
        Effect.provide(atServer(() => hang)),
        patiently
      ),
      cause: "No complete response within `HttpLimits.tokenTimeout` (30 seconds).",
      cure: "Ask the operator. If you raise the limit, make sure that the lease of the session store lasts longer.",
      again: unknownOutcome
    },
    Malformed: {
      example: exchange(SandboxEhr.Fault.omit("access_token")),
      cause:
        "The status means success, but the body is not a token response. `received` names its members. If `received` is empty, the body was not a JSON object.",
      cure:
        "If it is a web page, a proxy or a login page has responded. If it spells the members differently, tell the operator.",
      again: "Not repeated: the code or refresh token is probably used up. Start a new login."
    },
    UnsupportedTokenType: {
      example: exchange(SandboxEhr.Fault.mutate((members) => ({ ...members, token_type: "DPoP" }))),
      cause: "The token type is not `Bearer`.",
      cure: "Register the client for bearer tokens, and revoke the tokens in `issued`.",
      again: "Not repeated: the code is used up. Change the registration, then start a new login."
    },
    Expired: {
      example: expiredWhileSaved,
      cause:
        "The session store took so long to write the new access token that the token expired before the library could return it.",
      cure:
        "Ask the operator for access tokens that live longer, or find out why the store is slow. The new refresh token is saved.",
      again: "Not repeated. You can safely repeat the call: it renews again."
    },
    TooLarge: {
      example: exchange(
        SandboxEhr.Fault.mutate((members) => ({ ...members, extra: "x".repeat(100_000) })),
        HttpLimits.layer({ maxResponseBytes: 10_000 })
      ),
      cause: "The response is longer than `HttpLimits.maxResponseBytes` (1 MiB; a small one here).",
      cure: "Look at the response before you raise the limit.",
      again: "Not repeated: the code is probably used up. Start a new login."
    },
    RedirectRefused: {
      example: exchange(SandboxEhr.Fault.redirect("https://portal.example.org/login")),
      cause: "The endpoint redirects. The library follows no redirect with a request that has credentials.",
      cure:
        "If the redirect leads to a login page, a gateway has responded. If it leads to another token endpoint, the server's metadata should name that one.",
      again: "Not repeated: the same call gets the same response."
    },
    InsecureEndpoint: {
      example: met(Effect.flatMap(TokenEndpoint.TokenEndpoint, (service) =>
        service.userInfo({
          endpoint: "http://ehr.example.org/auth/userinfo",
          clientId: "growth-chart",
          authentication: ClientAuthentication.makePublic,
          server: "north"
        }, { token: Redacted.make("the-access-t0ken") }))).pipe(
          Effect.provide(TokenEndpoint.layer.pipe(Layer.provide(http(() => hang))))
        ),
      cause:
        "An endpoint that the library checks only when it uses it, such as userinfo's, is not https. For the endpoints of the SMART configuration, the error is a `DiscoveryError`.",
      cure: "Tell the operator. For a server on this machine, set `allowInsecureLocalhost`.",
      again: notSent
    },
    NoRefreshToken: {
      example: refresh({ refreshToken: undefined }),
      cause:
        "The server issued no refresh token. Either the app did not request `offline_access` or `online_access`, or the server did not grant it (warning `ScopeNotGranted`), or the server granted it without a refresh token.",
      cure:
        "Request one of them at the next launch. If the app did request it, add `prompt=consent` (`authorize({ params: { prompt: \"consent\" } })`), and ask the operator whether the client may have refresh tokens.",
      again: `${notSent} Only a new login helps.`
    },
    ScopeExceedsGrant: {
      example: refresh({}, ["patient/Observation.rs", "patient/MedicationRequest.rs"]),
      cause: "A refresh requested scopes that were not granted.",
      cure: "Request the granted scopes or fewer. For more, start a new login.",
      again: `${notSent} With fewer scopes the same call may succeed.`
    },
    WrongServer: {
      example: refresh({ fhirBaseUrl: "https://south.example.org/r4" }),
      cause: "The tokens belong to another server than the client.",
      cure: "Choose the client by the `fhirBaseUrl` of the tokens. `Sessions` does that.",
      again: notSent
    },
    ModuleUnavailable: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.userInfo(tokens()))).pipe(
        Effect.provide(atServer(() => new ConnectionFailure("ECONNREFUSED"))),
        withoutChunks
      ),
      cause:
        "In a browser, the code for userinfo is in the chunk that verifies id_tokens, and the page could not load it: the network is down, or a new version of the app removed the old chunks.",
      cure: "Keep the chunks of the previous version for a day after a deployment.",
      again: "Repeat the call: nothing was sent. Browsers may need a reload of the page."
    }
  }
})

interface Variant {
  readonly keys?: (key: Identity.Key) => ReadonlyArray<jose.JWK>
  readonly claims?: (good: Identity.Members) => Identity.Members
  readonly header?: Identity.Members
  readonly token?: string
  readonly policy?: Policy
  readonly params?: Readonly<Record<string, string>>
  readonly jwksStatus?: number
  readonly kid?: string
}

const once = <A, E>(layer: Layer.Layer<A, E>) => Layer.provide(layer, RetryPolicy.layer(RetryPolicy.none))

const verified = (variant: Variant) =>
  Effect.gen(function*() {
    const key = yield* Identity.makeKey("kid" in variant ? variant.kid : "2026")
    const server = Identity.makeServer(variant.keys === undefined ? [key.jwk] : variant.keys(key))
    if (variant.jwksStatus !== undefined) {
      server.responses.set(Identity.jwksUri, () => new Response("", { status: variant.jwksStatus ?? 500 }))
    }
    return yield* met(Identity.login(
      server,
      (nonce) =>
        Effect.flatMap(Identity.validClaims(nonce), (good) =>
          variant.token === undefined
            ? Identity.sign(key, variant.claims?.(good) ?? good, variant.header)
            : Effect.succeed(variant.token)),
      { params: variant.params }
    )).pipe(Effect.provide(once(Identity.layerClient(server, { name: "north", idToken: variant.policy }))))
  })

const withKeys = fromSettings(FhirBaseUrl.make(fhirBaseUrl), metadata)

const refreshedAs = (sub: string) =>
  Effect.gen(function*() {
    const key = yield* Identity.makeKey("2026")
    const server = Identity.makeServer([key.jwk])
    const signed = (nonce: string | undefined, sub: string) =>
      Effect.flatMap(Identity.validClaims(nonce), (good) => Identity.sign(key, { ...good, sub }))
    return yield* met(Effect.gen(function*() {
      const client = yield* SmartClient.SmartClient
      const first = yield* Identity.login(server, (nonce) => signed(nonce, "person-1"))
      const idToken = yield* signed(undefined, sub)
      server.responses.set(Identity.tokenUrl, () => Effect.succeed(Identity.tokenResponse(idToken)))
      return yield* client.refresh(first)
    })).pipe(Effect.provide(once(Identity.layerClient(server, { name: "north" }))))
  })

const without = (claim: string) => (claims: Identity.Members): Identity.Members =>
  Object.fromEntries(Object.entries(claims).filter(([name]) => name !== claim))

const lost =
  "Not repeated: the code is used up. `tokens` has the received tokens, redacted: revoke them, and start a new login."

export const idTokenError = section<IdTokenError["reason"]>({
  name: "IdTokenError",
  literals: IdTokenError.fields.reason.literals,
  about:
    "The id_token is not valid, so the identity of the user is unknown. The error of a login has the tokens, redacted, so that you can revoke them. At a refresh an invalid id_token is only the warning `IdTokenInvalid`: tokens and identity stay, unless the id_token is that of another user (`SubjectChanged`). `claim` is the name of the member. The error contains no value of the token.",
  names: /north/,
  entries: {
    Malformed: {
      example: verified({ token: "not-a-jwt" }),
      cause: "The id_token is not a signed JWT, or it is encrypted, or it is a JWT of another kind.",
      cure: "Report it to the operator. If the app registered for encrypted id_tokens, register it without encryption.",
      again: lost
    },
    AlgorithmNotAllowed: {
      example: verified({ token: "eyJhbGciOiJIUzI1NiJ9.e30.AAAA" }),
      cause:
        "The id_token is signed with a shared secret or not at all, or with an algorithm that `idToken.algorithms` does not list.",
      cure:
        "The operator must sign with RS256, ES256 or another algorithm with a public key. Many servers have a setting for each app. If the algorithm in the message is one of these, add it to `idToken.algorithms`.",
      again: lost
    },
    KeyNotFound: {
      example: verified({ keys: () => [] }),
      cause: "The server does not publish the key that signed the id_token.",
      cure:
        "Just after a key rotation, start again in a minute. Otherwise compare `jwks_uri` and `kid` with the operator.",
      again: lost
    },
    KeyAmbiguous: {
      example: verified({ kid: undefined as unknown as string, keys: ({ jwk }) => [jwk, { ...jwk }] }),
      cause: "Several published keys fit, and the token does not say which one.",
      cure: "The operator must give each key a `kid`, and name it in the token's header.",
      again: lost
    },
    KeysUnavailable: {
      example: verified({ jwksStatus: 503 }),
      cause: "The library could not get the server's keys, or the metadata with their URL. The message has the cause.",
      cure: "Do what `MetadataError` says. The host of `jwks_uri` is often not the host of the FHIR server.",
      again: `The library asked for the document as often as the \`RetryPolicy\` says. ${lost}`
    },
    SignatureInvalid: {
      example: Effect.flatMap(Identity.makeKey("2026"), (other) => verified({ keys: () => [other.jwk] })),
      cause:
        "The signature does not match the server's key with this `kid`. The server did not sign the id_token, or the id_token changed on its way.",
      cure:
        "If every login fails like this, the operator publishes another key than the one that signs. Otherwise treat it as an attack.",
      again: lost
    },
    IssuerMismatch: {
      example: verified({ claims: (good) => ({ ...good, iss: `${Identity.issuer}/` }) }),
      cause:
        "`iss` is not the issuer that the server's metadata names. The library compares them exactly; here they differ by one slash.",
      cure:
        "The operator must make them agree. Until then, set `idToken.issuer` to the issuer of the token, if you know that it belongs to the server.",
      again: lost
    },
    AudienceMismatch: {
      example: verified({ claims: (good) => ({ ...good, aud: "another-app" }) }),
      cause: "The server issued the id_token to another app, or also to other apps.",
      cure:
        "Compare the client id with the registration. If other apps are expected, list them in `idToken.trustedAudiences`.",
      again: lost
    },
    AuthorizedPartyMismatch: {
      example: verified({ claims: (good) => ({ ...good, azp: "another-app" }) }),
      cause: "`azp` names another app, or it is missing although the id_token has several audiences.",
      cure: "Compare the client id with the registration, then tell the operator.",
      again: lost
    },
    SubjectInvalid: {
      example: verified({ claims: (good) => ({ ...good, sub: "" }) }),
      cause: "`sub` is empty, too long, or not ASCII.",
      cure: "Report it to the operator.",
      again: lost
    },
    Expired: {
      example: verified({ claims: (good) => ({ ...good, exp: -61 }) }),
      cause: "`exp` has passed by more than `idToken.clockSkew` (60 seconds).",
      cure: "Compare the clocks, and run NTP on both machines.",
      again: lost
    },
    NotYetValid: {
      example: verified({ claims: (good) => ({ ...good, nbf: 61 }) }),
      cause: "`nbf` is in the future by more than `idToken.clockSkew`.",
      cure: "Compare the clocks: the server's clock is ahead.",
      again: lost
    },
    IssuedInFuture: {
      example: verified({ claims: (good) => ({ ...good, iat: 61 }) }),
      cause: "`iat` is in the future by more than `idToken.clockSkew`.",
      cure: "Compare the clocks: the server's clock is ahead, or yours is behind.",
      again: lost
    },
    ClaimMissing: {
      example: verified({ claims: without("sub") }),
      cause:
        "One of `iss`, `sub`, `aud`, `exp` and `iat` is missing, or `auth_time` is missing although the login sent `max_age`.",
      cure: "Report it to the operator.",
      again: lost
    },
    ClaimMalformed: {
      example: verified({ claims: (good) => ({ ...good, exp: "tomorrow" }) }),
      cause: "The value of a time claim is not a number.",
      cure: "Report it to the operator.",
      again: lost
    },
    NonceMissing: {
      example: verified({ claims: without("nonce"), policy: { nonce: "required" } }),
      cause: "The id_token does not repeat the nonce that the login sent, and `idToken.nonce` is `required`.",
      cure:
        "SMART does not require servers to repeat the nonce. Set the policy to `optional` for this server, or ask the operator.",
      again: lost
    },
    NonceMismatch: {
      example: verified({ claims: (good) => ({ ...good, nonce: "another" }) }),
      cause: "The id_token belongs to another login: the response was exchanged or replayed.",
      cure: "Treat it as an attack. But if every login fails like this, report it to the operator.",
      again: lost
    },
    AuthenticationTooOld: {
      example: verified({ claims: (good) => ({ ...good, auth_time: -1_000 }), params: { max_age: "300" } }),
      cause: "The login of the user is older than the `max_age` that the login sent.",
      cure: "Start a login with `params: { prompt: \"login\" }`.",
      again: lost
    },
    SubjectChanged: {
      example: refreshedAs("person-2"),
      cause: "The response to a refresh has the id_token of another user.",
      cure:
        "End the session and revoke `tokens`: only this error has them. `Sessions` does both. Report it to the operator.",
      again: "Not repeated. The old refresh token may be used up: start a new login."
    },
    SubjectMismatch: {
      example: met(Effect.gen(function*() {
        const found = yield* login()
        yield* fault("userinfo", SandboxEhr.Fault.mutate((members) => ({ ...members, sub: "another-user" })))
        return yield* Effect.flatMap(SmartClient.SmartClient, (client) => client.userInfo(found))
      })).pipe(Effect.provide(atSandbox())),
      cause: "Userinfo has another `sub` than the id_token.",
      cure: "Rely on the id_token, and report it to the operator.",
      again: "Not repeated. The tokens are still valid."
    },
    NoIdentity: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.userInfo(tokens()))).pipe(
        Effect.provide(atServer(() => new ConnectionFailure("ECONNREFUSED")))
      ),
      cause: "The call needs the identity of the user, and these tokens have no verified id_token.",
      cure:
        "Request `openid` and `fhirUser` at the next login. If the app did request them, look for the warnings `IdTokenMissing` and `IdTokenUnverifiable`.",
      again: "Not repeated: nothing was sent."
    },
    ModuleUnavailable: {
      example: Effect.suspend(() => {
        const request = { server: "north", clientId: "growth-chart", configuration: withKeys }
        return met(Effect.flatMap(IdToken.IdToken, (service) => service.verify(Redacted.make("e30.e30.AAAA"), request)))
      }).pipe(
        Effect.provide(IdToken.layer()),
        Effect.provide(http(() => new ConnectionFailure("ECONNREFUSED"))),
        withoutChunks
      ),
      cause:
        "Your program calls `IdToken.verify` in a browser, and the page could not load the chunk with the code that verifies signatures. A login fails with an `AuthorizationError` of this reason, before it sends the code.",
      cure: "Keep the chunks of the previous version for a day after a deployment.",
      again: "Repeat the call. Browsers may need a reload of the page."
    }
  }
})
