/** What can go wrong in the rooms that need Node, and in tests. */
import * as Effect from "effect/Effect"
import { SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import * as Transport from "../../../src/node/TransportError.js"
import { section } from "../entry.js"
import { atSandbox, met } from "../world.js"

const code = (word: string, left: boolean) => Effect.succeed(Transport.from({ code: word }, left))

const byOutcome = "The transport repeats nothing. The services above it do, by `processed`."

export const transportError = section<Transport.Reason>({
  name: "TransportError",
  literals: Transport.TransportError.fields.reason.literals,
  about:
    "From `effect-safire/node`. It is the `cause` of a `RequestError` or `ResponseError` of `@effect/platform`, which holds the request with its URL. The services of this library turn it into their own errors, with its `code` as the `detail`. You see it only where you use the `HttpClient` of `NodeTransport` yourself.",
  names: /\([A-Z_]+\)/,
  entries: {
    ConnectTimeout: {
      example: code("UND_ERR_CONNECT_TIMEOUT", false),
      cause: "Name lookup, TCP and TLS together took longer than `connectTimeout` (10 seconds).",
      cure: "Look for a firewall that drops packets: it is the usual reason.",
      again: byOutcome
    },
    HeadersTimeout: {
      example: code("UND_ERR_HEADERS_TIMEOUT", true),
      cause: "The server did not begin to answer within `headersTimeout` (30 seconds).",
      cure: "Ask the operator, or raise the limit.",
      again: byOutcome
    },
    BodyTimeout: {
      example: code("UND_ERR_BODY_TIMEOUT", true),
      cause: "The server sent no piece of the body within `bodyTimeout` (30 seconds).",
      cure: "Ask the operator, or raise the limit.",
      again: byOutcome
    },
    TotalTimeout: {
      example: Effect.succeed(
        new Transport.TransportError({ reason: "TotalTimeout", code: "ERR_TOTAL_TIMEOUT", processed: "unknown" })
      ),
      cause: "The whole request took longer than `totalTimeout`. This limit has no default.",
      cure: "Raise the limit, or set none.",
      again: byOutcome
    },
    AddressRefused: {
      example: Effect.succeed(
        new Transport.TransportError({ reason: "AddressRefused", code: "ERR_ADDRESS_REFUSED", processed: "no" })
      ),
      cause: "A guarded transport refused to connect to an address: a private, loopback or link-local one.",
      cure:
        "If the server belongs inside your network, allow that network. Otherwise treat it as an attack: the URL tried to make this program send a request on the attacker's behalf.",
      again: byOutcome
    },
    NotResolved: {
      example: code("ENOTFOUND", false),
      cause: "The host name has no address, or no name server answers (`EAI_AGAIN`).",
      cure: "Check the spelling. Then check DNS from the machine where the program runs.",
      again: byOutcome
    },
    NotConnected: {
      example: code("ECONNREFUSED", false),
      cause: "No program listens at this address and port, or the network has no route to it.",
      cure: "Check the port, the firewall and the server.",
      again: byOutcome
    },
    CertificateRefused: {
      example: code("CERT_HAS_EXPIRED", false),
      cause: "The certificate has expired, is for another name, or comes from a CA that this machine does not trust.",
      cure: "Ask the operator to renew it. For your own CA, give `tls: { ca }` or set `NODE_EXTRA_CA_CERTS`.",
      again: byOutcome
    },
    HandshakeFailed: {
      example: code("EPROTO", false),
      cause:
        "The two sides do not agree on TLS: one speaks http and the other https, one has an old version, or a client certificate is missing.",
      cure: "Check the port. For mutual TLS, give `tls: { cert, key }`.",
      again: byOutcome
    },
    HeadersTooLarge: {
      example: code("UND_ERR_HEADERS_OVERFLOW", true),
      cause: "The headers of the answer are longer than `maxHeaderBytes` (16 KiB).",
      cure: "Look at what the server sends, then raise the limit.",
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
      cause: "The program read the body as a stream, and asks for it again.",
      cure: "Correct the program: keep what it has read.",
      again: "Not repeated: the same call fails the same way."
    },
    Malformed: {
      example: code("HPE_INVALID_CONSTANT", true),
      cause: "The answer is not HTTP, or its compression is broken.",
      cure: "Find out which program answers there. Try `decompress: false`.",
      again: byOutcome
    },
    InvalidRequest: {
      example: code("UND_ERR_INVALID_ARG", false),
      cause:
        "The request cannot be sent: a header has a line break, or the body does not have the length that the request states.",
      cure: "Correct the program.",
      again: "Not repeated: the same call fails the same way."
    },
    ConnectionLost: {
      example: code("ECONNRESET", true),
      cause: "The connection broke off after the request, or a part of it, was written.",
      cure:
        "A server or a proxy restarts, or drops idle connections. If it happens often, compare their keep-alive times.",
      again: byOutcome
    },
    Closed: {
      example: code("UND_ERR_DESTROYED", true),
      cause: "The transport gave up the request, because its layer was closed.",
      cure: "Let all requests end before the layer closes.",
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
  about: "From `effect-safire/testing`: a test requested an action that the sandbox cannot perform.",
  names: /./,
  entries: {
    Refused: {
      example: inTest((ehr, url) => {
        const other = new URL(url)
        other.searchParams.set("client_id", "unknown")
        return ehr.approve(other)
      }),
      cause:
        "The sandbox does not know the app or its redirect URI. A server answers such a request with a page, not with a redirect.",
      cure: "Give the app to the sandbox with the option `clients`, or use one of `SandboxEhr.defaultClients`.",
      again: testsOnly
    },
    NotAuthorizationEndpoint: {
      example: inTest((ehr) => ehr.approve("https://app.example.org/login")),
      cause: "The test gave `approve` or `deny` another URL than the one that `authorize` makes.",
      cure: "Pass on `url` unchanged.",
      again: testsOnly
    },
    NoRedirect: {
      example: inTest((ehr, url) =>
        Effect.zipRight(ehr.fault("authorize", SandboxEhr.Fault.status(500)), ehr.approve(url))
      ),
      cause: "A fault of the step `authorize` did not answer with a redirect.",
      cure: "The fault is there for that: expect this error in the test.",
      again: testsOnly
    },
    UnknownResource: {
      example: inTest((ehr) => ehr.launch({ patient: "unknown" })),
      cause: "The sandbox's store has no such patient, encounter or user.",
      cure: "Choose one of `SandboxEhr.syntheticResources`, or give the option `resources`.",
      again: testsOnly
    },
    UnknownToken: {
      example: inTest((ehr) => ehr.revoke("made-up")),
      cause: "The sandbox never issued this token.",
      cure: "Take one from a token response, or from `issued`.",
      again: testsOnly
    },
    UnknownCertificate: {
      example: met(Effect.flatMap(SandboxUdap.SandboxUdap, (udap) => udap.revokeCertificate(new Uint8Array()))).pipe(
        Effect.provide(SandboxUdap.layerHttpClient())
      ),
      cause: "The certificate is not from the sandbox.",
      cure: "Take it from `issueCertificate`, or from the `x5c` of the sandbox's signed metadata.",
      again: testsOnly
    },
    UnknownTicket: {
      example: inTest((ehr) => ehr.decide("made-up", "deny")),
      cause: "No authorization request waits for a person under this ticket.",
      cure: "Take the ticket that the sandbox passes to the option `consentPage`, and answer it once.",
      again: testsOnly
    }
  }
})
