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
import type { Pairs, SandboxRequest, SandboxResponse } from "./http.js"
import * as Http from "./http.js"
import * as Metadata from "./metadata.js"
import type { OAuthError } from "./oAuthError.js"
import * as Pages from "./pages.js"
import type { RequestLog } from "./requestLog.js"
import type { Sandbox } from "./sandbox.js"
import * as Token from "./token.js"
import * as TokenStatus from "./tokenStatus.js"

type Handler = (request: SandboxRequest) => Effect.Effect<SandboxResponse>

interface Route {
  readonly step: Step | undefined
  readonly methods: ReadonlyArray<string>
  readonly handle: Handler
}

const oauthReply = (error: OAuthError): SandboxResponse =>
  Http.json({ error: error.error, error_description: error.description }, {
    status: error.status ?? 400,
    headers: {
      ...Http.noStore,
      ...(error.challenge === undefined ? {} : { "www-authenticate": error.challenge })
    }
  })

const oauth = (handle: (request: SandboxRequest) => Effect.Effect<SandboxResponse, OAuthError>): Handler => (request) =>
  Effect.catchAll(handle(request), (error) => Effect.succeed(oauthReply(error)))

const document = (value: () => unknown): Handler => () => Effect.sync(() => Http.json(value()))

// ---------------------------------------------------------------------------------------------------------------------
// Pages
// ---------------------------------------------------------------------------------------------------------------------

const authorize = (sandbox: Sandbox): Handler => (request) => {
  if (request.method === "POST" && !Http.isForm(request)) {
    return Effect.succeed(
      Pages.refused("invalid_request", "the content type must be application/x-www-form-urlencoded")
    )
  }
  const pairs: Pairs = request.method === "POST"
    ? [...request.query, ...Http.parsePairs(request.body)]
    : request.query
  return Authorize.validate(sandbox, pairs).pipe(
    Effect.flatMap((valid) =>
      sandbox.autoApprove === undefined
        ? Effect.map(sandbox.state.addPending(valid), (ticket) =>
          sandbox.consentPage === undefined
            ? Pages.consent(sandbox, valid, ticket)
            : Http.redirect(sandbox.consentPage(ticket), 303))
        : Effect.map(Authorize.approve(sandbox, valid, sandbox.autoApprove), (location) => Http.redirect(location))
    ),
    Effect.catchTags({
      OAuthError: (error) => Effect.succeed(Pages.refused(error.error, error.description)),
      RedirectedError: ({ location }) => Effect.succeed(Http.redirect(location)),
      SandboxError: (error) => Effect.succeed(Pages.refused("server_error", error.description, 500))
    })
  )
}

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

const get: ReadonlyArray<string> = ["GET", "HEAD"]
const post: ReadonlyArray<string> = ["POST"]
const getOrPost: ReadonlyArray<string> = ["GET", "HEAD", "POST"]

const routes = (sandbox: Sandbox, consent: Consent): ReadonlyMap<string, Route> => {
  const { endpoints } = sandbox
  const at = (url: string, step: Step | undefined, methods: ReadonlyArray<string>, handle: Handler) =>
    [new URL(url).pathname, { step, methods, handle }] as const
  return new Map<string, Route>([
    at(endpoints.smartConfiguration, "discovery", get, document(() => Metadata.smartConfiguration(sandbox))),
    at(endpoints.openidConfiguration, "openid", get, document(() => Metadata.openidConfiguration(sandbox))),
    at(endpoints.style, undefined, get, document(() => Metadata.style)),
    at(endpoints.jwks, "jwks", get, () => Effect.map(sandbox.idTokens.jwks, (jwks) => Http.json(jwks))),
    at(endpoints.authorization, "authorize", getOrPost, authorize(sandbox)),
    ...(sandbox.consentPage === undefined
      ? [at(`${endpoints.authorization}/decision`, undefined, get, decide(consent))]
      : []),
    at(endpoints.token, "token", post, oauth((request) => Token.handle(sandbox, request))),
    at(endpoints.introspection, "introspect", post, oauth((request) => TokenStatus.introspect(sandbox, request))),
    at(endpoints.revocation, "revoke", post, oauth((request) => TokenStatus.revoke(sandbox, request))),
    at(endpoints.userinfo, "userinfo", getOrPost, oauth((request) => TokenStatus.userinfo(sandbox, request))),
    at(endpoints.management, undefined, getOrPost, manage(sandbox)),
    // Not in the metadata; only a fault makes it respond with another status.
    at(endpoints.registration, "register", post, () => Effect.succeed(Http.empty(404)))
  ])
}

/** The responses of a sandbox. */
export const make = (
  sandbox: Sandbox,
  consent: Consent,
  faults: Faults,
  requestLog: RequestLog
): (request: SandboxRequest) => Effect.Effect<SandboxResponse, ConnectionReset> => {
  const table = routes(sandbox, consent)
  const fhirPath = `${new URL(sandbox.fhirRoot).pathname.replace(/\/$/, "")}/`

  const routeOf = (path: string): Route | undefined =>
    table.get(path) ?? (`${path}/`.startsWith(fhirPath)
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
