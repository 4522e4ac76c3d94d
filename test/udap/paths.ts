/** Chains without revocation, over a network that is not used. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { TrustPolicy } from "effect-safire/udap"
import { base, FHIR_BASE } from "./artefacts.js"

const COMMUNITY = "urn:example:community"
const quiet = Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.never))

/** The path of a trusted chain; or the problems, each with its certificate. */
export const validate = (
  chain: ReadonlyArray<Uint8Array>,
  community: Partial<TrustPolicy.Community> = {}
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const { root } = yield* base
    const layer = TrustPolicy.layer({
      communities: { [COMMUNITY]: { anchors: [root.der], revocation: "off", ...community } }
    }).pipe(Layer.provide(quiet))
    const outcome = yield* Effect.flatMap(
      TrustPolicy.TrustPolicy,
      (policy) => Effect.either(policy.validate(chain, { subject: FHIR_BASE }))
    ).pipe(Effect.provide(layer), Effect.orDie)
    return Either.match(outcome, {
      onLeft: ({ problems }) => problems.map(({ certificate, reason }) => `${reason}: ${certificate}`),
      onRight: ({ path }) => path
    })
  })
