import * as Effect from "effect/Effect"
import { Sessions, SmartServers } from "effect-safire"
import { TieredOAuth } from "effect-safire/udap"

/** Identity providers at which users can log in. */
export const providers: ReadonlyArray<TieredOAuth.IdentityProvider> = [
  { url: "https://id.state.example.org", name: "State" },
  { url: "https://id.bank.example.org", name: "Bank" }
]

/** Starts a launch at the provider that the user has chosen. */
export const startLaunch = (provider: TieredOAuth.IdentityProvider) =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const sessions = yield* Sessions.Sessions
    const options = yield* TieredOAuth.authorizeOptions(yield* servers.client("north"), provider)
    const { url } = yield* sessions.startLaunch({ server: "north", ...options })
    return url
  })

/** Completes a launch, or returns the providers that are left after the server has refused one. */
export const completeLaunch = (callback: URL, chosen: TieredOAuth.IdentityProvider) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.completeLaunch(callback)).pipe(
    Effect.catchIf(
      (error) => error._tag === "AuthorizationError" && TieredOAuth.isProviderRefused(error),
      () => Effect.succeed(TieredOAuth.others(providers, chosen))
    )
  )
