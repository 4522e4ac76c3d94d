/** The demo app over HTTP: each page, each kind of client, and what goes wrong. */
import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import * as DemoApp from "../support/demoApp.js"
import { App, sandboxOf } from "../support/demoApp.js"

const AppLive = Layer.merge(DemoApp.layer, NodeTransport.layer())

interface Page {
  readonly url: string
  readonly status: number
  /** Without the places where URLs may break. */
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * A browser as far as these tests need one: it keeps cookies, says where a form comes from, and stops at the EHR's
 * door.
 */
const newBrowser = Effect.gen(function*() {
  const { baseUrl } = yield* App
  const jar = yield* Ref.make(Cookies.empty)
  const client = HttpClient.withCookiesRef(yield* HttpClient.HttpClient, jar)
  const send = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<Page> =>
    Effect.gen(function*() {
      const response = yield* client.execute(request)
      const body = (yield* response.text).replaceAll("<wbr>", "")
      const location = response.headers["location"]
      const next = location === undefined ? undefined : new URL(location, request.url)
      return next === undefined || next.origin !== baseUrl
        ? { url: next?.href ?? request.url, status: response.status, body, headers: response.headers }
        : yield* send(HttpClientRequest.get(next.href))
    }).pipe(Effect.orDie)
  const absolute = (path: string) => new URL(path, baseUrl).href
  return {
    get: (path: string) => send(HttpClientRequest.get(absolute(path))),
    post: (path: string, form: Readonly<Record<string, string>> = {}, site = "same-origin") =>
      send(
        HttpClientRequest.post(absolute(path)).pipe(
          HttpClientRequest.bodyUrlParams(form),
          HttpClientRequest.setHeader("sec-fetch-site", site)
        )
      ),
    cookies: Ref.get(jar)
  }
})

type Browser = Effect.Effect.Success<typeof newBrowser>

/** A login at a hospital, as the person wants it; the page it ends at. */
const login = (browser: Browser, key: string, options: {
  readonly decision?: Parameters<SandboxEhr.Service["approve"]>[1]
  readonly query?: string
} = {}) =>
  Effect.gen(function*() {
    const sandbox = yield* sandboxOf(key)
    const back = encodeURIComponent("/sessions/:session")
    const asked = yield* browser.get(`/launch?server=${key}&return=${back}${options.query ?? ""}`)
    assert.strictEqual(asked.status, 303)
    const callback = yield* sandbox.approve(asked.url, options.decision ?? { patient: "patient-alpha" })
    return yield* browser.get(callback.href)
  })

const pathOf = (page: Page) => new URL(page.url).pathname

/** Nothing on any page holds what was issued. */
const assertNoSecrets = (key: string, ...pages: ReadonlyArray<Page>) =>
  Effect.gen(function*() {
    const issued = yield* (yield* sandboxOf(key)).issued
    assert.isAbove(issued.length, 0)
    for (const { body } of pages) for (const secret of issued) assert.notInclude(body, secret)
  })

layer(AppLive, { excludeTestServices: true, timeout: "30 seconds" })("the demo app", (it) => {
  it.effect("lists each hospital and whether it responds", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const { body, headers, status } = yield* browser.get("/")
      assert.strictEqual(status, 200)
      for (const name of ["North Hospital", "South Clinic", "East Hospital", "West Clinic", "Old Mill Practice"]) {
        assert.include(body, `<h2>${name}</h2>`)
      }
      assert.strictEqual(body.match(/badge good">answers/g)?.length, 5)
      assert.strictEqual(body.match(/unavailable: Unreachable/g)?.length, 1)
      const policy = headers["content-security-policy"] ?? ""
      assert.include(policy, "default-src 'none'")
      assert.notInclude(policy, "unsafe")
      assert.match(policy, /frame-ancestors 'self' http:\/\/127\.0\.0\.1:\d+/)
      assert.notMatch(body, /<style|<script(?! type="module" src="\/assets\/ui\.js")| style="| on[a-z]+="/)
    }))

  it.effect("serves its style sheets and its keys", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      for (const path of ["/assets/style.css", "/assets/app.css", "/assets/ui.js"]) {
        assert.strictEqual((yield* browser.get(path)).status, 200)
      }
      const keys = yield* browser.get("/.well-known/jwks.json")
      assert.include(keys.body, "\"ES384\"")
      assert.include(keys.body, "\"RS384\"")
      assert.notInclude(keys.body, "\"d\"")
    }))

  it.effect("shows the metadata of a server, and fetches them again", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const page = yield* browser.get("/servers/east")
      assert.strictEqual(page.status, 200)
      assert.include(page.body, "<h1>East Hospital</h1>")
      assert.include(page.body, "/auth/token</code>")
      assert.include(page.body, "client-confidential-asymmetric")
      assert.include(page.body, "value=\"patient/*.rs\" checked")
      assert.include(page.headers["content-security-policy"] ?? "", "form-action 'self' http://127.0.0.1:")
      assert.strictEqual(pathOf(yield* browser.post("/servers/east/discovery")), "/servers/east")
      assert.strictEqual((yield* browser.post("/servers/east/discovery", {}, "cross-site")).status, 403)
      assert.strictEqual((yield* browser.get("/servers/unknown")).status, 404)
      assert.strictEqual((yield* browser.get("/nowhere")).status, 404)
    }))

  it.effect("shows the deviations of a server and works with it", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const before = yield* browser.get("/servers/old")
      assert.include(before.body, "S256")
      assert.match(before.body, /badge bad">error/)
      const session = yield* login(browser, "old")
      assert.strictEqual(session.status, 200)
      const chart = yield* browser.get(`${pathOf(session)}/chart`)
      assert.include(chart.body, "Ruth Okafor")
      const after = yield* browser.get("/servers/old")
      for (const code of ["PkceNotAdvertised", "TokenTypeMissing", "TokenContentType", "ExpiresInNotNumber"]) {
        assert.include(after.body, `<code>${code}</code>`)
      }
    }))

  for (const key of ["north", "south", "east", "west"]) {
    it.effect(`logs in at ${key}, shows the session and the chart, and logs out`, () =>
      Effect.gen(function*() {
        const browser = yield* newBrowser
        const session = yield* login(browser, key)
        assert.match(pathOf(session), /^\/sessions\/[\w-]{22}$/)
        assert.strictEqual(session.status, 200)
        assert.include(session.body, "stored, not shown")
        assert.match(session.body, /<strong>(4|5) minutes/)
        assert.include(session.body, "patient-alpha")
        assert.include(session.body, "<code>fhirUser</code>")
        const chart = yield* browser.get(`${pathOf(session)}/chart`)
        assert.strictEqual(chart.status, 200)
        assert.include(chart.body, "<h1>Chart of Ruth Okafor</h1>")
        for (
          const shown of [
            "Hypertensive disorder",
            "2023-12-04",
            "Lisinopril 10 mg",
            "1 tablet by mouth once a day",
            "Systolic",
            "127/81",
            "<td data-label=\"Criticality\"><span class=\"badge bad\">high</span></td>",
            "<svg class=\"plot\"",
            "Body weight as a table"
          ]
        ) {
          assert.include(chart.body, shown)
        }
        yield* assertNoSecrets(key, session, chart, yield* browser.get("/"), yield* browser.get("/log"))

        assert.strictEqual((yield* browser.post(`/logout/${pathOf(session).slice(10)}`, {}, "cross-site")).status, 403)
        assert.strictEqual(pathOf(yield* browser.post(`/logout/${pathOf(session).slice(10)}`)), "/")
        const gone = yield* browser.get(pathOf(session))
        assert.strictEqual(gone.status, 401)
        assert.include(gone.body, "You are signed out")
      }))
  }

  it.effect("follows an EHR launch and keeps two patients in two tabs apart", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const sandbox = yield* sandboxOf("south")
      const launched = (patient: string) =>
        Effect.gen(function*() {
          const { iss, launch } = yield* sandbox.launch({ patient })
          const asked = yield* browser.get(`/launch?${new URLSearchParams({ iss, launch }).toString()}`)
          return yield* browser.get((yield* sandbox.approve(asked.url)).href)
        })
      const alpha = yield* launched("patient-alpha")
      const beta = yield* launched("patient-beta")
      assert.notStrictEqual(pathOf(alpha), pathOf(beta))
      assert.include((yield* browser.get(pathOf(alpha))).body, "<h1>Chart of Ruth Okafor</h1>")
      assert.include((yield* browser.get(pathOf(beta))).body, "<h1>Chart of Mateo Villanueva</h1>")
      const session = yield* browser.get(pathOf(alpha).replace("/chart", ""))
      assert.include(session.body, "by an EHR launch")
      const home = yield* browser.get("/")
      assert.include(home.body, pathOf(alpha))
      assert.include(home.body, pathOf(beta))
      assert.notInclude((yield* (yield* newBrowser).get("/")).body, pathOf(alpha))
      assert.strictEqual((yield* (yield* newBrowser).get(pathOf(alpha))).status, 401)
    }))

  it.effect("requests exactly the chosen scopes, and shows those that were not granted", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const scopes = ["openid", "launch/patient", "patient/Patient.rs", "patient/Condition.rs", "system/*.cruds"]
      const session = yield* login(browser, "north", {
        query: scopes.map((scope) => `&scope=${encodeURIComponent(scope)}`).join(""),
        decision: { patient: "patient-beta", scopes: ["openid", "launch/patient", "patient/Patient.rs"] }
      })
      assert.notInclude(session.body, "system/")
      assert.include(session.body, "Requested and not granted")
      assert.match(session.body, /<li><code>patient\/Condition\.rs<\/code><\/li>/)
      assert.include(session.body, "none: after expiry a new launch is needed")
      const chart = yield* browser.get(`${pathOf(session)}/chart`)
      assert.include(chart.body, "<h1>Chart of Mateo Villanueva</h1>")
      assert.include(chart.body, "The granted scopes do not cover this data.")
      assert.notInclude(chart.body, "Diabetes")
    }))

  it.effect("shows that a launch has no patient", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const session = yield* login(browser, "north", { query: "&scope=openid&scope=fhirUser" })
      assert.strictEqual(session.status, 200)
      assert.include((yield* browser.get(`${pathOf(session)}/chart`)).body, "This launch has no patient")
    }))

  it.effect("renews, introspects and revokes", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const session = yield* login(browser, "west")
      const at = pathOf(session)
      const renewed = yield* browser.post(`${at}/renewal`)
      assert.include(renewed.body, "The tokens were renewed")
      assert.strictEqual((yield* browser.post(`${at}/renewal`, {}, "cross-site")).status, 403)
      const introspected = yield* browser.get(`${at}/introspection`)
      assert.match(introspected.body, /<dt>Active<\/dt><dd><span class="badge good">yes/)
      assert.include(introspected.body, "<code>vital-lines</code>")

      assert.include((yield* browser.post(`${at}/revocation`, { token: "access" })).body, "The access token is revoked")
      assert.strictEqual((yield* browser.get(`${at}/chart`)).status, 200)
      assert.include(
        (yield* browser.post(`${at}/revocation`, { token: "refresh" })).body,
        "The refresh token is revoked"
      )
      const over = yield* browser.get(`${at}/chart`)
      assert.strictEqual(over.status, 401)
      assert.include(over.body, "You are signed out")
      yield* assertNoSecrets("west", renewed, introspected, over, yield* browser.get("/log"))
    }))

  it.effect("introspects with the token itself where the app has no credential", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const session = yield* login(browser, "north")
      const page = yield* browser.get(`${pathOf(session)}/introspection`)
      assert.strictEqual(page.status, 200)
      assert.match(page.body, /<dt>Active<\/dt><dd><span class="badge good">yes/)
    }))

  it.effect("reads without a person, by each kind of credential", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      assert.strictEqual((yield* browser.get("/backend")).status, 200)
      for (const key of ["south", "east", "west", "old"]) {
        const page = yield* browser.get(`/backend?server=${key}`)
        assert.include(page.body, "Ruth Okafor")
        assert.include(page.body, "system/Patient.rs")
      }
      assert.include(
        (yield* browser.get("/backend?server=north")).body,
        "The app is not registered as a backend service there"
      )
    }))

  it.effect("registers itself, logs in there, and removes the registration", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      assert.include((yield* browser.get("/registration")).body, "not registered")
      assert.strictEqual((yield* browser.post("/registration", { prospect: "newtown" }, "cross-site")).status, 403)
      for (const method of ["private_key_jwt", "client_secret_basic", "public"]) {
        const registered = yield* browser.post("/registration", { prospect: "newtown", method })
        assert.include(registered.body, "The app was registered")
        assert.include(registered.body, `<code>${method === "public" ? "none" : method}</code>`)
        // A second click.
        yield* browser.post("/registration", { prospect: "newtown", method })
        assert.include((yield* browser.get("/")).body, "<h2>Newtown Hospital</h2>")
        const session = yield* login(browser, "newtown")
        assert.include((yield* browser.get(`${pathOf(session)}/chart`)).body, "Ruth Okafor")
        yield* assertNoSecrets("newtown", registered, session)
        assert.include(
          (yield* browser.post("/registration/removal", { prospect: "newtown" })).body,
          "The registration was removed"
        )
        assert.notInclude((yield* browser.get("/")).body, "<h2>Newtown Hospital</h2>")
      }
    }))

  it.effect("registers itself with its certificate at a hospital of a trust community", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const before = yield* browser.get("/registration")
      assert.include(before.body, "https://one.sandbox.test/community")
      assert.include(before.body, "https://vital-lines.example.org/udap")
      const registered = yield* browser.post("/registration", { prospect: "harbor" })
      assert.include(registered.body, "The app was registered")
      assert.match(registered.body, /<code>udap-[0-9a-f-]+<\/code>/)
      // A second click.
      yield* browser.post("/registration", { prospect: "harbor" })
      const session = yield* login(browser, "harbor")
      assert.include((yield* browser.get(`${pathOf(session)}/chart`)).body, "Ruth Okafor")
      const requests = (yield* (yield* sandboxOf("harbor")).requests).filter(({ step }) =>
        step === "register" || step === "token"
      )
      assert.deepStrictEqual(requests.map(({ path, status }) => [path, status]), [
        ["/auth/udap/register", 201],
        ["/auth/udap/token", 200]
      ])
      yield* assertNoSecrets("harbor", registered, session)
      assert.include(
        (yield* browser.post("/registration/removal", { prospect: "harbor" })).body,
        "The registration was removed"
      )
      assert.notInclude((yield* browser.get("/")).body, "<h2>Harbor Hospital</h2>")
    }))

  it.effect("explains a failure to the user, and has the error in the event log", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const sandbox = yield* sandboxOf("north")
      const asked = yield* browser.get("/launch?server=north")
      const denied = yield* browser.get((yield* sandbox.deny(asked.url)).href)
      assert.strictEqual(denied.status, 403)
      assert.include(denied.body, "Access was not given")
      const reference = /Reference <code>([0-9a-f]+)<\/code>/.exec(denied.body)?.[1] ?? "none"
      const log = yield* browser.get("/log")
      assert.include(log.body, `id="ref-${reference}"`)
      assert.include(log.body, "<code>AuthorizationError AccessDenied</code>")
      for (const step of ["SmartRoutes.launch", "Sessions.startLaunch", "SmartClient.authorize"]) {
        assert.include(log.body, step)
      }

      const stranger = yield* browser.get("/launch?iss=https%3A%2F%2Fehr.example%2Ffhir&launch=x")
      assert.strictEqual(stranger.status, 400)
      assert.include(stranger.body, "The app could not be started from here")
      yield* login(browser, "north")
      const failures = yield* browser.get("/log?failed")
      assert.include(failures.body, "AuthorizationError")
      assert.include(failures.body, "LaunchError")
      assert.strictEqual((yield* browser.post("/log", {}, "cross-site")).status, 403)
    }))

  it.effect("works when an EHR is not available", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const server = yield* browser.get("/servers/ferry")
      assert.strictEqual(server.status, 503)
      assert.include(server.body, "Unreachable")
      const launch = yield* browser.get("/launch?server=ferry")
      assert.strictEqual(launch.status, 503)
      assert.include(launch.body, "The health record system is not available")

      const sandbox = yield* sandboxOf("east")
      const session = yield* login(browser, "east")
      yield* sandbox.fault("fhir", SandboxEhr.Fault.status(503, { headers: { "retry-after": "60" } }), 5)
      const chart = yield* browser.get(`${pathOf(session)}/chart`)
      assert.strictEqual(chart.status, 200)
      assert.include(chart.body, "is not responding")
      yield* sandbox.clearFaults
      assert.include((yield* browser.get(`${pathOf(session)}/chart`)).body, "<h1>Chart of Ruth Okafor</h1>")
    }))

  it.effect("shows HTML of an EHR as text", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const sandbox = yield* sandboxOf("south")
      const evil = "<img src=x onerror=alert(1)>\"'"
      const session = yield* login(browser, "south")
      yield* sandbox.fault(
        "fhir",
        SandboxEhr.Fault.mutate((members) =>
          members["resourceType"] === "Patient"
            ? {
              ...members,
              name: [{ text: evil }],
              gender: evil,
              birthDate: evil,
              identifier: [{ value: evil, system: evil }]
            }
            : {
              ...members,
              entry: [{
                resource: {
                  resourceType: "Observation",
                  code: { text: evil },
                  valueString: evil,
                  effectiveDateTime: evil
                }
              }]
            }
        ),
        5
      )
      const chart = yield* browser.get(`${pathOf(session)}/chart`)
      yield* sandbox.clearFaults
      assert.notInclude(chart.body, "<img")
      assert.include(chart.body, "&lt;img")

      yield* sandbox.fault(
        "token",
        SandboxEhr.Fault.mutate((members) => ({
          ...members,
          scope: "patient/*.rs <img/src=x>",
          patient: evil,
          intent: evil,
          tenant: evil,
          id_token: undefined
        }))
      )
      const other = yield* login(browser, "south")
      assert.notInclude(other.body, "<img")
      const home = yield* browser.get("/")
      assert.notInclude(home.body, "<img")

      yield* sandbox.fault(
        "discovery",
        SandboxEhr.Fault.mutate((members) => ({
          ...members,
          capabilities: [evil],
          scopes_supported: [evil],
          issuer: evil,
          [evil]: evil,
          management_endpoint: "javascript:alert(1)"
        }))
      )
      yield* browser.post("/servers/south/discovery")
      const server = yield* browser.get("/servers/south")
      assert.notInclude(server.body, "<img")
      assert.notInclude(server.body, "href=\"javascript:")
      yield* browser.post("/servers/south/discovery")

      yield* sandbox.fault(
        "introspect",
        SandboxEhr.Fault.mutate((members) => ({
          ...members,
          client_id: evil,
          sub: evil,
          iss: evil,
          fhirUser: evil,
          patient: evil
        }))
      )
      const introspected = yield* browser.get(`${pathOf(session)}/introspection`)
      assert.strictEqual(introspected.status, 200)
      assert.notInclude(introspected.body, "<img")

      yield* sandbox.fault("token", SandboxEhr.Fault.oauthError("invalid_grant", { description: evil }))
      const refused = yield* login(browser, "south")
      assert.strictEqual(refused.status, 400)
      assert.notInclude(refused.body, "img")
      const named = yield* browser.get(
        `/launch?${new URLSearchParams({ server: evil, return: evil, scope: evil }).toString()}`
      )
      assert.notInclude(named.body, "<img")
      assert.notInclude((yield* browser.get("/log")).body, "<img")
    }))

  it.effect("has neither secrets nor patients nor sessions in its event log", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      yield* browser.post("/log")
      const session = yield* login(browser, "south")
      yield* browser.get(`${pathOf(session)}/chart`)
      yield* browser.post(`${pathOf(session)}/renewal`)
      yield* browser.get("/backend?server=south")
      const log = yield* browser.get("/log")
      for (
        const step of [
          "TokenEndpoint.exchangeCode",
          "IdToken.verify",
          "FhirClient.search Observation",
          "Sessions.renew"
        ]
      ) {
        assert.include(log.body, step)
      }
      assert.include(log.body, "/fhir/Patient/…")
      assert.include(log.body, "/sessions/…/chart")
      const hidden = ["patient-alpha", "Okafor", "code=", "state=", "for a demonstration", pathOf(session).slice(10)]
      for (const text of hidden) assert.notInclude(log.body, text)
      yield* assertNoSecrets("south", log)
    }))

  it.effect("groups similar entries of its event log, and shows the checks of the start page apart", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      yield* browser.get("/backend?server=south")
      yield* browser.post("/log")
      // The failure of the server that is down is cached for 3 seconds.
      yield* Effect.sleep("3100 millis")
      yield* browser.get("/")
      for (let times = 0; times < 3; times++) yield* browser.get("/backend?server=south")
      const log = (yield* browser.get("/log")).body
      assert.strictEqual(log.match(/<summary>/g)?.length, 1)
      assert.match(log, /<code>\/backend<\/code> <small class="nowrap">× 3<\/small>/)
      assert.match(log, /<svg class="bar ok"[^>]*><rect class="whole"[^>]*\/><rect x="[\d.]+%" width="[\d.]+%"/)
      assert.notInclude(log, "Discovery.fetch")
      for (const view of ["polling", "failed"]) {
        assert.include((yield* browser.get(`/log?${view}`)).body, "Discovery.fetch")
      }
    }))

  it.effect("has a tour of the kinds of clients, a renewal and a server in trouble", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      const stops = (body: string) =>
        [...body.matchAll(/<li><h3>([^<]+?) (<span class="badge good">done<\/span>)?<\/h3>/g)].map(([, title, done]) =>
          done === undefined ? title : `${title}: done`
        )
      const first = (yield* browser.get("/")).body
      assert.deepStrictEqual(stops(first), [
        "A public app",
        "An app with a secret",
        "An app with a key",
        "A renewal",
        "A server in trouble"
      ])
      assert.include(first, "Log in first.")
      const session = yield* login(browser, "south")
      const second = (yield* browser.get("/")).body
      assert.include(stops(second), "An app with a secret: done")
      assert.include(second, `href="${pathOf(session)}"`)
      for (const key of ["north", "east"]) assert.include(second, `href="/launch?server=${key}"`)
      assert.match(second, /href="http:\/\/127\.0\.0\.1:\d+\/faults"/)
    }))

  it.effect("clears its event log", () =>
    Effect.gen(function*() {
      const browser = yield* newBrowser
      yield* login(browser, "north")
      assert.include((yield* browser.get("/log")).body, "TokenEndpoint.exchangeCode")
      assert.notInclude((yield* browser.post("/log")).body, "TokenEndpoint.exchangeCode")
    }))
})
