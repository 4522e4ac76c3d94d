/** What can go wrong when an app registers, and when it authenticates with its certificate. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthenticationError, HttpLimits, SessionStore, SmartClient } from "effect-safire"
import { UdapAuthentication, UdapRegistration, UdapRegistrationError } from "effect-safire/udap"
import { ConnectionFailure, fake, json, text } from "../../support/http.js"
import * as Udap from "../../udap/authorizationServer.js"
import { final, nothingSent, readOnly, section } from "../entry.js"
import { met, patiently } from "../world.js"

const app = Effect.map(Udap.appCertificate({ key: "p256" }), (certificate) => ({
  community: Udap.COMMUNITY,
  certificate,
  clientName: "Growth Chart",
  contacts: ["mailto:it@example.org"],
  scopes: ["system/*.rs"]
}))

const registering = (
  options: Udap.Options,
  operation: "register" | "cancel" = "register",
  limits: Layer.Layer<never> = Layer.empty,
  broken = false
) =>
  Effect.gen(function*() {
    const made = yield* Udap.makeServer(options)
    const server = broken ? { ...made, net: brokenAt(made) } : made
    const { certificate, clientName, community, contacts, scopes } = yield* app
    return yield* met(
      Effect.flatMap(
        UdapRegistration.UdapRegistration,
        (registration): Effect.Effect<unknown, UdapRegistration.Failure> =>
          registration[operation]({
            fhirBaseUrl: server.fhirBaseUrl,
            community,
            certificate,
            metadata: { clientName, contacts, grantTypes: ["client_credentials"], scopes }
          })
      )
    ).pipe(
      Effect.provide(Layer.provide(Udap.registrations(server), limits)),
      Effect.filterOrDie(
        (error): error is UdapRegistrationError => error._tag === "UdapRegistrationError",
        () => new Error("another error")
      )
    )
  })

/** A network on which the registration endpoint cannot be reached. */
const brokenAt = ({ handle, registrationEndpoint }: Udap.AuthorizationServer) =>
  fake((seen) =>
    seen.url === registrationEndpoint
      ? new ConnectionFailure("ECONNREFUSED", "connect")
      : Effect.promise(() => handle(seen))
  )

const answering = (
  respond: (received: Udap.Received) => Response | Promise<Response>,
  ...more: [("register" | "cancel")?, Layer.Layer<never>?]
) => registering({ respond: (received) => received.kind === "register" ? respond(received) : undefined }, ...more)

const refusing = (error: string) => answering(() => json({ error }, { status: 400 }))

const AGAIN =
  "Retried by the `RetryPolicy` before you saw this. Registering again is safe: it changes the registration into itself."

export const udapRegistrationError = section<UdapRegistrationError["reason"]>({
  name: "UdapRegistrationError",
  literals: UdapRegistrationError.fields.reason.literals,
  about:
    "A server did not register the app, or did not cancel its registration. `operation` is `register` or `cancel`; `community` and `clientUri` say which registration. The server's words are in `error` and `errorDescription`. From `effect-safire/udap`: see [udap.md](udap.md).",
  names: /ehr\.example\.org/,
  entries: {
    Unreachable: {
      example: registering({}, "register", Layer.empty, true),
      cause: "No connection to the registration endpoint, or a connection that broke.",
      cure: "Check DNS, proxy and egress rules for the host in the message.",
      again: AGAIN
    },
    TimedOut: {
      example: patiently(answering(() => new Promise<Response>(() => undefined))),
      cause: "The server did not respond in time.",
      cure: "Ask its operator. `HttpLimits.tokenTimeout` limits the time of one attempt.",
      again: AGAIN
    },
    TooLarge: {
      example: answering(
        () => json({ client_id: "x".repeat(40_000) }),
        "register",
        HttpLimits.layer({ maxResponseBytes: 30_000 })
      ),
      cause: "The response is larger than any registration.",
      cure: "Ask the operator what it sends. `HttpLimits.maxResponseBytes` limits the size.",
      again: final
    },
    RedirectRefused: {
      example: answering(() => text("", { status: 307, headers: { location: "https://other.example.org/" } })),
      cause: "The registration endpoint redirects: a statement is for one URL only.",
      cure: "Ask the operator to publish the URL that it redirects to.",
      again: final
    },
    InsecureEndpoint: {
      example: Effect.succeed(
        new UdapRegistrationError({
          reason: "InsecureEndpoint",
          operation: "register",
          url: "http://ehr.example.org/udap/register",
          detail: "the URL is not https",
          community: Udap.COMMUNITY,
          clientUri: Udap.CLIENT_URI,
          processed: "no"
        })
      ),
      cause: "The endpoint is http. Discovery refuses such metadata before.",
      cure: "Ask the operator for an https endpoint.",
      again: nothingSent
    },
    NotSupported: {
      example: registering({ metadata: { udap_profiles_supported: ["udap_authn"] } }),
      cause: "The server's `udap_profiles_supported` does not have `udap_dcr`.",
      cure:
        "Register with the server's operator, and use the client id that it assigns with another `ClientAuthentication`.",
      again: nothingSent
    },
    InvalidSoftwareStatement: {
      example: refusing("invalid_software_statement"),
      cause:
        "The server found a fault in the signed statement: its times, its signature, or the URI of the certificate.",
      cure:
        "Compare the clocks of both machines first. Then compare the URI in the certificate with what the community issued.",
      again: final
    },
    UnapprovedSoftwareStatement: {
      example: refusing("unapproved_software_statement"),
      cause: "The server does not trust the certificate, or requires a certification that is missing.",
      cure:
        "Send the whole chain, with intermediates. Ask the operator which communities and certifications it accepts.",
      again: final
    },
    InvalidClientMetadata: {
      example: refusing("invalid_client_metadata"),
      cause: "The server does not register an app with these members: scopes, grant types, contacts or logo.",
      cure: "Change the member that `errorDescription` names. Compare the scopes with its `scopes_supported`.",
      again: final
    },
    InvalidRedirectUri: {
      example: refusing("invalid_redirect_uri"),
      cause: "The server does not accept a redirect URI.",
      cure: "Register an https URL of your app.",
      again: final
    },
    Refused: {
      example: refusing("access_denied"),
      cause: "The server refused for another reason.",
      cure: "Read `error` and `errorDescription`, then ask the operator.",
      again: final
    },
    Status: {
      example: answering(() => json({}, { status: 503, headers: { "retry-after": "120" } })),
      cause: "The server failed, or is busy.",
      cure: "Wait; if it goes on, ask the operator.",
      again: AGAIN
    },
    NotJson: {
      example: answering(() => text("<!doctype html>", { headers: { "content-type": "text/html" } })),
      cause: "A web page or a proxy responded in the place of the registration endpoint.",
      cure: "Open the URL from this machine, and ask the operator.",
      again: final
    },
    NotObject: {
      example: answering(() => json([])),
      cause: "The response is JSON, but not an object.",
      cure: "Ask the operator whether the app was registered.",
      again: final
    },
    ClientIdMissing: {
      example: answering(() => json({ client_name: "Growth Chart" }, { status: 201 })),
      cause: "The response has no usable `client_id`.",
      cure: "Ask the operator which client was registered.",
      again: final
    },
    Cancelled: {
      example: answering(() => json({ client_id: "1", grant_types: [] })),
      cause: "The response to a registration has empty `grant_types`: the server has cancelled the registration.",
      cure: "Ask the operator why. The registration was removed from the store, so that the next call registers again.",
      again: final
    },
    NotCancelled: {
      example: answering(() => json({ client_id: "1", grant_types: ["client_credentials"] }), "cancel"),
      cause: "The response to a cancellation does not confirm it, or confirms that of another client.",
      cure: "Ask the operator to cancel the registration. It stays in the store.",
      again: final
    }
  }
})

/** The error of a client that needs its client id. */
const authenticating = (
  options: Udap.Options,
  store: Layer.Layer<SessionStore.SessionStore> = SessionStore.layerMemory
) =>
  Effect.gen(function*() {
    const server = yield* Udap.makeServer(options)
    const error = yield* met(
      Effect.flatMap(SmartClient.SmartClient, (client) => client.clientCredentials()).pipe(
        Effect.provide(
          SmartClient.layer({ fhirBaseUrl: server.fhirBaseUrl, scopes: ["system/*.rs"] }).pipe(
            Layer.provide(UdapAuthentication.layer(yield* app)),
            Layer.provide(Udap.registrations(server, store))
          )
        )
      )
    )
    return error._tag === "ClientAuthenticationError" ? error : yield* Effect.dieMessage("another error")
  })

const brokenStore = SessionStore.layerBacking(
  Effect.map(SessionStore.backingMemory, (backing) => ({
    ...backing,
    name: "redis",
    read: () => SessionStore.unavailable("redis", "reading")({ code: "ECONNREFUSED" })
  }))
)

export const clientAuthenticationError = section<ClientAuthenticationError["reason"]>({
  name: "ClientAuthenticationError",
  literals: ClientAuthenticationError.fields.reason.literals,
  about:
    "A client that authenticates by UDAP could not learn its endpoints or its client id. `cause` is the error of the step: a `UdapDiscoveryError`, `TrustError`, `UdapRegistrationError` or `SessionError`, each with its own `reason`. The message ends with its message. Methods of `Sessions`, `BackendServices` and `SmartClient` fail with it; without UDAP it does not occur.",
  names: /ehr\.example\.org/,
  entries: {
    DiscoveryFailed: {
      example: authenticating({
        respond: ({ kind }) => kind === "metadata" ? text("", { status: 404 }) : undefined
      }),
      cause: "The UDAP metadata of the server could not be fetched.",
      cure: "See `UdapDiscoveryError` and its reasons.",
      again: readOnly
    },
    ServerNotTrusted: {
      example: authenticating({ metadata: { signed_metadata: undefined } }),
      cause: "The metadata are not signed by a server of the community.",
      cure: "See `TrustError` and its reasons.",
      again: final
    },
    RegistrationFailed: {
      example: authenticating({
        respond: ({ kind }) =>
          kind === "register" ? json({ error: "unapproved_software_statement" }, { status: 400 }) : undefined
      }),
      cause: "The server did not register the app.",
      cure: "See `UdapRegistrationError` and its reasons.",
      again: AGAIN
    },
    StoreFailed: {
      example: authenticating({}, brokenStore),
      cause: "The `SessionStore` that has the registrations is not available.",
      cure: "See `SessionError` and its reasons.",
      again: "Not repeated. Calling again is safe."
    }
  }
})
