/**
 * Which path is which step of the protocol, and everything that happens round a step: record, fault, cross-origin rules.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import * as Cors from "./cors.js"
import type { Step } from "./fault.js"
import type { Dropped, Faults } from "./faults.js"
import * as FhirApi from "./fhirApi.js"
import type { Journal } from "./journal.js"
import type { Pairs, Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import * as Metadata from "./metadata.js"
import type { OAuthError } from "./oAuthError.js"
import * as Pages from "./pages.js"
import * as Token from "./token.js"
import * as TokenStatus from "./tokenStatus.js"
import type { World } from "./world.js"

/** A sandbox with what surrounds its protocol steps. */
export interface Sandbox {
  readonly world: World
  readonly faults: Faults
  readonly journal: Journal
}

type Handler = (request: SandboxRequest) => Effect.Effect<Reply>

interface Route {
  readonly step: Step | undefined
  readonly methods: ReadonlyArray<string>
  readonly handle: Handler
}

const oauthReply = (error: OAuthError): Reply =>
  Message.json({ error: error.error, error_description: error.description }, {
    status: error.status ?? 400,
    headers: {
      ...Message.noStore,
      ...(error.challenge === undefined ? {} : { "www-authenticate": error.challenge })
    }
  })

const oauth = (handle: (request: SandboxRequest) => Effect.Effect<Reply, OAuthError>): Handler => (request) =>
  Effect.catchAll(handle(request), (error) => Effect.succeed(oauthReply(error)))

const document = (value: () => unknown): Handler => () => Effect.sync(() => Message.json(value()))

// ---------------------------------------------------------------------------------------------------------------------
// The authorization endpoint, as a browser meets it
// ---------------------------------------------------------------------------------------------------------------------

const authorize = (world: World): Handler => (request) => {
  if (request.method === "POST" && !Message.isForm(request)) {
    return Effect.succeed(
      Pages.refused("invalid_request", "the content type must be application/x-www-form-urlencoded")
    )
  }
  const pairs: Pairs = request.method === "POST"
    ? [...request.query, ...Message.parsePairs(request.body)]
    : request.query
  return Authorize.validate(world, pairs).pipe(
    Effect.flatMap((valid) =>
      world.autoApprove === undefined
        ? Effect.map(world.state.addPending(valid), (ticket) =>
          world.consentPage === undefined
            ? Pages.consent(world, valid, ticket)
            : Message.redirect(world.consentPage(ticket), 303))
        : Effect.map(Authorize.approve(world, valid, world.autoApprove), (location) => Message.redirect(location))
    ),
    Effect.catchTags({
      OAuthError: (error) => Effect.succeed(Pages.refused(error.error, error.description)),
      RedirectedError: ({ location }) => Effect.succeed(Message.redirect(location)),
      SandboxError: (error) => Effect.succeed(Pages.refused("server_error", error.description, 500))
    })
  )
}

const decide = (world: World): Handler => (request) =>
  Effect.gen(function*() {
    const params = Message.toParams(request.query)
    const valid = yield* world.state.takePending(params.get("ticket") ?? "")
    if (valid === undefined) return Pages.refused("invalid_request", "this page has been answered, or never was")
    if (params.get("decision") !== "approve") {
      return Message.redirect(Authorize.refusal(world, valid, "access_denied", "the person said no"))
    }
    return yield* Authorize.approve(world, valid, { patient: params.get("patient") }).pipe(
      Effect.match({
        onSuccess: (location) => Message.redirect(location),
        onFailure: (error) => Pages.refused("invalid_request", error.description)
      })
    )
  })

const manage = (world: World): Handler => (request) =>
  Effect.gen(function*() {
    const grant = request.method === "POST"
      ? Message.toParams(Message.parsePairs(request.body)).get("grant")
      : undefined
    if (grant !== undefined) yield* world.state.revokeAccess(grant)
    return Pages.management(world, yield* world.state.grants)
  })

// ---------------------------------------------------------------------------------------------------------------------
// Paths
// ---------------------------------------------------------------------------------------------------------------------

const get: ReadonlyArray<string> = ["GET", "HEAD"]
const post: ReadonlyArray<string> = ["POST"]
const getOrPost: ReadonlyArray<string> = ["GET", "HEAD", "POST"]

const routes = (world: World): ReadonlyMap<string, Route> => {
  const { endpoints } = world
  const at = (url: string, step: Step | undefined, methods: ReadonlyArray<string>, handle: Handler) =>
    [new URL(url).pathname, { step, methods, handle }] as const
  return new Map<string, Route>([
    at(endpoints.smartConfiguration, "discovery", get, document(() => Metadata.smartConfiguration(world))),
    at(endpoints.openidConfiguration, "openid", get, document(() => Metadata.openidConfiguration(world))),
    at(endpoints.style, undefined, get, document(() => Metadata.style)),
    at(endpoints.jwks, "jwks", get, () => Effect.map(world.idTokens.jwks, (jwks) => Message.json(jwks))),
    at(endpoints.authorization, "authorize", getOrPost, authorize(world)),
    ...(world.consentPage === undefined
      ? [at(`${endpoints.authorization}/decision`, undefined, get, decide(world))]
      : []),
    at(endpoints.token, "token", post, oauth((request) => Token.handle(world, request))),
    at(endpoints.introspection, "introspect", post, oauth((request) => TokenStatus.introspect(world, request))),
    at(endpoints.revocation, "revoke", post, oauth((request) => TokenStatus.revoke(world, request))),
    at(endpoints.userinfo, "userinfo", getOrPost, oauth((request) => TokenStatus.userinfo(world, request))),
    at(endpoints.management, undefined, getOrPost, manage(world)),
    // Not offered, and not in the metadata: only a fault answers here with anything else.
    at(endpoints.registration, "register", post, () => Effect.succeed(Message.empty(404)))
  ])
}

/** Everything the sandbox answers, as a function of the request. */
export const make = (sandbox: Sandbox): (request: SandboxRequest) => Effect.Effect<Reply, Dropped> => {
  const { faults, journal, world } = sandbox
  const table = routes(world)
  const fhirPath = `${new URL(world.fhirBaseUrl).pathname.replace(/\/$/, "")}/`

  const routeOf = (path: string): Route | undefined =>
    table.get(path) ?? (`${path}/`.startsWith(fhirPath)
      ? {
        step: "fhir",
        methods: [],
        handle: (request) => FhirApi.handle(world, request, request.path.slice(fhirPath.length))
      }
      : undefined)

  return (request) => {
    const route = routeOf(request.path)
    const step = route?.step
    const answer = Effect.suspend(() => {
      if (route === undefined) return Effect.succeed(Message.empty(404))
      // The FHIR API judges the method itself, after the token.
      return route.methods.length > 0 && !route.methods.includes(request.method)
        ? Effect.succeed(Message.methodNotAllowed(route.methods.join(", ")))
        : route.handle(request)
    })
    return journal.record(
      step,
      request,
      request.method === "OPTIONS"
        ? Effect.sync(() => Cors.preflight(world, step, request))
        : Effect.map(
          step === undefined
            ? answer
            : step === "authorize" && world.autoApprove === undefined && world.consentPage !== undefined
            ? faults.aroundQuestion(step, answer)
            : faults.around(step, answer),
          (reply) => Cors.allow(world, step, request, reply)
        )
    )
  }
}
