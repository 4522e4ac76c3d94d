/** What can go wrong from registration to the callback. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import {
  AuthorizationError,
  ClientAuthentication,
  ClientMetadata,
  Discovery,
  HttpLimits,
  LaunchError,
  LaunchRequest,
  RegisteredClient,
  Registration,
  RegistrationError,
  SmartClient,
  SmartServers,
  UnknownServerError
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { ConnectionFailure, type FakeResponse, hang, json, text } from "../../support/http.js"
import { nothingSent, section } from "../entry.js"
import {
  atSandbox,
  clientId,
  fhirBaseUrl,
  http,
  met,
  patiently,
  redirectUri,
  smallLimits,
  withoutChunks
} from "../world.js"

const endpoint = "https://ehr.example.org/auth/register"

const registration = (answer: () => FakeResponse, limits: Layer.Layer<never> = HttpLimits.layer({})) =>
  Registration.layer.pipe(Layer.provide(Discovery.layer()), Layer.provide(http(answer)), Layer.provide(limits))

const app = new ClientMetadata.ClientMetadata({ redirectUris: [redirectUri], tokenEndpointAuthMethod: "none" })

const register = (answer: () => FakeResponse, url = endpoint, limits: Layer.Layer<never> = HttpLimits.layer({})) =>
  met(Effect.flatMap(Registration.Registration, (service) => service.register(app, { endpoint: url }))).pipe(
    Effect.provide(registration(answer, limits))
  )

const registered = (url: string | undefined) =>
  new RegisteredClient.RegisteredClient({
    clientId,
    registrationAccessToken: Redacted.make("the-access-t0ken"),
    ...(url === undefined ? {} : { registrationClientUri: url }),
    metadata: app,
    changed: [],
    deviations: []
  })

const read = (answer: () => FakeResponse, url: string | undefined = `${endpoint}/${clientId}`) =>
  met(Effect.flatMap(Registration.Registration, (service) => service.read(registered(url)))).pipe(
    Effect.provide(registration(answer))
  )

const askFirst =
  "Not repeated: a client may have been registered, and a second call may register another one. Ask the operator, or look at the server's list of apps, before you call again."

export const registrationError = section<RegistrationError["reason"]>({
  name: "RegistrationError",
  literals: RegistrationError.fields.reason.literals,
  about:
    "A client could not be registered, or its registration could not be read, changed or removed (`operation`). The library repeats a registration only if the server did not act (`processed` `no`), because a repeat could register a second client.",
  names: /ehr\.example\.org|\(none\)/,
  entries: {
    Unreachable: {
      example: register(() => new ConnectionFailure("ECONNREFUSED", "connect")),
      cause:
        "The connection failed or was interrupted. The code is that of the operating system; `processed` says whether the request may have arrived.",
      cure: "Check address, firewall, certificate and server.",
      again:
        "Retried by the `RetryPolicy` if `processed` is `no`, as here. With `unknown`, check first whether a client was registered."
    },
    TimedOut: {
      example: patiently(register(() => hang)),
      cause: "No complete response within `HttpLimits.tokenTimeout` (30 seconds).",
      cure:
        "Some servers register clients manually and respond late: raise the limit, or register through their portal.",
      again: askFirst
    },
    TooLarge: {
      example: register(() => json({ text: "x".repeat(2_000) }), endpoint, smallLimits),
      cause: "The response is longer than `HttpLimits.maxResponseBytes`.",
      cure: "Ask the operator about the content; then raise the limit.",
      again: askFirst
    },
    RedirectRefused: {
      example: register(() => text("", { status: 307, headers: { location: "https://portal.example.org/register" } })),
      cause: "The endpoint redirects. The library follows no redirect with a request that has credentials.",
      cure: "If you trust the URL it redirects to, use that URL.",
      again: "Not repeated: the same call gets the same response."
    },
    InsecureEndpoint: {
      example: read(() => json({}), "http://ehr.example.org/auth/register/growth-chart"),
      cause: "The URL that the server gave for managing the registration is not https.",
      cure: "Tell the operator: the registration access token would be sent unencrypted.",
      again: nothingSent
    },
    Unauthorized: {
      example: register(() =>
        json({ error: "invalid_token", error_description: "initial access token is used up" }, { status: 401 })
      ),
      cause: "401 or 403: the initial access token or the registration access token is missing, wrong or used up.",
      cure: "Get another one from the operator's portal.",
      again: "Not repeated. Safe to call again with another token: the server did not act."
    },
    Refused: {
      example: register(() =>
        json({ error: "invalid_redirect_uri", error_description: "redirect URIs must be on a verified domain" }, {
          status: 400
        })
      ),
      cause: "The server does not accept the metadata. `error` and `errorDescription` are from the server.",
      cure: "Change the metadata accordingly.",
      again: "Not repeated. Safe to call again with other metadata: the server did not act."
    },
    Status: {
      example: register(() => text("", { status: 503, headers: { "retry-after": "120" } })),
      cause: "Any other error status.",
      cure:
        "429 and 503: wait as long as `retryAfter` says. 404: not the registration endpoint. 500, 502, 504: `processed` is `unknown`; ask the operator.",
      again:
        "Retried after 429 and 503, because the server did not act, unless `Retry-After` is more than 30 seconds. Otherwise check first whether a client was registered."
    },
    NotJson: {
      example: register(() => text("<!doctype html>", { status: 201, headers: { "content-type": "text/html" } })),
      cause: "The status means success, but the body is not JSON.",
      cure: "Look at the program that responds at this URL.",
      again: askFirst
    },
    NotObject: {
      example: register(() => json([], { status: 201 })),
      cause: "The status means success, but the body is not a JSON object.",
      cure: "Tell the operator.",
      again: askFirst
    },
    ClientIdMissing: {
      example: register(() => json({ redirect_uris: [redirectUri] }, { status: 201 })),
      cause: "The response has no `client_id`, or that of another client.",
      cure: "Ask the operator which client was registered.",
      again: askFirst
    },
    NotManageable: {
      example: met(Effect.flatMap(Registration.Registration, (service) => service.remove(registered(undefined)))).pipe(
        Effect.provide(registration(() => json({})))
      ),
      cause:
        "The server returned no `registration_client_uri` or no `registration_access_token`, or they were not stored.",
      cure: "Change or remove the client in the operator's portal.",
      again: nothingSent
    }
  }
})

const server = (url: string) => ({
  fhirBaseUrl: url,
  clientId,
  redirectUri,
  authentication: ClientAuthentication.makePublic
})

const servers = SmartServers.layer({
  north: server(fhirBaseUrl),
  south: server("https://south.example.org/r4"),
  twin: server("https://south.example.org/r4/")
}).pipe(Layer.provide(http(() => json({}))))

const launch = (input: LaunchRequest.Input) =>
  met(LaunchRequest.decode(input)).pipe(
    Effect.provide(Layer.provide(SmartServers.layerTrustedIssuers, servers))
  )

const launched = (query: string) => launch(`https://app.example.org/launch?${query}`)

const startAgain = "Not repeated: no request was made. The user starts the app again from the EHR."

export const launchError = section<LaunchError["reason"]>({
  name: "LaunchError",
  literals: LaunchError.fields.reason.literals,
  about:
    "The launch is refused. The library sent no request, because the caller of a launch URL chooses its `iss`. Show the user a page that says how to start the app; the `message` is for the log.",
  names: /iss|launch|https?:/i,
  entries: {
    NotALaunch: {
      example: launch("https://app.example.org/launch"),
      cause: "The URL has no parameters: it was opened from a bookmark, or a proxy cut off the query.",
      cure:
        "If it comes from the EHR, check that proxies and routers keep the query. Otherwise start a standalone launch.",
      again: startAgain
    },
    IssMissing: {
      example: launched("launch=the-launch-handle"),
      cause: "The launch URL has no `iss`.",
      cure: "Ask the EHR's operator to compare the registered launch URL.",
      again: startAgain
    },
    LaunchMissing: {
      example: launched(`iss=${encodeURIComponent(fhirBaseUrl)}`),
      cause: "The launch URL has no `launch`.",
      cure:
        "Ask the EHR's operator to compare the registered launch URL. A link of your app should start a standalone launch instead.",
      again: startAgain
    },
    DuplicateParameter: {
      example: launched(
        `iss=${encodeURIComponent(fhirBaseUrl)}&iss=${
          encodeURIComponent("https://evil.example.org/fhir")
        }&launch=the-launch-handle`
      ),
      cause: "`iss` or `launch` is repeated. Two programs could read two servers from such a URL.",
      cure: "If the registered launch URL has a query, register it without one. Otherwise it is an attack.",
      again: startAgain
    },
    IssInvalid: {
      example: launched("iss=https:/ehr.example.org/fhir&launch=the-launch-handle"),
      cause:
        "`iss` is not a FHIR base URL. Here a router removed a slash of an unencoded `iss`, as those of `@effect/platform` do.",
      cure: "Pass the URL of the request, not parameters that a router has parsed.",
      again: startAgain
    },
    IssInsecure: {
      example: launched("iss=http%3A%2F%2Fehr.example.org%2Ffhir&launch=the-launch-handle"),
      cause: "`iss` is not https.",
      cure: "Tell the operator. For a server on this machine, set `allowInsecureLocalhost` in its configuration.",
      again: startAgain
    },
    IssUntrusted: {
      example: launched("iss=https%3A%2F%2Fehr.example.org%2Ffhir%2Fr4&launch=the-launch-handle"),
      cause: "No configured server has this FHIR base URL.",
      cure:
        "If you want to serve this server, configure it with exactly this URL. If you do not know it, ignore the launch.",
      again: startAgain
    },
    IssAmbiguous: {
      example: launched("iss=https%3A%2F%2Fsouth.example.org%2Fr4&launch=the-launch-handle"),
      cause: "Several configured servers have this FHIR base URL: two client ids at one server.",
      cure:
        "Register a launch URL for each, and pass the result of `LaunchRequest.parse` to `authorize` of the right client.",
      again: startAgain
    }
  }
})

/** What came back from a login, changed. */
const callback = (
  change: (url: URL) => string,
  options: SandboxEhr.Options = {},
  person: (ehr: SandboxEhr.Service, url: URL) => Effect.Effect<URL, unknown> = (ehr, url) => ehr.approve(url),
  wait: Effect.Effect<void> = Effect.void
) =>
  met(Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const client = yield* SmartClient.SmartClient
    const { pending, url } = yield* client.authorize()
    const back = yield* Effect.orDie(person(ehr, url))
    yield* wait
    return yield* client.exchange(change(back), pending)
  })).pipe(Effect.provide(atSandbox({}, options)))

const changed = (change: (params: URLSearchParams) => void) => (url: URL) => {
  const next = new URL(url)
  change(next.searchParams)
  return next.href
}

const withoutIssuer = {
  authorization_endpoint: "https://login.example.org/authorize",
  token_endpoint: "https://login.example.org/token",
  capabilities: []
}

const startLogin =
  "Not repeated: nothing was sent, the code was not used. Start a new login; the same callback cannot be used again."

export const authorizationError = section<AuthorizationError["reason"]>({
  name: "AuthorizationError",
  literals: AuthorizationError.fields.reason.literals,
  about:
    "The callback has an error, or it is not valid. The library sent no token request. `error`, `errorDescription` and `errorUri` are from the server; with the reasons `StateMissing` and `StateMismatch` they may be forged, so do not show them. After each reason, the user can start a new login.",
  names: /north|an unknown server/,
  entries: {
    AccessDenied: {
      example: callback(String, {}, (ehr, url) => ehr.deny(url)),
      cause: "The user or a policy of the server denied access.",
      cure: "Offer to try again; say what the app needs and why.",
      again: "Not repeated. A new login may succeed."
    },
    InvalidIdentityProvider: {
      example: callback(changed((params) => {
        params.delete("code")
        params.set("error", "invalid_idp")
      })),
      cause: "The server does not accept the identity provider that the app named with `idp` (UDAP Tiered OAuth).",
      cure: "Offer another provider (`TieredOAuth.others`), or start the launch without one.",
      again: "Not repeated. A new launch with another provider may succeed."
    },
    Refused: {
      example: callback(changed((params) => {
        params.delete("code")
        params.set("error", "invalid_scope")
        params.set("error_description", "patient/*.rs is not registered for this app")
      })),
      cause: "The server refused the request with another error.",
      cure:
        "`invalid_scope`: scopes that are not registered. `unauthorized_client`: grant or client id. `invalid_request`: often `aud`. `server_error`, `temporarily_unavailable`: later.",
      again:
        "Not repeated. A new login fails in the same way until the registration or the request changes, unless the error is temporary."
    },
    StateMissing: {
      example: callback(changed((params) => params.delete("state"))),
      cause: "The callback has no `state`: the server does not repeat it, or the request is forged.",
      cure: "If it happens with every login, tell the operator; OAuth requires `state`.",
      again: startLogin
    },
    StateMismatch: {
      example: callback(changed((params) => params.set("state", "another"))),
      cause: "The callback belongs to another login: two tabs, a reload of an old page, or a forgery.",
      cure: "Store each pending login by its `state`, as `Sessions` does, not one for each browser.",
      again: startLogin
    },
    IssuerMissing: {
      example: callback(changed((params) => params.delete("iss"))),
      cause:
        "The server's metadata announces an `iss` in the callback (RFC 9207), and the callback has none: it may come from another server.",
      cure: "If it happens with every login, tell the operator: metadata and callbacks must agree.",
      again: startLogin
    },
    IssuerMismatch: {
      example: callback(changed((params) => params.set("iss", "https://ehr.example.org/fhir"))),
      cause:
        "The `iss` of the callback is not the issuer of the server, from your configuration or its metadata, or it is the issuer of another server of the registry: the callback comes from another server, or this server has two issuers.",
      cure:
        "Compare the two in the message. If both belong to the server, its operator must make them equal; until then configure the `issuer` of the callbacks.",
      again: startLogin
    },
    IssuerNotComparable: {
      example: met(Effect.gen(function*() {
        const client = yield* Effect.flatMap(SmartServers.SmartServers, (registry) => registry.client("north"))
        const { pending, url } = yield* client.authorize({ scopes: ["launch/patient"] })
        const parameters = { code: "the-c0de", iss: "https://login.example.org" }
        return yield* client.exchange(
          { ...parameters, state: url.searchParams.get("state") ?? undefined },
          pending
        )
      })).pipe(Effect.provide(
        SmartServers.layer({ north: server(fhirBaseUrl), south: server("https://south.example.org/r4") }).pipe(
          Layer.provide(http(() => json(withoutIssuer)))
        )
      )),
      cause:
        "The callback has an `iss` that the library cannot assign to one server: no issuer is configured, and the server's metadata has none, or one that another server of the registry claims or may have. The callback could come from another server with the same redirect URI (a mix-up attack).",
      cure:
        "Configure the `issuer` of the server (`SMART_ISSUER`) exactly. Or give each server its own redirect URI, such as `/callback/north`, and register it there. In an open registry only the first helps.",
      again: startLogin
    },
    WrongRedirectUri: {
      example: callback((url) => url.href.replace("/callback", "/callback/south")),
      cause:
        "The URL of the callback is not the redirect URI of the login: it belongs to another server, or a proxy changes the app's host or path.",
      cure:
        "Behind such a proxy, pass the URL of the browser, or its path and query, or its parameters. A difference of http and https, or of a slash at the end, does not matter.",
      again:
        "Not repeated. With the right URL `exchange` may succeed: the code was not used. `Sessions` has ended the launch; start a new login."
    },
    DuplicateParameter: {
      example: callback((url) => `${url.href}&code=another`),
      cause: "A parameter is repeated.",
      cure: "Check the proxies between the browser and the app. Otherwise the callback is forged.",
      again: startLogin
    },
    CodeMissing: {
      example: callback(changed((params) => params.delete("code"))),
      cause: "The callback has neither a code nor an error: the server or a proxy omits it.",
      cure: "Report it to the operator.",
      again: startLogin
    },
    NotACallback: {
      example: callback(() => redirectUri),
      cause:
        "The argument of `exchange` or `completeLaunch` has no parameters: it is a path alone, or a body that was not read.",
      cure: "Pass the whole URL. A callback by POST has the parameters in its body.",
      again: "Not repeated. With the whole URL the same call may succeed: the code was not used."
    },
    Expired: {
      example: callback(String, { codeLifetime: "2 hours" }, undefined, TestClock.adjust("31 minutes")),
      cause: "The callback came more than `authorizationMaxAge` (30 minutes) after `authorize`.",
      cure: "Start again. Raise the limit only if users need longer.",
      again: startLogin
    },
    WrongServer: {
      example: met(Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const client = yield* SmartClient.SmartClient
        const { pending, url } = yield* client.authorize()
        const back = yield* Effect.orDie(ehr.approve(url))
        const other = yield* SmartClient.SmartClient.pipe(Effect.provide(
          SmartClient.layer({ ...client.config, name: "south" }).pipe(Layer.provide(ClientAuthentication.layerPublic))
        ))
        return yield* other.exchange(back, pending)
      })).pipe(Effect.provide(atSandbox())),
      cause:
        "The client belongs to another server than the login, or the server's key was given to another server meanwhile.",
      cure: "Choose the client by `pending.server`, as `Sessions` does.",
      again: "Not repeated. With the right client the same call may succeed: the code was not used."
    },
    ModuleUnavailable: {
      example: callback(String).pipe(withoutChunks),
      cause:
        "In a browser, the code that verifies id_tokens is in its own chunk, and the page could not load it: the network is down, or a new version of the app removed the old chunks. The library loads it before it sends the code.",
      cure: "Keep the chunks of the previous version for a day after a deployment.",
      again: "Repeat the call: the code of the login is unused. Browsers may need a reload of the page."
    }
  }
})

const unknown = (use: (servers: SmartServers.Service) => Effect.Effect<unknown, UnknownServerError>) =>
  met(Effect.flatMap(SmartServers.SmartServers, use)).pipe(Effect.provide(servers))

export const unknownServerError = section<UnknownServerError["reason"]>({
  name: "UnknownServerError",
  literals: UnknownServerError.fields.reason.literals,
  about:
    "The requested server is not in the registry, or the registry has several and none was requested. No request was made.",
  names: /north|south/,
  entries: {
    UnknownKey: {
      example: unknown((service) => service.client("nroth")),
      cause: "No server is configured under this key; for a stored session, its server was removed.",
      cure: "Compare the key with those in the message.",
      again: nothingSent
    },
    UnknownIssuer: {
      example: unknown((service) => service.forLaunchIss("https://ehr.example.org/r4")),
      cause: "No configured server has this FHIR base URL.",
      cure: "Configure it, if it is to be trusted. Host, port and path are compared; one slash at the end is ignored.",
      again: nothingSent
    },
    Ambiguous: {
      example: unknown((service) => service.only),
      cause: "Several servers fit: a call without `server` in a registry of several, or two servers with one base URL.",
      cure: "Name one by its key.",
      again: nothingSent
    }
  }
})
