/**
 * Checks for forms outside of a session: they must come from the app's own pages. `CurrentSession.required` checks the
 * forms of a session.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { WebApp } from "effect-safire/web"
import { buttonLink, pageHeading } from "../ui/Components.js"
import { html } from "../ui/Html.js"
import { queryOf } from "../ui/query.js"
import type { AppPage } from "./Layout.js"
import { Layout, PATHS } from "./Layout.js"

const refused: AppPage = {
  title: "Refused",
  status: 403,
  focused: true,
  main: html`<div class="card">${
    pageHeading("Please try again in the app", {
      lead: "The request did not come from a page of this app. Nothing was changed."
    })
  }
<p>${buttonLink(PATHS.home, "To the hospitals", "primary")}</p></div>`
}

/** Rejects requests from other sites. */
export const requireSameOrigin = <E, R>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  R | HttpServerRequest.HttpServerRequest | Layout | WebApp.WebApp
> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { isSameOrigin } = yield* WebApp.WebApp
    return isSameOrigin(request)
      ? yield* handler
      : (yield* Layout).page(refused)
  })

/**
 * Completes an action even if the browser aborts the request (a double click, a closed tab). It runs in its own fiber,
 * because time limits do not work in an uninterruptible one.
 */
export const runToCompletion = <A, E, R>(act: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkDaemon(act), Fiber.join)

/** The query of the request. */
export const query: Effect.Effect<URLSearchParams, never, HttpServerRequest.HttpServerRequest> = Effect.map(
  HttpServerRequest.HttpServerRequest,
  queryOf
)
