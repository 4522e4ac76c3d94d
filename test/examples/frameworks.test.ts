import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { NodeTransport } from "effect-safire/node"
import { vi } from "vitest"
import * as Express from "../../examples/express/main.js"
import * as Hono from "../../examples/hono/main.js"
import * as PatientApp from "../../examples/support/patientApp.js"
import { freePort } from "../support/freePort.js"

/** A browser as far as a launch needs one: it keeps cookies and goes where it is sent. */
const browser = Effect.gen(function*() {
  const jar = yield* Ref.make(Cookies.empty)
  const client = HttpClient.withCookiesRef(yield* HttpClient.HttpClient, jar)
  const send = (
    request: HttpClientRequest.HttpClientRequest
  ): Effect.Effect<{ readonly url: string; readonly status: number; readonly body: string }, unknown> =>
    Effect.gen(function*() {
      const response = yield* client.execute(request)
      const body = yield* response.text
      const location = response.headers["location"]
      return location === undefined
        ? { url: request.url, status: response.status, body }
        : yield* send(HttpClientRequest.get(new URL(location, request.url).href))
    })
  return send
})

describe.each([["Express", Express.serve], ["Hono", Hono.serve]] as const)("the example in %s", (name, serve) => {
  it.scopedLive("runs a launch, shows the patient, logs out, and has other routes", () =>
    Effect.gen(function*() {
      const { baseUrl, ehr } = yield* serve(yield* freePort)
      const send = yield* browser
      const get = (path: string) => send(HttpClientRequest.get(`${baseUrl}${path}`))

      assert.include((yield* get("/")).body, `<title>${name}</title>`)
      assert.strictEqual((yield* get("/nowhere")).status, 404)
      const without = yield* get("/patient")
      assert.notStrictEqual(without.status, 200)
      assert.notInclude(without.body, "Okafor")

      const launched = yield* get("/launch")
      assert.strictEqual(launched.url, `${baseUrl}/patient`)
      assert.include(launched.body, "<h1>Ruth Okafor</h1>")

      const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
      const fromEhr = yield* get(`/launch?${new URLSearchParams({ iss, launch }).toString()}`)
      assert.include(fromEhr.body, "<h1>Mateo Villanueva</h1>")

      const stranger = yield* get("/launch?iss=https%3A%2F%2Fehr.evil.example%2Ffhir&launch=x")
      assert.isAtLeast(stranger.status, 400)

      const logout = HttpClientRequest.post(`${baseUrl}/logout`)
      assert.strictEqual(
        (yield* send(HttpClientRequest.setHeader(logout, "origin", "https://evil.example"))).status,
        403
      )
      assert.include((yield* get("/patient")).body, "Mateo Villanueva")
      assert.strictEqual((yield* send(HttpClientRequest.setHeader(logout, "origin", baseUrl))).url, `${baseUrl}/`)
      assert.notStrictEqual((yield* get("/patient")).status, 200)
    }).pipe(Effect.provide(NodeTransport.layer())))

  it.scopedLive("accepts a callback by POST", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* serve(yield* freePort)
      const client = yield* HttpClient.HttpClient
      const launch = yield* client.get(`${baseUrl}/launch`)
      const cookie = Cookies.toCookieHeader(launch.cookies)
      const approved = yield* client.get(launch.headers["location"] ?? "")
      const callback = new URL(approved.headers["location"] ?? "")
      const posted = yield* HttpClientRequest.post(`${baseUrl}/callback`).pipe(
        HttpClientRequest.setHeader("cookie", cookie),
        HttpClientRequest.bodyUrlParams(callback.searchParams),
        client.execute
      )
      assert.strictEqual(posted.status, 303)
      assert.strictEqual(posted.headers["location"], `${baseUrl}/patient`)
    }).pipe(Effect.provide(NodeTransport.layer())))
})

describe("the route handler of Next.js", () => {
  it.scopedLive("follows a launch and shows the patient", () =>
    Effect.gen(function*() {
      const baseUrl = "http://localhost:3000"
      const ehr = yield* PatientApp.startEhr(baseUrl)
      vi.stubEnv("SMART_FHIR_BASE_URL", ehr.fhirBaseUrl)
      const route = yield* Effect.promise(() => import("../../examples/nextjs/route.js"))
      const get = (url: string, cookies: ReadonlyArray<string> = []) =>
        Effect.promise(() => route.GET(new Request(url, { headers: { cookie: cookies.join("; ") } })))
      const cookiesOf = (response: Response) => response.headers.getSetCookie().map((one) => one.split(";")[0] ?? "")

      const launch = yield* get(`${baseUrl}/launch`)
      const returned = yield* ehr.approve(new URL(launch.headers.get("location") ?? ""), { patient: "patient-beta" })
      const callback = yield* get(returned.href, cookiesOf(launch))
      assert.strictEqual(callback.headers.get("location"), `${baseUrl}/patient`)
      const page = yield* get(`${baseUrl}/patient`, cookiesOf(callback))
      assert.include(yield* Effect.promise(() => page.text()), "<h1>Mateo Villanueva</h1>")
      assert.strictEqual((yield* get(`${baseUrl}/patient`)).status, 401)
    }).pipe(Effect.ensuring(Effect.sync(() => vi.unstubAllEnvs()))))
})
