/**
 * What a launch asks for. A launch URL can be written by anybody, so that of its scopes only those are taken that the app offers; what was asked for is
 * kept with the session, to be set beside what was granted.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { WebApp } from "effect-safire/web"
import { OFFERED, USUAL_SCOPES } from "./Hospital.js"

export const Asked = Schema.Struct({
  by: Schema.Literal("person", "ehr"),
  scopes: Schema.Array(Schema.String)
})

export type Asked = typeof Asked.Type

/** What the app kept with a session when it was launched. */
export const askedOf = (appState: unknown): Option.Option<Asked> => Schema.decodeUnknownOption(Asked)(appState)

const offered = new Set(OFFERED.map(({ scope }) => scope))

/** An EHR's launch brings its own context, and its scope is added by the library. */
const atEhr = USUAL_SCOPES.filter((scope) => scope !== "launch/patient")

export const onLaunch = ({ iss, params }: WebApp.Launch): Effect.Effect<WebApp.LaunchOptions> => {
  const chosen = params.getAll("scope").filter((scope) => offered.has(scope))
  const asked: Asked = iss !== undefined
    ? { by: "ehr", scopes: atEhr }
    : { by: "person", scopes: chosen.length === 0 ? USUAL_SCOPES : [...new Set(chosen)] }
  return Effect.succeed({ scopes: asked.scopes, appState: asked })
}
