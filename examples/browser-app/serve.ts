/**
 * Serves the static page from `localhost` with a strict Content Security Policy, and an EHR from `127.0.0.1`, which a
 * browser treats as two sites. Run `npx tsx examples/browser-app/serve.ts` and open the printed address.
 */
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { SandboxEhr } from "effect-safire/testing"
import { build } from "esbuild"
import * as Sandbox from "../support/sandbox.js"

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const bundle = (entryPoint: string) =>
  Effect.map(
    Effect.promise(() =>
      build({
        entryPoints: [entryPoint],
        // React checks components only in this mode.
        define: { "process.env.NODE_ENV": "\"development\"" },
        jsx: "automatic",
        bundle: true,
        write: false,
        format: "esm",
        target: "es2022",
        minify: true,
        legalComments: "none",
        logLevel: "silent"
      })
    ),
    ({ outputFiles }) => outputFiles[0]?.text ?? ""
  )

export interface Options {
  /** Options of the EHR, without its clients. */
  readonly ehr?: Omit<SandboxEhr.Options, "clients"> | undefined
  /** Origins that the page may connect to. Default: the EHR. */
  readonly connectSrc?: ReadonlyArray<string> | undefined
  /** Origins that may show the page in a frame. Default: none. Name the EHRs that embed the app. */
  readonly frameAncestors?: ReadonlyArray<string> | undefined
  /** Another page with `{{fhirBaseUrl}}`, and its script. */
  readonly page?: { readonly html: string; readonly entryPoint: string } | undefined
}

const sources = (list: ReadonlyArray<string>): string => list.length === 0 ? "'none'" : list.join(" ")

/** The headers of all responses. */
const headersOf = (connectSrc: ReadonlyArray<string>, frameAncestors: ReadonlyArray<string>) => ({
  "cache-control": "no-store",
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src data:",
    `connect-src ${sources(connectSrc)}`,
    "base-uri 'none'",
    "form-action 'none'",
    `frame-ancestors ${sources(frameAncestors)}`,
    "require-trusted-types-for 'script'"
  ].join("; "),
  // `same-origin` would separate the page from its popups.
  "cross-origin-opener-policy": "same-origin-allow-popups",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

/** Serves until the scope closes. */
export const serve = (port: number, options: Options = {}) =>
  Effect.gen(function*() {
    const server = yield* NodeHttpServer.make(() => createServer(), { port, host: "localhost" })
    const baseUrl = `http://localhost:${server.address._tag === "TcpAddress" ? server.address.port : port}`
    const ehr = yield* Sandbox.start({
      autoApprove: false,
      ...options.ehr,
      clients: [{
        clientId: "chart-in-a-page",
        name: "Chart in a page",
        redirectUris: [`${baseUrl}/`],
        launchUris: [`${baseUrl}/`],
        authentication: { method: "none" }
      }]
    })
    const headers = headersOf(options.connectSrc ?? [new URL(ehr.fhirBaseUrl).origin], options.frameAncestors ?? [])
    const file = (contentType: string, body: string) => HttpServerResponse.text(body, { contentType, headers })
    const html = (options.page?.html ?? readFileSync(path("index.html"), "utf8")).replace(
      "{{fhirBaseUrl}}",
      ehr.fhirBaseUrl
    )
    const style = readFileSync(path("../app/ui/style.css"), "utf8")
    const pageStyle = readFileSync(path("page.css"), "utf8")
    const script = yield* bundle(options.page?.entryPoint ?? path("main.ts"))

    const routes = HttpRouter.empty.pipe(
      HttpRouter.get("/", file("text/html; charset=utf-8", html)),
      HttpRouter.get("/main.js", file("text/javascript; charset=utf-8", script)),
      HttpRouter.get("/style.css", file("text/css; charset=utf-8", style)),
      HttpRouter.get("/page.css", file("text/css; charset=utf-8", pageStyle)),
      // Simulates a clinician who starts the app inside the EHR. It is not a part of the app.
      HttpRouter.get(
        "/ehr-launch",
        Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          const patient = new URL(request.url, baseUrl).searchParams.get("patient") ?? undefined
          const { iss, launch } = yield* ehr.launch({ patient })
          return HttpServerResponse.redirect(`/?${new URLSearchParams({ iss, launch }).toString()}`, { headers })
        })
      ),
      HttpRouter.catchAll(() => HttpServerResponse.empty({ status: 404, headers }))
    )
    yield* HttpServer.serveEffect(routes).pipe(Effect.provideService(HttpServer.HttpServer, server))
    return { baseUrl, ehr }
  })

if (process.argv[1]?.endsWith("browser-app/serve.ts") === true) {
  Config.port("PORT").pipe(
    Config.withDefault(4173),
    Effect.flatMap((port) => serve(port)),
    Effect.tap(({ baseUrl }) => Console.log(`open ${baseUrl}/, and end with Ctrl-C`)),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    NodeRuntime.runMain
  )
}
