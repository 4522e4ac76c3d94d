/** What can go wrong in the rooms that need Node, and in tests. */
import * as Effect from "effect/Effect"
import { SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Transport from "../../../src/node/TransportError.js"
import { section } from "../entry.js"
import { atSandbox, met } from "../world.js"

const code = (word: string, left: boolean) => Effect.succeed(Transport.from({ code: word }, left))

const byOutcome = "The transport repeats nothing. The services above it do, by `processed`."

export const transportError = section<Transport.Reason>({
  name: "TransportError",
  literals: Transport.TransportError.fields.reason.literals,
  about:
    "From `effect-safire/node`. It is the `cause` of a `RequestError` or `ResponseError` of `@effect/platform`, which has the request with its URL; the " +
    "services of this library turn it into their own errors, with its `code` as the `detail`. You meet it where you use `NodeTransport`'s `HttpClient` " +
    "yourself.",
  names: /\([A-Z_]+\)/,
  entries: {
    ConnectTimeout: {
      example: code("UND_ERR_CONNECT_TIMEOUT", false),
      cause: "Name, TCP and TLS together took longer than `connectTimeout` (10 seconds).",
      cure: "A firewall that drops packets is the usual reason.",
      again: byOutcome
    },
    HeadersTimeout: {
      example: code("UND_ERR_HEADERS_TIMEOUT", true),
      cause: "No answer began within `headersTimeout` (30 seconds).",
      cure: "Ask the operator, or raise the limit.",
      again: byOutcome
    },
    BodyTimeout: {
      example: code("UND_ERR_BODY_TIMEOUT", true),
      cause: "No piece of the body came within `bodyTimeout` (30 seconds).",
      cure: "Ask the operator, or raise the limit.",
      again: byOutcome
    },
    TotalTimeout: {
      example: Effect.succeed(
        new Transport.TransportError({ reason: "TotalTimeout", code: "ERR_TOTAL_TIMEOUT", processed: "unknown" })
      ),
      cause: "The whole took longer than `totalTimeout`, which has no default.",
      cure: "Raise the limit, or set none.",
      again: byOutcome
    },
    AddressRefused: {
      example: Effect.succeed(
        new Transport.TransportError({ reason: "AddressRefused", code: "ERR_ADDRESS_REFUSED", processed: "no" })
      ),
      cause:
        "A guarded transport was asked to connect to an address that it may not connect to: private, loopback, link-local.",
      cure:
        "If the server is meant to be inside, allow its network. Else somebody tried to make this program ask on their behalf.",
      again: byOutcome
    },
    NotResolved: {
      example: code("ENOTFOUND", false),
      cause: "The host's name has no address, or no name server answers (`EAI_AGAIN`).",
      cure: "Check the spelling, then DNS from where the program runs.",
      again: byOutcome
    },
    NotConnected: {
      example: code("ECONNREFUSED", false),
      cause: "Nobody listens there, or there is no way to it.",
      cure: "Check port, firewall and server.",
      again: byOutcome
    },
    CertificateRefused: {
      example: code("CERT_HAS_EXPIRED", false),
      cause: "The certificate has expired, is for another name, or comes from a CA that is not trusted here.",
      cure: "The operator renews it; for a CA of one's own give `tls: { ca }` or set `NODE_EXTRA_CA_CERTS`.",
      again: byOutcome
    },
    HandshakeFailed: {
      example: code("EPROTO", false),
      cause:
        "The two sides do not agree on TLS: http where https is spoken, an old version, or a client certificate that is missing.",
      cure: "Check the port; for mutual TLS give `tls: { cert, key }`.",
      again: byOutcome
    },
    HeadersTooLarge: {
      example: code("UND_ERR_HEADERS_OVERFLOW", true),
      cause: "The headers of the answer are longer than `maxHeaderBytes` (16 KiB).",
      cure: "Look at what the server sends; raise the limit.",
      again: byOutcome
    },
    BodyTooLarge: {
      example: code("UND_ERR_RES_EXCEEDED_MAX_SIZE", true),
      cause: "The body is longer than `maxResponseBytes` (64 MiB), after decompression.",
      cure: "Raise the limit if the answer is really that large.",
      again: byOutcome
    },
    BodyUsed: {
      example: Effect.succeed(
        new Transport.TransportError({ reason: "BodyUsed", code: "ERR_BODY_USED", processed: "unknown" })
      ),
      cause: "The body was read as a stream, and is asked for again.",
      cure: "A mistake of the program: keep what was read.",
      again: "Not repeated: the same call fails the same way."
    },
    Malformed: {
      example: code("HPE_INVALID_CONSTANT", true),
      cause: "The answer is not HTTP, or its compression is broken.",
      cure: "See who answers there; try `decompress: false`.",
      again: byOutcome
    },
    InvalidRequest: {
      example: code("UND_ERR_INVALID_ARG", false),
      cause: "The request cannot be sent: a header with a line break, a body that is not as long as it says.",
      cure: "A mistake of the program.",
      again: "Not repeated: the same call fails the same way."
    },
    BrokenOff: {
      example: code("ECONNRESET", true),
      cause: "The connection broke off after the request, or a part of it, was written.",
      cure:
        "A server or proxy that restarts, or drops idle connections. If it is frequent, compare their keep-alive times.",
      again: byOutcome
    },
    Closed: {
      example: code("UND_ERR_DESTROYED", true),
      cause: "The request was given up, because the transport's layer was closed.",
      cure: "Let requests end before the layer does.",
      again: byOutcome
    }
  }
})

const inTest = <A, E>(use: (ehr: SandboxEhr.Service, url: URL) => Effect.Effect<A, E>) =>
  met(Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const client = yield* SmartClient.SmartClient
    const { url } = yield* Effect.orDie(client.authorize())
    return yield* use(ehr, url)
  })).pipe(Effect.provide(atSandbox()))

const testsOnly = "The sandbox repeats nothing."

export const sandboxError = section<SandboxEhr.SandboxError["reason"]>({
  name: "SandboxError",
  literals: SandboxEhr.SandboxError.fields.reason.literals,
  about: "From `effect-safire/testing`: a test asked the sandbox for something that cannot be done.",
  names: /./,
  entries: {
    Refused: {
      example: inTest((ehr, url) => {
        const other = new URL(url)
        other.searchParams.set("client_id", "nobody")
        return ehr.approve(other)
      }),
      cause:
        "The app or its redirect URI is not known to the sandbox: a server answers that with a page, not with a redirect.",
      cure: "Give the app to the sandbox with the option `clients`, or use one of `SandboxEhr.defaultClients`.",
      again: testsOnly
    },
    NotAuthorizationEndpoint: {
      example: inTest((ehr) => ehr.approve("https://app.example.org/login")),
      cause: "`approve` or `deny` was given another URL than the one `authorize` makes.",
      cure: "Give it `url` as it is.",
      again: testsOnly
    },
    NoRedirect: {
      example: inTest((ehr, url) =>
        Effect.zipRight(ehr.fault("authorize", SandboxEhr.Fault.status(500)), ehr.approve(url))
      ),
      cause: "A fault of the step `authorize` answered with something else than a redirect.",
      cure: "That is what the fault is for: expect this error.",
      again: testsOnly
    },
    UnknownResource: {
      example: inTest((ehr) => ehr.launch({ patient: "nobody" })),
      cause: "The sandbox's store has no such patient, encounter or user.",
      cure: "Choose one of `SandboxEhr.syntheticResources`, or give the option `resources`.",
      again: testsOnly
    },
    UnknownToken: {
      example: inTest((ehr) => ehr.revoke("made-up")),
      cause: "The sandbox never issued this token.",
      cure: "Take one from a token answer, or from `issued`.",
      again: testsOnly
    },
    UnknownTicket: {
      example: inTest((ehr) => ehr.decide("made-up", "deny")),
      cause: "No authorization request waits for a person under this ticket.",
      cure: "Take the ticket that the option `consentPage` is called with, and answer once.",
      again: testsOnly
    }
  }
})
