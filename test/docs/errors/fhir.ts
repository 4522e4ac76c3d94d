/** What can go wrong in using a token. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  ClientAuthentication,
  FhirClient,
  FhirError,
  LaunchContext,
  SmartClient,
  SmartServers,
  TokenAudienceError
} from "effect-safire"
import * as AppState from "../../../src/fhir/AppState.js"
import * as BulkExport from "../../../src/fhir/BulkExport.js"
import { type Answer, Broken, fake, guarded, hang, json, type Seen, text } from "../../support/http.js"
import { final, nothingSent, section } from "../entry.js"
import { atServer, clientId, fhirBaseUrl, type Met, met, patiently, smallLimits, tokens } from "../world.js"

type Fhir = FhirClient.Authorized

const using = <A, E extends Met>(
  answer: (seen: Seen, index: number) => Answer,
  use: (fhir: Fhir) => Effect.Effect<A, E>,
  limits?: Layer.Layer<never>
) =>
  met(
    Effect.flatMap(Effect.all([FhirClient.FhirClient, SmartClient.SmartClient]), ([fhir, client]) =>
      use(fhir.forTokens(client, tokens())))
  ).pipe(Effect.provide(atServer(answer, {}, limits)))

/** A FHIR client over a plain transport, at a server that an open registry found in a launch. */
const atDiscovered = <A, E extends Met>(use: (fhir: Fhir) => Effect.Effect<A, E>) =>
  met(
    Effect.flatMap(Effect.all([FhirClient.FhirClient, SmartServers.SmartServers]), ([fhir, servers]) =>
      Effect.flatMap(Effect.orDie(servers.forLaunchIss(fhirBaseUrl)), (client) =>
        use(fhir.forTokens(client, tokens()))))
  ).pipe(Effect.provide(Layer.merge(
    Layer.provide(
      FhirClient.layer,
      fake(() =>
        json({})
      ).layer
    ),
    Layer.provide(
      SmartServers.layerOpen(() => ({ clientId, authentication: ClientAuthentication.makePublic })),
      guarded(fake(() => json({})))
    )
  )))

const read = (answer: () => Answer, limits?: Layer.Layer<never>) =>
  using(answer, (fhir) => fhir.read("Patient", "123"), limits)

const search = (
  answer: (seen: Seen, index: number) => Answer,
  options: FhirClient.SearchOptions<unknown, unknown> = {}
) => using(answer, (fhir) => Stream.runDrain(fhir.search("Observation", { patient: "123" }, options)))

const outcome = (status: number, code: string) => () =>
  json({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] }, { status })

const page = (next: string) =>
  json({ resourceType: "Bundle", type: "searchset", link: [{ relation: "next", url: next }] })

const manifest = (url: string, count?: number) => ({
  transactionTime: "2026-01-01T00:00:00Z",
  requiresAccessToken: true,
  output: [{ type: "Patient", url, ...(count === undefined ? {} : { count }) }],
  error: []
})

const exported = (
  file: string,
  options: BulkExport.Options = {},
  where = "https://ehr.example.org/fhir/files/patients.ndjson",
  count?: number
) =>
  using(
    ({ url }) =>
      url.includes("$export")
        ? text("", { status: 202, headers: { "content-location": `${fhirBaseUrl}/status/1` } })
        : url.includes("/status/")
        ? json(manifest(where, count))
        : text(file, { headers: { "content-type": "application/fhir+ndjson" } }),
    (fhir) => Stream.runDrain(BulkExport.run(fhir, options))
  )

const patientLine = "{\"resourceType\":\"Patient\",\"id\":\"1\"}\n"

const goOn =
  "Not repeated. The lines before are good: go on from the last item's `checkpoint` when the file has been put right."

const changed =
  "Reads are repeated as the `RetryPolicy` says; what changes something is not. Where `processed` is `no` nothing was done and the call is safe to make again; where it is `unknown`, read before you write again."

export const fhirError = section<FhirError["reason"]>({
  name: "FhirError",
  literals: FhirError.fields.reason.literals,
  about:
    "A FHIR request did not give what was asked for. `interaction` says what was tried and on which type, never on whose resource; `issues` has what the " +
    "server's OperationOutcome says, which may speak of a patient: the `message` repeats only its codes and element paths. An answer without an OperationOutcome " +
    "leaves its first 500 characters in `bodyExcerpt`, unless it is a FHIR resource. `error`, `errorDescription` and `requiredScope` are those of the bearer " +
    "challenge in `WWW-Authenticate`. In a bulk export `file` and `line` say where; in a batch or a transaction `index` says which request, and `entries` what " +
    "became of each. `attempts` says how often the request was sent: the library repeats reads after 408, 429, 502, 503, 504, a time-out or a broken " +
    "connection; what changes something it sends once. `processed` says whether the server acted: `no`, `partly` (some requests of a transaction) or `unknown`.",
  names: /ehr\.example\.org/,
  entries: {
    Unauthorized: {
      example: read(outcome(401, "login")),
      cause:
        "401, after the token had been renewed once where it can be (`forSession`, `forBackend`): it is not good here.",
      cure:
        "With `forTokens`: refresh the tokens. Else the server may have forgotten the grant: end the session, start a new launch. With `tokenRenewed` the new token was " +
        "refused, too: compare `tokens.scopes` with what was asked for, and the audience of the token with this FHIR base.",
      again: "Repeated once with a new token, where there is one. The server did not act."
    },
    Forbidden: {
      example: read(outcome(403, "forbidden")),
      cause: "The token is good, but its scopes or the server's policy do not cover this.",
      cure:
        "Compare with the granted scopes (`tokens.scopes`), which may be fewer than were asked for, then with the person's rights at the server.",
      again: final
    },
    NotFound: {
      example: read(outcome(404, "not-found")),
      cause:
        "No such resource, or none that this token may know of; also a type or an operation that the server does not have.",
      cure: "Compare the id with where it came from: ids are the server's own.",
      again: final
    },
    Gone: {
      example: read(outcome(410, "deleted")),
      cause: "The resource was there, and was deleted.",
      cure: "Forget the reference.",
      again: final
    },
    NotModified: {
      example: using(
        () => new Response(null, { status: 304 }),
        (fhir) =>
          Stream.runDrain(
            fhir.download({ interaction: "download Binary", url: "Binary/1", headers: { "if-none-match": "W/\"7\"" } })
          )
      ),
      cause: "304 to a `download` with a condition: there is no body to stream.",
      cure:
        "Keep what you have. `request` gives a 304 as an answer, `batch` and `transaction` as a result without a resource.",
      again: final
    },
    Conflict: {
      example: using(
        outcome(412, "conflict"),
        (fhir) => fhir.update({ resourceType: "Patient", id: "123" }, { ifMatch: "W/\"7\"" })
      ),
      cause: "409 or 412: another writer changed the resource meanwhile, or a condition does not hold.",
      cure: "Read it again, apply the change to what is there now, and write with its ETag.",
      again: "Not repeated: nothing was done. The same call fails again; one made after a new read may not."
    },
    Refused: {
      example: using(outcome(422, "invalid"), (fhir) => fhir.create({ resourceType: "Observation" })),
      cause: "400, 422 or another 4xx: the server does not accept the request.",
      cure: "The `issues` say what it did not like, with text and path.",
      again: "Not repeated. The server did not act."
    },
    Unavailable: {
      example: read(() => text("", { status: 503, headers: { "retry-after": "120" } })),
      cause:
        "The server, or a proxy before it, is busy or broken: 408, 429 or 5xx. `isRetryable` is true for 408, 429, 502, 503 and 504 alone: any other 5xx, 500 above all, " +
        "mostly comes again, and is not repeated.",
      cure:
        "Wait as long as `retryAfter` says; ask for less at once. After a 500 report the request to the server's operator.",
      again: changed
    },
    Unreachable: {
      example: read(() => new Broken("ECONNREFUSED", "connect")),
      cause: "No connection, or one that broke off. The code is the operating system's.",
      cure: "Check address, firewall, certificate and server.",
      again: changed
    },
    TimedOut: {
      example: patiently(read(() => hang)),
      cause:
        "No complete answer within `HttpLimits.fhirTimeout` (30 seconds); in a bulk export, no piece of a file within it, or no end of the job within `timeout`.",
      cure: "Ask for smaller pages (`_count`), or raise the limit.",
      again: changed
    },
    TooLarge: {
      example: read(() => json({ resourceType: "Patient", text: "x".repeat(2_000) }), smallLimits),
      cause: "The answer is longer than `HttpLimits.maxFhirResponseBytes` (64 MiB; a small one here).",
      cure: "Ask for smaller pages or fewer elements; take large binaries with `download`.",
      again: final
    },
    NotFhir: {
      example: read(() => text("<!doctype html>", { headers: { "content-type": "text/html" } })),
      cause:
        "A success that is not what FHIR says: no resource, one of another type, a Bundle without the entries that were due.",
      cure: "A web page: a proxy or login wall is in between. Else tell the operator.",
      again: `Not repeated. A read is safe to make again; what was to change something may have been done.`
    },
    Undecodable: {
      example: using(() => json({ resourceType: "Patient", id: "123" }), (fhir) =>
        fhir.read("Patient", "123", {
          schema: Schema.Struct({ resourceType: Schema.Literal("Patient"), birthDate: Schema.String })
        })),
      cause:
        "The resource does not fit the schema that the call was given. The message says where, never what stands there.",
      cure: "Nearly everything in FHIR is optional: loosen the schema.",
      again: final
    },
    RedirectRefused: {
      example: using(
        () => text("", { status: 307, headers: { location: "https://ehr.example.org/fhir/r4/Observation" } }),
        (fhir) => fhir.create({ resourceType: "Observation" })
      ),
      cause: "A redirect of a request that changes something, or the sixth in a row.",
      cure: "Configure the FHIR base that it leads to.",
      again: "Not repeated: the same call gets the same answer."
    },
    InsecureEndpoint: {
      example: Effect.succeed(
        new FhirError({
          reason: "InsecureEndpoint",
          fhirBaseUrl,
          interaction: "read Patient",
          detail: "it is not https",
          issues: [],
          processed: "no"
        })
      ),
      cause:
        "The last look before a request leaves found that it is not https. The checks before it (`ConfigurationError`, `ForeignLink`) should have: you are not expected to meet this one.",
      cure: "Report it to this library.",
      again: nothingSent
    },
    UnguardedTransport: {
      example: atDiscovered((fhir) => fhir.read("Patient", "123")),
      cause:
        "An open registry (`SmartServers.layerOpen`) found this server in a launch, and the `FhirClient` was provided with another, unguarded `HttpClient`.",
      cure:
        "Provide `FhirClient.layer` with the registry's own transport, `NodeTransport.layerGuarded()`. Mark a client that you derive from it with `AddressGuard.mark`.",
      again: nothingSent
    },
    ForeignLink: {
      example: search(() => page("https://internal.example.org:8080/fhir?page=2")),
      cause: "A `next` link, a reference or a redirect leads to where the token may not go.",
      cure:
        "A server behind a proxy that writes its inner address: `rebaseLinks`. Another host of the same operator, or another path of this one (\"outside of the FHIR base\"): " +
        "`foreignOrigins` with the origin that the message names. Anything else: that is what the check is for.",
      again: nothingSent
    },
    ForeignFile: {
      example: exported("", {}, "https://files.example.org/patients.ndjson"),
      cause: "A file of a bulk export is where the token may not go.",
      cure:
        "Allow its origin with `foreignOrigins`: `anonymous` if its URL is signed, `token` only if it belongs to the same server.",
      again: "Not repeated: nothing was sent there. Go on from the last checkpoint when the origin is allowed."
    },
    InvalidReference: {
      example: using(() => json({}), (fhir) => fhir.read("Patient", "12/3")),
      cause: "A resource type, an id or a reference that FHIR does not allow.",
      cure: "Give type and id apart, as they stand in the resource; read references with `readReference`.",
      again: nothingSent
    },
    InvalidRequest: {
      example: using(
        () => json({}),
        (fhir) => AppState.make(fhir).create({ code: { system: "", code: "" }, values: {} })
      ),
      cause: "A request that is not valid by the rules of its interaction. The message says which.",
      cure: "Correct the call.",
      again: nothingSent
    },
    NotInContext: {
      example: using(() => json({}), (fhir) => fhir.patient()),
      cause: "The token came without the patient, encounter or user that was asked for.",
      cure:
        "Standalone: ask for `launch/patient` or `launch/encounter`. EHR launch: it was not started with one. `fhirUser`: ask for `openid` and `fhirUser`.",
      again: nothingSent
    },
    NotSupported: {
      example: using(
        () => json({}),
        (fhir) => AppState.make(fhir).create({ code: { system: "https://app.example.org", code: "prefs" }, values: {} })
      ),
      cause: "The server's metadata does not say that it offers this.",
      cure: "Do without at this server; look at the capabilities first.",
      again: nothingSent
    },
    PageLoop: {
      example: search(() => page(`${fhirBaseUrl}?page=2`)),
      cause: "A `next` link leads to a page, or a manifest of a bulk export, that was there before.",
      cure: "Tell the operator. What was read so far has been given out.",
      again: "Not repeated. The same search goes round again."
    },
    TooManyPages: {
      example: search((_, index) => page(`${fhirBaseUrl}?page=${index + 2}`), { maxPages: 2 }),
      cause:
        "There are more pages than `maxPages` (10,000; two here), or a bulk export has more manifests than `maxManifests` (10,000) or more files than `maxFiles` (100,000).",
      cure: "Narrow the search, ask for larger pages (`_count`), or use a bulk export; raise the limit.",
      again: final
    },
    Truncated: {
      example: exported(patientLine, {}, undefined, 2),
      cause: "A file of a bulk export has fewer lines than the manifest says, or ends within a line.",
      cure: "Go on from the last checkpoint. If it stays so, the server wrote less than it promised.",
      again: goOn
    },
    MalformedLine: {
      example: exported(`${patientLine}{"resourceType":\n`),
      cause: "A line of a file is no resource in JSON.",
      cure: "Tell the operator the file and the line.",
      again: goOn
    },
    LineTooLong: {
      example: exported(`{"resourceType":"Patient","text":"${"x".repeat(2_000)}"}\n`, { maxLineBytes: 1_000 }),
      cause:
        "A line is longer than `maxLineBytes` (8 MiB; a small one here): usually a Binary or a DocumentReference with its data inside.",
      cure: "Raise it, or leave the type out of the export.",
      again: goOn
    }
  }
})

const get = (url: string) =>
  using(() => json({}), (fhir) => Effect.catchTag(fhir.httpClient.get(url), "RequestError", Effect.die))

export const tokenAudienceError = section<TokenAudienceError["reason"]>({
  name: "TokenAudienceError",
  literals: TokenAudienceError.fields.reason.literals,
  about:
    "A request of the `httpClient` of `BackendServices` or `FhirClient` would have carried the access token to where it may not go. Only the origin stands in it, " +
    "because a path may name a patient.",
  names: /example\.org|\(not a URL\)/,
  entries: {
    NotAUrl: {
      example: get("Patient/123"),
      cause: "The URL is not absolute: this client does not know what it is relative to.",
      cure: "Put the FHIR base before it, or use `FhirClient.request`, which does.",
      again: nothingSent
    },
    HasCredentials: {
      example: get("https://reader:pass@ehr.example.org/fhir/Patient/123"),
      cause: "There are a name and a password in the URL.",
      cure: "Leave them out.",
      again: nothingSent
    },
    Insecure: {
      example: met(
        Effect.flatMap(
          Effect.all([FhirClient.FhirClient, SmartClient.SmartClient]),
          ([fhir, client]) =>
            Effect.catchTag(
              fhir.forTokens(
                client,
                tokens({
                  context: new LaunchContext.LaunchContext({
                    authorizationDetails: [{ locations: ["http://imaging.example.org/fhir"], fhirVersions: ["4.0.1"] }]
                  })
                })
              ).httpClient.get("http://imaging.example.org/fhir/ImagingStudy/1"),
              "RequestError",
              Effect.die
            )
        )
      ).pipe(Effect.provide(atServer(() => json({})))),
      cause:
        "The place is one that the token may go to, but not https: here a location that the token answer itself named.",
      cure: "Tell the operator.",
      again: nothingSent
    },
    ForeignOrigin: {
      example: get("https://elsewhere.example.org/fhir/Patient/123"),
      cause: "Another host, port or scheme than the server's.",
      cure: "Fetch it without the token, with an `HttpClient` of your own.",
      again: nothingSent
    },
    OutsideBasePath: {
      example: get("https://ehr.example.org/other-tenant/fhir/Patient/123"),
      cause: "The server's host, but not under the FHIR base: often another tenant.",
      cure: "Compare with the configured `fhirBaseUrl`.",
      again: nothingSent
    },
    AmbiguousPath: {
      example: get("https://ehr.example.org/fhir/%2e%2e%2fadmin"),
      cause: "Dots hide in the path, which a server or proxy might resolve to somewhere outside of the FHIR base.",
      cure: "Do not build paths from what others wrote; encode ids, and check them.",
      again: nothingSent
    },
    UnguardedTransport: {
      example: atDiscovered((fhir) =>
        Effect.catchTag(fhir.httpClient.get("https://ehr.example.org/fhir/Patient/123"), "RequestError", Effect.die)
      ),
      cause:
        "An open registry (`SmartServers.layerOpen`) found this server in a launch, and `FhirClient` or `BackendServices` was provided with another, unguarded `HttpClient`.",
      cure:
        "Provide both with the registry's own transport, `NodeTransport.layerGuarded()`. Mark a client that you derive from it with `AddressGuard.mark`.",
      again: nothingSent
    }
  }
})
