/**
 * The user of the EHR without HTTP: starts an app, and approves or denies an authorization request, at once or on a
 * consent page of the test's own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { Client } from "./client.js"
import type { Faults } from "./faults.js"
import * as Http from "./http.js"
import type { LaunchContext } from "./launchContext.js"
import { type OAuthError, SandboxError, unknownResource } from "./oAuthError.js"
import type { Decision, Sandbox } from "./sandbox.js"
import type { ValidRequest } from "./state.js"

/**
 * An authorization request: its URL, or for a form POST the URL and the fields.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthorizationRequest =
  | URL
  | string
  | {
    readonly url: URL | string
    readonly params: Readonly<Record<string, string>> | Iterable<readonly [name: string, value: string]>
  }

/**
 * An authorization request that waits for the user's decision.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsentRequest {
  readonly client: Client
  readonly redirectUri: string
  /** The requested scopes, verbatim. */
  readonly scopes: ReadonlyArray<string>
  /** The requested scopes that the sandbox can grant to this client. */
  readonly grantable: ReadonlyArray<string>
  /** The context of an EHR launch. */
  readonly launch: LaunchContext | undefined
  /** Whether the user must choose a patient. */
  readonly needsPatient: boolean
}

/** An authorization endpoint. */
export interface AuthorizationEndpoint {
  readonly url: string
  readonly validate: (pairs: Http.Pairs) => Effect.Effect<ValidRequest, OAuthError | Authorize.RedirectedError>
  /** For a request that names an identity provider: the request with the user that it has authenticated. */
  readonly authenticateUser?: (
    request: ValidRequest,
    user: string | undefined
  ) => Effect.Effect<ValidRequest, OAuthError | SandboxError | Authorize.RedirectedError>
}

/** The endpoint of a request, and its parameters. */
const authorizationRequest = (
  endpoints: ReadonlyArray<AuthorizationEndpoint>,
  request: AuthorizationRequest
): Effect.Effect<{ readonly endpoint: AuthorizationEndpoint; readonly pairs: Http.Pairs }, SandboxError> => {
  const { params = [], url: href } = typeof request === "string" || request instanceof URL ? { url: request } : request
  const url = URL.canParse(href) ? new URL(href) : undefined
  const endpoint = endpoints.find((one) => url !== undefined && one.url === `${url.origin}${url.pathname}`)
  if (url === undefined || endpoint === undefined) {
    const urls = endpoints.map((one) => one.url).join(" or ")
    const description = `the authorization endpoint is ${urls}`
    return new SandboxError({ reason: "NotAuthorizationEndpoint", description })
  }
  const fields: Http.Pairs = Symbol.iterator in params ? Array.from(params) : Object.entries(params)
  return Effect.succeed({ endpoint, pairs: [...Http.parsePairs(url.search), ...fields] })
}

const unknownTicket = new SandboxError({
  reason: "UnknownTicket",
  description: "no authorization request with this ticket waits for a decision"
})

/** The decisions of users at one sandbox. */
export type Consent = ReturnType<typeof make>

/** Decisions about the requests of a sandbox. */
export const make = (sandbox: Sandbox, faults: Faults, endpoints: ReadonlyArray<AuthorizationEndpoint>) => {
  const denial = (request: ValidRequest, error = "access_denied") =>
    Authorize.errorRedirect(sandbox, request, error, "the user denied access")

  const respond = (
    request: AuthorizationRequest,
    decide: (
      valid: ValidRequest,
      endpoint: AuthorizationEndpoint
    ) => Effect.Effect<string, OAuthError | SandboxError | Authorize.RedirectedError>
  ): Effect.Effect<URL, SandboxError> =>
    authorizationRequest(endpoints, request).pipe(
      Effect.flatMap(({ endpoint, pairs }) =>
        Effect.flatMap(endpoint.validate(pairs), (valid) => decide(valid, endpoint))
      ),
      Effect.catchTags({
        OAuthError: ({ description, error }) => new SandboxError({ reason: "Refused", error, description }),
        RedirectedError: ({ location }) => Effect.succeed(location)
      }),
      Effect.flatMap(faults.redirect)
    )

  // Sequential, so that the second click of a double click gets the URL of the first.
  const semaphore = Effect.unsafeMakeSemaphore(1)
  const decided = new Map<string, URL>()

  const find = (ticket: string) =>
    Effect.filterOrFail(sandbox.state.findPending(ticket), (pending) => pending !== undefined, () => unknownTicket)

  const decidePending = (ticket: string, decision: Decision | "deny") =>
    Effect.gen(function*() {
      const pending = yield* find(ticket)
      const location = decision === "deny" ? denial(pending) : yield* Authorize.approve(sandbox, pending, decision)
      yield* sandbox.state.removePending(ticket)
      const target = yield* faults.redirectAfterDecision(location)
      decided.set(ticket, target)
      return new URL(target)
    })

  return {
    approve: (request: AuthorizationRequest, decision: Decision = {}) =>
      respond(request, (valid, { authenticateUser }) =>
        Effect.flatMap(
          authenticateUser === undefined ? Effect.succeed(valid) : authenticateUser(valid, decision.user),
          (authenticated) => Authorize.approve(sandbox, authenticated, decision)
        )),
    deny: (request: AuthorizationRequest, error?: string) =>
      respond(request, (valid) => Effect.succeed(denial(valid, error))),
    launch: (context: LaunchContext = {}) =>
      Effect.gen(function*() {
        const { encounter, patient, user } = context
        const references = [patient && `Patient/${patient}`, encounter && `Encounter/${encounter}`, user]
        for (const reference of references) {
          const [type = "", id = ""] = reference?.split("/") ?? []
          if (reference !== undefined && sandbox.store.read(type, id) === undefined) {
            return yield* unknownResource(reference)
          }
        }
        return { iss: sandbox.fhirBaseUrl, launch: yield* sandbox.state.addLaunch(context) }
      }),
    request: (ticket: string): Effect.Effect<ConsentRequest, SandboxError> =>
      Effect.map(find(ticket), (pending) => {
        const { client, launch, redirectUri, scopes } = pending
        const grantable = Authorize.grantable(pending)
        return { client, redirectUri, scopes, grantable, launch, needsPatient: Authorize.needsPatient(pending) }
      }),
    decide: (ticket: string, decision: Decision | "deny") =>
      semaphore.withPermits(1)(Effect.suspend(() => {
        const target = decided.get(ticket)
        // A browser aborts the request of the first click at the second; its decision must complete.
        return target === undefined
          ? Effect.uninterruptible(decidePending(ticket, decision))
          : Effect.succeed(new URL(target))
      }))
  }
}
