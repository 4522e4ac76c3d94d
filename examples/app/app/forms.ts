/**
 * Forms that belong to no session: where they have an effect, the app's own pages must have sent them, as `CurrentSession.required` sees to for those of
 * a session.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { WebApp } from "effect-safire/web"
import { buttonLink, pageHeading } from "../ui/Components.js"
import { html } from "../ui/Html.js"
import { queryOf } from "../ui/query.js"
import type { AppPage } from "./Look.js"
import { Look, PATHS } from "./Look.js"

const refused: AppPage = {
  title: "Refused",
  status: 403,
  focused: true,
  main: html`${
    pageHeading("Please repeat that within the app", {
      lead: "The request did not come from a page of this app, so nothing was done."
    })
  }
<p>${buttonLink(PATHS.home, "To the hospitals", "primary")}</p>`
}

/** Refuses what another site made the browser send. */
export const ownOnly = <E, R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  R | HttpServerRequest.HttpServerRequest | Look | WebApp.WebApp
> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { isSameOrigin } = yield* WebApp.WebApp
    return isSameOrigin(request)
      ? yield* handler
      : (yield* Look).page(refused)
  })

/**
 * What a button began is finished, though the browser gives the first of two clicks up, or its tab is closed. In a fiber of its own, because in an
 * uninterruptible one no time limit could end anything.
 */
export const toTheEnd = <A, E, R>(act: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkDaemon(act), Fiber.join)

/** The query of the request. */
export const query: Effect.Effect<URLSearchParams, never, HttpServerRequest.HttpServerRequest> = Effect.map(
  HttpServerRequest.HttpServerRequest,
  queryOf
)
