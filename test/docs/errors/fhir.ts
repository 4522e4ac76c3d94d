/** The errors of requests with an access token. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  ClientAuthentication,
  FhirClient,
  FhirError,
  LaunchContext,
  RateLimit,
  SmartClient,
  SmartServers,
  TokenAudienceError
} from "effect-safire"
import * as AppState from "../../../src/fhir/AppState.js"
import * as BulkExport from "../../../src/fhir/BulkExport.js"
import {
  ConnectionFailure,
  fake,
  type FakeResponse,
  guarded,
  hang,
  json,
  type SentRequest,
  text
} from "../../support/http.js"
import { final, nothingSent, section } from "../entry.js"
import { atServer, clientId, fhirBaseUrl, type Met, met, patiently, smallLimits, tokens } from "../world.js"

type Fhir = FhirClient.Authorized

const using = <A, E extends Met>(
  answer: (seen: SentRequest, index: number) => FakeResponse,
  use: (fhir: Fhir) => Effect.Effect<A, E>,
  limits?: Layer.Layer<never>
) =>
  met(
    Effect.flatMap(Effect.all([FhirClient.FhirClient, SmartClient.SmartClient]), ([fhir, client]) =>
      use(fhir.forTokens(client, tokens())))
  ).pipe(Effect.provide(atServer(answer, {}, limits)))

/** A FHIR client over a plain transport, at a server that an open registry discovered in a launch. */
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

const read = (answer: () => FakeResponse, limits?: Layer.Layer<never>) =>
  using(answer, (fhir) => fhir.read("Patient", "123"), limits)

const search = (
  answer: (seen: SentRequest, index: number) => FakeResponse,
  options: FhirClient.SearchOptions<undefined> = {}
) => using(answer, (fhir) => Stream.runDrain(fhir.search("Observation", { patient: "123" }, options)))

const outcome = (status: number, code: string) => () =>
  json({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] }, { status })

const page = (next: string) =>
  json({ resourceType: "Bundle", type: "searchset", link: [{ relation: "next", url: next }] })

const manifest = (url: string, count?: number, times = 1) => ({
  transactionTime: "2026-01-01T00:00:00Z",
  requiresAccessToken: true,
  output: Array.from({ length: times }, () => ({ type: "Patient", url, ...(count === undefined ? {} : { count }) })),
  error: []
})

/** A checkpoint in the middle of a file that was longer. */
const resumed = new BulkExport.Checkpoint({
  job: new BulkExport.Job({
    version: 1,
    statusUrl: `${fhirBaseUrl}/status/1`,
    manifests: [`${fhirBaseUrl}/status/1`],
    files: [{ kind: "output", type: "Patient", url: `${fhirBaseUrl}/files/patients.ndjson`, requiresAccessToken: true }]
  }),
  positions: { open: { 0: { line: 2, offset: 200, resources: 2 } }, done: [] }
})

const exported = (
  file: string,
  options: BulkExport.Options = {},
  where = "https://ehr.example.org/fhir/files/patients.ndjson",
  count?: number,
  times?: number
) =>
  using(
    ({ url }) =>
      url.includes("$export")
        ? text("", { status: 202, headers: { "content-location": `${fhirBaseUrl}/status/1` } })
        : url.includes("/status/")
        ? json(manifest(where, count, times))
        : text(file, { headers: { "content-type": "application/fhir+ndjson" } }),
    (fhir) => Stream.runDrain(BulkExport.run(fhir, options))
  )

/** The count of the file in the manifest is another one at the second request. */
let manifestRequests = 1

const patientLine = "{\"resourceType\":\"Patient\",\"id\":\"1\"}\n"

const goOn =
  "Not retried. The lines before are valid: resume from the `checkpoint` of the last item once the file is corrected."

const changed =
  "Reads are retried by the `RetryPolicy`, writes are not. If `processed` is `no`, you can safely retry a write; if it is `unknown`, read the resource first."

export const fhirError = section<FhirError["reason"]>({
  name: "FhirError",
  literals: FhirError.fields.reason.literals,
  about:
    "A FHIR request failed. `interaction` is the interaction and the resource type, without ids. `issues` has the issues of the server's OperationOutcome, which may name a patient: the `message` contains only their codes and element paths. Without an OperationOutcome, `bodyExcerpt` has the first 500 characters of the response, unless it is a FHIR resource. `error`, `errorDescription` and `requiredScope` come from the bearer challenge in `WWW-Authenticate`. `file` and `line` are the position in a bulk export; `index` is the request of a batch or a transaction, and `entries` has the result of each. `attempts` is how often the request was sent: the library retries reads after 408, 429, 502, 503, 504, a time-out or a broken connection, and sends writes once. `processed` is `no`, `partly` (some requests of a transaction) or `unknown`. `requestId` is the `X-Request-Id` of the response.",
  names: /ehr\.example\.org/,
  entries: {
    Unauthorized: {
      example: read(outcome(401, "login")),
      cause: "The server returned 401. With `forSession` and `forBackend`, the library renewed the token once before.",
      cure:
        "With `forTokens`, refresh the tokens. Otherwise the grant may have ended at the server: revoke the session and start a new launch. If `tokenRenewed` is true, the server rejected the new token, too: check `tokens.scopes`, and that the token is for this FHIR base URL.",
      again: "Retried once with a renewed token. The server did not act."
    },
    Forbidden: {
      example: read(outcome(403, "forbidden")),
      cause: "The server returned 403: the scopes of the token or the server's policy do not cover the request.",
      cure:
        "Check the granted scopes (`tokens.scopes`), which may be fewer than the requested ones, then the rights of the user at the server.",
      again: final
    },
    NotFound: {
      example: read(outcome(404, "not-found")),
      cause:
        "The resource does not exist, or the token does not give access to it. Also for a type or an operation that the server does not support.",
      cure: "Check where the id comes from: the same id at another server is another resource.",
      again: final
    },
    Gone: {
      example: read(outcome(410, "deleted")),
      cause: "The resource was deleted.",
      cure: "Remove the reference.",
      again: final
    },
    Conflict: {
      example: using(outcome(409, "conflict"), (fhir) => fhir.delete("Patient", "123")),
      cause:
        "409: the request conflicts with the current state of the resource, such as a resource that others reference.",
      cure: "Read the resource again, and correct what the issues name.",
      again: "Not retried. The server did not act."
    },
    PreconditionFailed: {
      example: using(
        outcome(412, "conflict"),
        (fhir) => fhir.update({ resourceType: "Patient", id: "123" }, { ifMatch: "W/\"7\"" })
      ),
      cause:
        "412: another writer changed the resource, or the criteria of a conditional interaction match several resources.",
      cure: "Read the resource again, apply the change to it, and update it with its new ETag; or narrow the criteria.",
      again: "Not retried. The server did not act. The same call fails again until you read the resource again."
    },
    Refused: {
      example: using(outcome(422, "invalid"), (fhir) => fhir.create({ resourceType: "Patient" })),
      cause:
        "400, 422 or another 4xx: the server does not accept the request. In a bulk export also an OperationOutcome instead of a manifest or a file, with status 200.",
      cure: "Correct the request: `issues` has texts and element paths.",
      again: "Not retried. The server did not act."
    },
    Unavailable: {
      example: read(() => text("", { status: 503, headers: { "retry-after": "120" } })),
      cause:
        "The server or its proxy is busy or broken: 408, 429 or 5xx. `isRetryable` is true for 408, 429, 502, 503 and 504. Other statuses, such as 500, are likely to occur again, and are not retried.",
      cure: "Wait for `retryAfter`; send smaller requests. Report a 500 to the operator of the server.",
      again: changed
    },
    Unreachable: {
      example: read(() => new ConnectionFailure("ECONNREFUSED", "connect")),
      cause: "The connection failed or was interrupted. The code is that of the operating system.",
      cure: "Check address, firewall, certificate and server.",
      again: changed
    },
    TimedOut: {
      example: patiently(read(() => hang)),
      cause:
        "No complete response within `HttpLimits.fhirTimeout` (30 seconds). In a bulk export: no chunk of a file within this time, repeatedly for `maxOutage` (15 minutes), or an export that is not complete within `timeout` (1 day).",
      cure: "Ask for smaller pages (`_count`), or raise the limit.",
      again: changed
    },
    TooLarge: {
      example: read(() => json({ resourceType: "Patient", text: "x".repeat(2_000) }), smallLimits),
      cause: "The response is longer than `HttpLimits.maxFhirResponseBytes` (64 MiB; a small one here).",
      cure: "Ask for smaller pages or fewer elements; take large binaries with `download`.",
      again: final
    },
    NotFhir: {
      example: read(() => text("<!doctype html>", { headers: { "content-type": "text/html" } })),
      cause:
        "The server returned a success without valid FHIR: without a resource, with one of another type or of another id than the requested one, with an OperationOutcome instead, or with a Bundle that lacks entries.",
      cure:
        "If the response is a web page (`bodyExcerpt`), a proxy or a login page responded. If it has `issues`, correct what they name. Otherwise report it to the operator of the server.",
      again: "Not retried. The server may have processed a write: `location` is where it stored the resource."
    },
    Undecodable: {
      example: using(() => json({ resourceType: "Patient", id: "123" }), (fhir) =>
        fhir.read("Patient", "123", {
          schema: Schema.Struct({ resourceType: Schema.Literal("Patient"), birthDate: Schema.String })
        })),
      cause:
        "The resource does not match the schema of the call. `issuePaths` has the paths of the elements, not their values.",
      cure: "Make elements optional in the schema: most elements of FHIR are.",
      again: final
    },
    RedirectRefused: {
      example: using(
        () => text("", { status: 307, headers: { location: "https://ehr.example.org/fhir/r4/Observation" } }),
        (fhir) => fhir.create({ resourceType: "Patient" })
      ),
      cause: "A write was redirected, or a read was redirected more than five times.",
      cure: "Configure the FHIR base URL that the server redirects to.",
      again: "Not retried: the same call fails again."
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
        "The last check before sending found a URL that is not https. Earlier checks (`ConfigurationError`, `ForeignLink`) should have found it first.",
      cure: "Report it to the maintainers of this library.",
      again: nothingSent
    },
    RateLimited: {
      example: met(
        Effect.gen(function*() {
          const fhir = (yield* FhirClient.FhirClient).forTokens(yield* SmartClient.SmartClient, tokens())
          yield* fhir.read("Patient", "123")
          return yield* fhir.read("Patient", "123")
        })
      ).pipe(
        Effect.provide(
          atServer(
            () => json({ resourceType: "Patient" }, { headers: { ratelimit: "\"daily\";r=0;t=3600" } }),
            {},
            RateLimit.layer({ maxDelay: "1 minute" })
          )
        )
      ),
      cause:
        "A `RateLimit` layer limits the requests. With `Retry-After` or a `RateLimit` header, the server demanded a pause above `maxDelay` (2 minutes; one minute here).",
      cure: "Retry after `retryAfter`, or raise `maxDelay`: requests then wait for the end of the pause.",
      again: "Retried by the `RetryPolicy` if `retryAfter` is 30 seconds or less. Nothing was sent."
    },
    UnguardedTransport: {
      example: atDiscovered((fhir) => fhir.read("Patient", "123")),
      cause:
        "An open registry (`SmartServers.layerOpen`) discovered this server in a launch, and the `FhirClient` was provided with another, unguarded `HttpClient`.",
      cure:
        "Provide `FhirClient.layer` with the registry's own transport, `NodeTransport.layerGuarded()`. Mark a client that you derive from it with `AddressGuard.mark`.",
      again: nothingSent
    },
    ForeignLink: {
      example: search(() => page("https://internal.example.org:8080/fhir?page=2")),
      cause: "A `next` link, a reference or a redirect leads to a URL that the token may not go to.",
      cure:
        "If the server is behind a proxy and writes its internal base URL, set `rebaseLinks`. If the origin belongs to the same server, set `foreignOrigins` as the message shows. Otherwise do not follow the link.",
      again: nothingSent
    },
    ForeignFile: {
      example: exported("", {}, "https://files.example.org/patients.ndjson"),
      cause: "A file of a bulk export is at a URL that the token may not go to.",
      cure:
        "Allow its origin with `foreignOrigins`: `anonymous` if its URL is signed, `token` only if it belongs to the same server.",
      again: "Not retried. Nothing was sent to the origin. Allow it, then resume from the last checkpoint."
    },
    InvalidReference: {
      example: using(() => json({}), (fhir) => fhir.read("Patient", "12/3")),
      cause: "A resource type, an id or a reference has a form that FHIR does not allow.",
      cure: "Pass the type and the id separately; use `readReference` for references.",
      again: nothingSent
    },
    InvalidRequest: {
      example: using(
        () => json({}),
        (fhir) => AppState.make(fhir).create({ code: { system: "", code: "" }, values: {} })
      ),
      cause:
        "The request is invalid: a parameter without a value, which a server would ignore, a header that HTTP does not allow, or another rule. The message has the rule.",
      cure: "Correct the call.",
      again: nothingSent
    },
    NotInContext: {
      example: using(() => json({}), (fhir) => fhir.patient()),
      cause: "The token response has no such patient, encounter or user.",
      cure:
        "In a standalone launch, request `launch/patient` or `launch/encounter`. In an EHR launch, the EHR decides. For `fhirUser`, request `openid` and `fhirUser`.",
      again: nothingSent
    },
    NotSupported: {
      example: using(
        () => json({}),
        (fhir) => AppState.make(fhir).create({ code: { system: "https://app.example.org", code: "prefs" }, values: {} })
      ),
      cause: "The metadata of the server do not list the capability.",
      cure: "Check the capabilities before you use the feature.",
      again: nothingSent
    },
    PageLoop: {
      example: search(() => page(`${fhirBaseUrl}?page=2`)),
      cause: "A `next` link leads to a page, or a manifest of a bulk export, that was already read.",
      cure: "Report it to the operator of the server. The stream has emitted the pages before.",
      again: "Not retried. The same search fails again."
    },
    TooManyPages: {
      example: search((_, index) => page(`${fhirBaseUrl}?page=${index + 2}`), { maxPages: 2 }),
      cause:
        "There are more pages than `maxPages` (10,000; two here), or a bulk export has more manifests than `maxManifests` (10,000) or more files than `maxFiles` (100,000).",
      cure: "Narrow the search, request larger pages (`_count`), use a bulk export, or raise the limit.",
      again: final
    },
    Truncated: {
      example: exported(patientLine, {}, undefined, 2),
      cause:
        "A file of a bulk export has fewer resources than its `count` in the manifest, ends within a line, or is shorter than its `Content-Length`, also after a second request for the rest.",
      cure: "Resume from the last checkpoint. If it fails again, report it to the operator of the server.",
      again: goOn
    },
    MalformedLine: {
      example: exported(`${patientLine}{"resourceType":\n`),
      cause: "A line of a file is not a JSON resource.",
      cure: "Report the file and the line to the operator of the server.",
      again: goOn
    },
    LineTooLong: {
      example: exported(`{"resourceType":"Patient","text":"${"x".repeat(2_000)}"}\n`, { maxLineBytes: 1_000 }),
      cause:
        "A line is longer than `maxLineBytes` (8 MiB; a small one here): usually a Binary or a DocumentReference with its data inside.",
      cure: "Raise the limit, or leave the type out of the export.",
      again: goOn
    },
    WrongCount: {
      example: exported(patientLine + patientLine, {}, undefined, 1),
      cause: "A file of a bulk export has more resources than its `count` in the manifest.",
      cure: "Report it to the operator of the server. If the counts cannot be trusted, set `wrongCount: \"warn\"`.",
      again:
        "Not retried. All resources of the file were delivered: with `wrongCount: \"warn\"`, resume from the last `checkpoint`."
    },
    FileChanged: {
      example: exported(patientLine, { from: resumed }),
      cause: "An export was resumed, and the lines of the file that were read before now have another length.",
      cure: "Start a new export. The lines that were read before are of another version of the file.",
      again: final
    },
    DuplicateFile: {
      example: exported(patientLine, {}, undefined, undefined, 2),
      cause: "The manifests of a bulk export list the same URL twice: its resources would arrive twice.",
      cure: "Report it to the operator of the server.",
      again: "Not retried. No file of this manifest was requested."
    },
    ManifestChanged: {
      example: using(
        ({ url }) =>
          url.includes("$export")
            ? text("", { status: 202, headers: { "content-location": `${fhirBaseUrl}/status/1` } })
            : url.includes("/files/")
            ? text("", { status: 403 })
            : json(manifest(`${fhirBaseUrl}/files/patients.ndjson?signature=1`, manifestRequests++)),
        (fhir) => Stream.runDrain(BulkExport.run(fhir, {}))
      ),
      cause:
        "The URL of a file was refused, so the library requested the manifests again for a new URL. They list other files than before.",
      cure: "Start a new export. The server has made the files again, and its new files cannot continue the old ones.",
      again: "Not retried. No file was continued with another one: what was delivered is valid."
    }
  }
})

const get = (url: string) =>
  using(() => json({}), (fhir) => Effect.catchTag(fhir.httpClient.get(url), "RequestError", Effect.die))

export const tokenAudienceError = section<TokenAudienceError["reason"]>({
  name: "TokenAudienceError",
  literals: TokenAudienceError.fields.reason.literals,
  about:
    "The `httpClient` of `BackendServices` or `FhirClient` did not send a request, because the access token may not go to its URL. The error has only the origin, because a path may contain an id.",
  names: /example\.org|\(not a URL\)/,
  entries: {
    NotAUrl: {
      example: get("Patient/123"),
      cause: "The URL is not absolute.",
      cure: "Prepend the FHIR base URL, or use `FhirClient.request`, which resolves relative URLs.",
      again: nothingSent
    },
    HasCredentials: {
      example: get("https://reader:pass@ehr.example.org/fhir/Patient/123"),
      cause: "The URL contains a name and a password.",
      cure: "Remove them.",
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
        "The token may go to this URL, but it is not https. In the example it is a location in the token response.",
      cure: "Report it to the operator of the server.",
      again: nothingSent
    },
    ForeignOrigin: {
      example: get("https://elsewhere.example.org/fhir/Patient/123"),
      cause: "The URL has another host, port or scheme than the FHIR base URL.",
      cure: "Use another `HttpClient`, without the token.",
      again: nothingSent
    },
    OutsideBasePath: {
      example: get("https://ehr.example.org/other-tenant/fhir/Patient/123"),
      cause: "The URL is at the server's host, but not under the FHIR base URL. It may belong to another tenant.",
      cure: "Check the configured `fhirBaseUrl`.",
      again: nothingSent
    },
    AmbiguousPath: {
      example: get("https://ehr.example.org/fhir/%2e%2e%2fadmin"),
      cause:
        "The path contains hidden dot segments, which a server or a proxy could resolve to a path outside of the FHIR base URL.",
      cure: "Do not build paths from untrusted text. Validate and encode ids.",
      again: nothingSent
    },
    UnguardedTransport: {
      example: atDiscovered((fhir) =>
        Effect.catchTag(fhir.httpClient.get("https://ehr.example.org/fhir/Patient/123"), "RequestError", Effect.die)
      ),
      cause:
        "An open registry (`SmartServers.layerOpen`) discovered this server in a launch, and `FhirClient` or `BackendServices` was provided with another, unguarded `HttpClient`.",
      cure:
        "Provide both with the registry's own transport, `NodeTransport.layerGuarded()`. Mark a client that you derive from it with `AddressGuard.mark`.",
      again: nothingSent
    }
  }
})
