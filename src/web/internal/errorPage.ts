/**
 * The HTML page for a failure, without scripts. A client that does not accept HTML gets `application/problem+json` (RFC
 * 9457).
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { escape } from "../../base/Html.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import * as Problems from "../Problem.js"
import * as WebApp from "../WebApp.js"

const STYLE =
  "body{font:1.0625rem/1.6 system-ui,sans-serif;color:#1c2733;background:#f4f6f8;margin:0;padding:2rem 1rem}" +
  "main{max-width:34rem;margin:8vh auto;padding:2rem;background:#fff;border:1px solid #d5dde5;border-radius:.5rem}" +
  "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}p{margin:0 0 1rem}small{color:#52606f}" +
  "a{display:inline-block;padding:.6rem 1.1rem;border-radius:.375rem;background:#0b5c7a;color:#fff;text-decoration:none}" +
  "a:focus-visible{outline:3px solid #b45309;outline-offset:2px}"

/** The CSP hash of `STYLE`; a test compares them. */
const STYLE_HASH = "sha256-xARgrbLNbEoRfI5fTbsa8HwTkB4WLBHR6Kd0af7+aSo="

const html = ({ action, reference, text, title }: Problems.Problem): string =>
  [
    "<!doctype html>",
    "<html lang=\"en\">",
    "<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    `<title>${escape(title)}</title><link rel="icon" href="data:,"><style>${STYLE}</style></head>`,
    "<body><main>",
    `<h1>${escape(title)}</h1>`,
    `<p>${escape(text)}</p>`,
    ...(action === undefined ? [] : [`<p><a href="${escape(action.href)}">${escape(action.label)}</a></p>`]),
    `<p><small>Reference: ${escape(reference)}</small></p>`,
    "</main></body>",
    "</html>",
    ""
  ].join("\n")

/** The security headers of a response: not cached, no referrer, framed only by allowed sites. */
export const protection = (app: WebApp.Service, policy = "default-src 'none'; base-uri 'none'") => ({
  "cache-control": "no-store",
  "content-security-policy": WebApp.withFrameAncestors(app, policy),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

/** Adds the security headers to a response. */
export const protect =
  (app: WebApp.Service, policy?: string) =>
  (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
    HttpServerResponse.setHeaders(response, protection(app, policy))

const wantsHtml = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const accept = request.headers["accept"]
  return accept === undefined || /text\/html|\*\/\*/.test(accept)
}

const builtIn = (app: WebApp.Service, problem: Problems.Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(html(problem), { status: problem.status, contentType: "text/html; charset=utf-8" }).pipe(
    protect(app, `default-src 'none'; style-src '${STYLE_HASH}'; img-src data:; base-uri 'none'`)
  )

const render = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  problem: Problems.Problem
): HttpServerResponse.HttpServerResponse => {
  if (!wantsHtml(request)) {
    const { action: _, text, ...members } = problem
    return HttpServerResponse.text(JSON.stringify({ ...members, detail: text }), {
      status: problem.status,
      contentType: "application/problem+json"
    }).pipe(protect(app))
  }
  if (app.errorPage !== undefined) {
    const page = app.errorPage(problem)
    return protect(app, page.headers["content-security-policy"] ?? "base-uri 'none'")(page)
  }
  return builtIn(app, problem)
}

/** Problems that are not failures of a system. */
const EXPECTED: ReadonlySet<Problems.Kind> = new Set(["AccessDenied", "SignedOut", "NotFound"])

const logged = (
  problem: Problems.Problem,
  message: string,
  error: Problems.Failure | undefined
): Effect.Effect<void> => {
  const log = problem.status >= 500 ? Effect.logError : EXPECTED.has(problem.kind) ? Effect.logInfo : Effect.logWarning
  return log(message).pipe(
    Effect.annotateLogs({
      reference: problem.reference,
      problem: problem.kind,
      ...(error === undefined ? {} : { error: error._tag, reason: error.reason })
    })
  )
}

/** Responds to failures and logs them, with the same reference on the page and in the log. */
export const make = (app: WebApp.Service) =>
  Effect.map(SecureRandom.SecureRandom, (random) => {
    const reference = Effect.map(random.bytes(5), Encoding.encodeHex)

    const respond = (
      request: HttpServerRequest.HttpServerRequest,
      kind: Problems.Kind,
      message: string,
      options: { readonly action?: Problems.Problem["action"]; readonly error?: Problems.Failure | undefined } = {}
    ): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
      Effect.gen(function*() {
        const problem = Problems.make(kind, yield* reference, options.action)
        yield* logged(problem, message, options.error)
        return yield* Effect.sync(() => render(app, request, problem)).pipe(
          // The `errorPage` of the app threw.
          Effect.catchAllDefect((defect) =>
            Effect.as(Effect.logError("errorPage failed", defect), builtIn(app, problem))
          )
        )
      })

    return {
      respond,
      failed: (
        request: HttpServerRequest.HttpServerRequest,
        error: Problems.Failure,
        action?: Problems.Problem["action"]
      ): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
        respond(request, Problems.kindOf(error), error.message, { action, error })
    }
  })

/** @internal */
export type ErrorPage = Effect.Effect.Success<ReturnType<typeof make>>
