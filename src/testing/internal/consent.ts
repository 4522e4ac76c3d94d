/**
 * A consent page that is not the sandbox's own: what the person is to be asked, and what becomes of the answer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { Client } from "./client.js"
import type { Faults } from "./faults.js"
import type { LaunchContext } from "./launchContext.js"
import * as Message from "./message.js"
import { SandboxError } from "./oAuthError.js"
import type { Decision, World } from "./world.js"

/**
 * An authorization request that waits for a person.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsentRequest {
  readonly client: Client
  readonly redirectUri: string
  /** As requested, verbatim. */
  readonly scopes: ReadonlyArray<string>
  /** Those of them that this client can be granted here. */
  readonly grantable: ReadonlyArray<string>
  /** The context of an EHR launch. */
  readonly launch: LaunchContext | undefined
  /** Whether the person is to choose a patient. */
  readonly choosesPatient: boolean
}

/** The requests that wait. An answer is given once: who answers again is told where the first answer led. */
export interface Consent {
  readonly request: (ticket: string) => Effect.Effect<ConsentRequest, SandboxError>
  readonly decide: (ticket: string, decision: Decision | "deny") => Effect.Effect<URL, SandboxError>
}

const unknownTicket = new SandboxError({
  reason: "UnknownTicket",
  description: "this question has been answered, or never was asked"
})

/** The requests of a sandbox that wait. */
export const make = (world: World, faults: Faults): Consent => {
  // One after the other: the second click of a double click finds the answer to the first.
  const semaphore = Effect.unsafeMakeSemaphore(1)
  const answers = new Map<string, URL>()

  const find = (ticket: string) =>
    Effect.filterOrFail(world.state.findPending(ticket), (pending) => pending !== undefined, () => unknownTicket)

  const answer = (ticket: string, decision: Decision | "deny") =>
    Effect.gen(function*() {
      const pending = yield* find(ticket)
      const location = decision === "deny"
        ? Authorize.refusal(world, pending, "access_denied", "the person said no")
        : yield* Authorize.approve(world, pending, decision)
      yield* world.state.takePending(ticket)
      const spoilt = yield* faults.aroundAnswer("authorize", Effect.succeed(Message.redirect(location))).pipe(
        Effect.catchTag("Dropped", () =>
          new SandboxError({ reason: "NoRedirect", description: "the connection was made to fail" }))
      )
      const target = spoilt.headers["location"]
      if (target === undefined) {
        return yield* new SandboxError({
          reason: "NoRedirect",
          description: `the answer was made to be HTTP ${spoilt.status}`
        })
      }
      answers.set(ticket, new URL(target))
      return new URL(target)
    })

  return {
    request: (ticket) =>
      Effect.map(find(ticket), (pending) => ({
        client: pending.client,
        redirectUri: pending.redirectUri,
        scopes: pending.scopes,
        grantable: Authorize.grantable(pending),
        launch: pending.launch,
        choosesPatient: Authorize.choosesPatient(pending)
      })),
    decide: (ticket, decision) =>
      semaphore.withPermits(1)(Effect.suspend(() => {
        const given = answers.get(ticket)
        // A browser gives the first of two clicks up: what was decided by then is kept for the second.
        return given === undefined ? Effect.uninterruptible(answer(ticket, decision)) : Effect.succeed(new URL(given))
      }))
  }
}
