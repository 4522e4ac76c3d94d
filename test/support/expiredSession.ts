import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Sessions from "../../src/session/Sessions.js"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { TokenSet } from "../../src/token/TokenSet.js"

/** A session with tokens of the sandbox, whose access token expired a minute ago according to the app. */
export const expiredSession = (sessions: Sessions.Service) =>
  Effect.gen(function*() {
    const sandbox = yield* SandboxEhr.SandboxEhr
    const { url } = yield* sessions.startLaunch()
    const tokens = yield* sessions.tokens(yield* sessions.completeLaunch(yield* sandbox.approve(url)))
    const now = yield* DateTime.now
    return yield* sessions.importTokens(
      new TokenSet({
        ...tokens,
        receivedAt: DateTime.subtract(now, { minutes: 6 }),
        expiresAt: DateTime.subtract(now, { minutes: 1 })
      })
    )
  })
