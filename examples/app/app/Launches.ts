/**
 * The scopes of a launch. Anyone can write a launch URL, so the app accepts only scopes that it offers. The session
 * stores the requested scopes, to compare them with the granted ones.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { WebApp } from "effect-safire/web"
import { DEFAULT_SCOPES, SCOPE_CHOICES } from "./Hospital.js"

export const RequestedLaunch = Schema.Struct({
  by: Schema.Literal("person", "ehr"),
  scopes: Schema.Array(Schema.String)
})

export type RequestedLaunch = typeof RequestedLaunch.Type

/** The requested scopes in a session's app state. */
export const requestedOf = (appState: unknown): Option.Option<RequestedLaunch> =>
  Schema.decodeUnknownOption(RequestedLaunch)(appState)

const offered = new Set(SCOPE_CHOICES.map(({ scope }) => scope))

/** An EHR launch has its own context; the library adds the scope `launch`. */
const atEhr = DEFAULT_SCOPES.filter((scope) => scope !== "launch/patient")

export const onLaunch = ({ iss, params }: WebApp.Launch): Effect.Effect<WebApp.LaunchOptions> => {
  const chosen = params.getAll("scope").filter((scope) => offered.has(scope))
  const asked: RequestedLaunch = iss !== undefined
    ? { by: "ehr", scopes: atEhr }
    : { by: "person", scopes: chosen.length === 0 ? DEFAULT_SCOPES : [...new Set(chosen)] }
  return Effect.succeed({ scopes: asked.scopes, appState: asked })
}
