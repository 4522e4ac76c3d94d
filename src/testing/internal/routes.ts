/**
 * The paths of the protocol steps. Each request is recorded, meets the pending faults and gets the cross-origin
 * headers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { Consent } from "./consent.js"
import * as Cors from "./cors.js"
import type { Step } from "./fault.js"
import type { ConnectionReset, Faults } from "./faults.js"
import * as FhirApi from "./fhirApi.js"
import * as Http from "./http.js"
import * as Metadata from "./metadata.js"
import type { OAuthError } from "./oAuthError.js"
import * as Pages from "./pages.js"
import type { RequestLog } from "./requestLog.js"
import type { Sandbox } from "./sandbox.js"
import * as Token from "./token.js"
import * as TokenStatus from "./tokenStatus.js"

/** Responds to a request. */
export type Handler = (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse>

/** The steps and methods of a path. */
export interface Route {
  readonly step: Step | undefined
  readonly methods: ReadonlyArray<string>
  readonly handle: Handler
}

const oauthReply = (error: OAuthError): Http.SandboxResponse =>
  Http.json({ error: error.error, error_description: error.description }, {
    status: error.status ?? 400,
    headers: {
      ...Http.noStore,
      ...(error.challenge === undefined ? {} : { "www-authenticate": error.challenge })
    }
  })

/** A handler whose OAuth errors become responses. */
export const oauth =
  (handle: (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse, OAuthError>): Handler => (request) =>
    Effect.catchAll(handle(request), (error) => Effect.succeed(oauthReply(error)))

const document = (value: () => unknown): Handler => () => Effect.sync(() => Http.json(value()))

// ---------------------------------------------------------------------------------------------------------------------
// Pages
// ---------------------------------------------------------------------------------------------------------------------

const decide = (consent: Consent): Handler => (request) => {
  const params = Http.toParams(request.query)
  const decision = params.get("decision") === "approve" ? { patient: params.get("patient") } : "deny"
  return consent.decide(params.get("ticket") ?? "", decision).pipe(
    Effect.match({
      onSuccess: ({ href }) => Http.redirect(href),
      onFailure: ({ description }) => Pages.refused("invalid_request", description)
    })
  )
}

const manage = (sandbox: Sandbox): Handler => (request) =>
  Effect.gen(function*() {
    const grant = Http.toParams(Http.parsePairs(request.body)).get("grant")
    if (grant !== undefined) yield* sandbox.state.revokeAccess(grant)
    return Pages.management(sandbox, yield* sandbox.state.grants)
  })

// ---------------------------------------------------------------------------------------------------------------------
// Paths
// ---------------------------------------------------------------------------------------------------------------------

/** The methods of a document. */
export const get: ReadonlyArray<string> = ["GET", "HEAD"]
/** The methods of a form. */
export const post: ReadonlyArray<string> = ["POST"]
/** The methods of a page. */
export const getOrPost: ReadonlyArray<string> = ["GET", "HEAD", "POST"]

/** A route at the path of a URL. */
export const at = (url: string, step: Step | undefined, methods: ReadonlyArray<string>, handle: Handler) =>
  [new URL(url).pathname, { step, methods, handle }] as const

const routes = (sandbox: Sandbox, consent: Consent): ReadonlyMap<string, Route> => {
  const { endpoints } = sandbox
  return new Map<string, Route>([
    at(endpoints.smartConfiguration, "discovery", get, document(() => Metadata.smartConfiguration(sandbox))),
    at(endpoints.openidConfiguration, "openid", get, document(() => Metadata.openidConfiguration(sandbox))),
    at(endpoints.style, undefined, get, document(() => Metadata.style)),
    at(endpoints.jwks, "jwks", get, () => Effect.map(sandbox.idTokens.jwks, (jwks) => Http.json(jwks))),
    at(
      endpoints.authorization,
      "authorize",
      getOrPost,
      Pages.authorize((pairs) => Authorize.validate(sandbox, pairs, Authorize.smartRules), Pages.decideOrAsk(sandbox))
    ),
    ...(sandbox.consentPage === undefined
      ? [at(`${endpoints.authorization}/decision`, undefined, get, decide(consent))]
      : []),
    at(endpoints.token, "token", post, oauth((request) => Token.handle(sandbox, request))),
    at(endpoints.introspection, "introspect", post, oauth((request) => TokenStatus.introspect(sandbox, request))),
    at(endpoints.revocation, "revoke", post, oauth((request) => TokenStatus.revoke(sandbox, request))),
    at(endpoints.userinfo, "userinfo", getOrPost, oauth((request) => TokenStatus.userinfo(sandbox, request))),
    at(endpoints.management, undefined, getOrPost, manage(sandbox)),
    // Not in the metadata; only a fault makes it respond with another status.
    at(endpoints.registration, "register", post, () => Effect.succeed(Http.empty(404))),
    // The FHIR server supports no UDAP workflows (UDAP Security STU2, section 2.1).
    at(`${sandbox.fhirRoot}/.well-known/udap`, "udap", get, () => Effect.succeed(Http.empty(404)))
  ])
}

/** The responses of a sandbox. */
export const make = (
  sandbox: Sandbox,
  consent: Consent,
  faults: Faults,
  requestLog: RequestLog,
  extension: (path: string) => Route | undefined
): (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse, ConnectionReset> => {
  const table = routes(sandbox, consent)
  const fhirPath = `${new URL(sandbox.fhirRoot).pathname.replace(/\/$/, "")}/`

  const routeOf = (path: string): Route | undefined =>
    extension(path) ?? table.get(path) ?? (`${path}/`.startsWith(fhirPath)
      ? {
        step: "fhir",
        methods: [],
        handle: (request) => FhirApi.handle(sandbox, request, request.path.slice(fhirPath.length))
      }
      : undefined)

  return (request) => {
    const route = routeOf(request.path)
    const step = route?.step
    const respond = Effect.suspend(() => {
      if (route === undefined) return Effect.succeed(Http.empty(404))
      // The FHIR API checks the method itself, after the token.
      return route.methods.length > 0 && !route.methods.includes(request.method)
        ? Effect.succeed(Http.methodNotAllowed(route.methods.join(", ")))
        : route.handle(request)
    })
    return requestLog.record(
      step,
      request,
      request.method === "OPTIONS"
        ? Effect.sync(() => Cors.preflight(sandbox, step, request))
        : Effect.map(
          step === undefined
            ? respond
            : step === "authorize" && sandbox.autoApprove === undefined
            ? faults.applyBeforeDecision(step, respond)
            : faults.apply(step, respond),
          (response) => Cors.allow(sandbox, step, request, response)
        )
    )
  }
}
