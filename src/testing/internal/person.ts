/**
 * The person at the EHR: starts an app, takes its authorization request to the consent page and says yes or no, all without HTTP.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { Faults } from "./faults.js"
import type { LaunchContext } from "./launchContext.js"
import type { Pairs } from "./message.js"
import * as Message from "./message.js"
import type { OAuthError } from "./oAuthError.js"
import { SandboxError } from "./oAuthError.js"
import type { Decision, ValidRequest, World } from "./world.js"

/**
 * An authorization request: its URL, or for a request by form POST the URL posted to and the fields.
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

/** Somebody who decides. */
export interface Person {
  readonly approve: (request: AuthorizationRequest, decision?: Decision) => Effect.Effect<URL, SandboxError>
  readonly deny: (request: AuthorizationRequest, error?: string) => Effect.Effect<URL, SandboxError>
  readonly launch: (
    context?: LaunchContext
  ) => Effect.Effect<{ readonly iss: string; readonly launch: string }, SandboxError>
}

const authorizationPairs = (
  world: World,
  request: AuthorizationRequest
): Effect.Effect<Pairs, SandboxError> => {
  const href = typeof request === "string" || request instanceof URL ? request : request.url
  const url = URL.canParse(String(href)) ? new URL(href) : undefined
  if (url === undefined || `${url.origin}${url.pathname}` !== world.endpoints.authorization) {
    return new SandboxError({
      reason: "NotAuthorizationEndpoint",
      description: `the authorization endpoint is ${world.endpoints.authorization}`
    })
  }
  const query = Message.parsePairs(url.search)
  if (typeof request === "string" || request instanceof URL) return Effect.succeed(query)
  const { params } = request
  const fields: Pairs = Symbol.iterator in params ? Array.from(params) : Object.entries(params)
  return Effect.succeed([...query, ...fields])
}

const refused = (error: OAuthError) =>
  new SandboxError({ reason: "Refused", error: error.error, description: error.description })

/** The person at a sandbox. */
export const make = (world: World, faults: Faults): Person => {
  const answer = (
    request: AuthorizationRequest,
    decide: (valid: ValidRequest) => Effect.Effect<string, SandboxError>
  ): Effect.Effect<URL, SandboxError> =>
    Effect.gen(function*() {
      const pairs = yield* authorizationPairs(world, request)
      const location = yield* Authorize.validate(world, pairs).pipe(
        Effect.flatMap(decide),
        Effect.catchTags({
          OAuthError: refused,
          RedirectedError: (error) => Effect.succeed(error.location)
        })
      )
      const spoilt = yield* faults.around("authorize", Effect.succeed(Message.redirect(location))).pipe(
        Effect.catchTag("Dropped", () =>
          new SandboxError({ reason: "NoRedirect", description: "the connection was made to fail" }))
      )
      const target = spoilt.headers["location"]
      return target === undefined
        ? yield* new SandboxError({
          reason: "NoRedirect",
          description: `the authorization request was made to end with HTTP ${spoilt.status}`
        })
        : new URL(target)
    })

  return {
    approve: (request, decision = {}) => answer(request, (valid) => Authorize.approve(world, valid, decision)),
    deny: (request, error = "access_denied") =>
      answer(request, (valid) => Effect.succeed(Authorize.refusal(world, valid, error, "the person said no"))),
    launch: (context = {}) =>
      Effect.gen(function*() {
        const references = [
          context.patient === undefined ? undefined : `Patient/${context.patient}`,
          context.encounter === undefined ? undefined : `Encounter/${context.encounter}`,
          context.user
        ]
        for (const reference of references) {
          const [type = "", id = ""] = reference?.split("/") ?? []
          if (reference !== undefined && world.store.read(type, id) === undefined) {
            return yield* new SandboxError({
              reason: "UnknownResource",
              description: `the store has no ${reference}`
            })
          }
        }
        return { iss: world.fhirBaseUrl, launch: yield* world.state.addLaunch(context) }
      })
  }
}
