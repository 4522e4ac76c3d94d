import { createServer } from "node:http"
import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import * as EhrSite from "../../examples/app/ehr/index.js"

const app = "http://localhost:8000"
const redirectUri = `${app}/callback`
const state = "raw-app-state-0123456789"
/** RFC 7636, Appendix B. */
const [verifier, challenge] = [
  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
  "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
]

/** Would be a script wherever it is not escaped. */
const hostile = "<script>alert(1)</script>\"'><img src=x>"
const secret = "do-not-show-me-0123456789"

const clients: ReadonlyArray<SandboxEhr.Client> = [
  {
    clientId: "growth-chart",
    name: "Growth chart",
    redirectUris: [redirectUri],
    launchUris: [`${app}/launch`],
    authentication: { method: "none" }
  },
  {
    clientId: hostile,
    name: `Evil ${hostile}`,
    redirectUris: [redirectUri],
    authentication: { method: "client_secret_basic", secret: Redacted.make(secret) },
    scopes: ["openid", "patient/*.rs"]
  },
  {
    clientId: "nightly",
    redirectUris: [],
    authentication: { method: "private_key_jwt", jwks: { keys: [{ kty: "EC", kid: "key-one", alg: "ES384" }] } },
    grantTypes: ["client_credentials"]
  }
]

const apps: ReadonlyArray<EhrSite.App> = [
  { id: "growth", name: "Growth chart", launchUrl: `${app}/launch` },
  { id: "evil", name: `Evil ${hostile}`, launchUrl: "http://localhost:8001/start?tenant=1" }
]

const hostilePatient: SandboxEhr.FhirResource = {
  resourceType: "Patient",
  id: "patient-hostile",
  name: [{ text: `Omega ${hostile}` }],
  gender: hostile,
  birthDate: hostile
}

const options: EhrSite.Options = { apps, clients, resources: [...EhrSite.resources, hostilePatient] }

/** Another EHR for every test. */
const TestLive = EhrSite.layer(options).pipe(
  Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
  Layer.merge(NodeTransport.layer())
)

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Without the places where URLs may break. */
  readonly body: string
  readonly location: string
}

const isPairs = (
  fields: Readonly<Record<string, string>> | ReadonlyArray<readonly [string, string]>
): fields is ReadonlyArray<readonly [string, string]> => Array.isArray(fields)

/** A browser at one EHR: keeps cookies, says where a form comes from, follows nothing. */
const open = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const { origin } = new URL(ehr.fhirBaseUrl)
  const jar = yield* Ref.make(Cookies.empty)
  const client = HttpClient.withCookiesRef(yield* HttpClient.HttpClient, jar)
  const send = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.gen(function*() {
      const response = yield* client.execute(request)
      const location = response.headers["location"] ?? ""
      const answer: Answer = {
        status: response.status,
        headers: response.headers,
        body: (yield* response.text).replaceAll("<wbr>", ""),
        location: location.startsWith(origin) ? location.slice(origin.length) : location
      }
      return answer
    })
  const urlOf = (path: string) => path.startsWith("/") ? `${origin}${path}` : path
  const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    send(HttpClientRequest.get(urlOf(path), { headers }))
  const post = (
    path: string,
    fields: Readonly<Record<string, string>> | ReadonlyArray<readonly [name: string, value: string]>,
    headers: Readonly<Record<string, string>> = { origin, "sec-fetch-site": "same-origin" }
  ) =>
    send(
      HttpClientRequest.post(urlOf(path), { headers }).pipe(
        HttpClientRequest.bodyText(
          new URLSearchParams((isPairs(fields) ? fields : Object.entries(fields)).map(([name, value]) => [name, value]))
            .toString(),
          "application/x-www-form-urlencoded"
        )
      )
    )
  const signIn = (user = "Practitioner/practitioner-one", next = "/") => post("/login", { user, next })
  /** Takes an app's request to the question that the person is asked. */
  const ask = (scope: string, changes: Readonly<Record<string, string>> = {}) =>
    Effect.gen(function*() {
      const query = new URLSearchParams({
        response_type: "code",
        client_id: "growth-chart",
        redirect_uri: redirectUri,
        scope,
        state,
        aud: ehr.fhirBaseUrl,
        code_challenge: challenge,
        code_challenge_method: "S256",
        ...changes
      })
      const answer = yield* get(`${ehr.endpoints.authorization}?${query.toString()}`)
      assert.strictEqual(answer.status, 303, answer.body)
      return { path: answer.location, ticket: new URL(answer.location, origin).searchParams.get("ticket") ?? "" }
    })
  const exchange = (callback: string, changes: Readonly<Record<string, string>> = {}) =>
    Effect.map(
      post(ehr.endpoints.token, {
        grant_type: "authorization_code",
        code: new URL(callback).searchParams.get("code") ?? "",
        redirect_uri: redirectUri,
        code_verifier: verifier,
        client_id: "growth-chart",
        ...changes
      }, {}),
      ({ body, status }): Readonly<Record<string, unknown>> => ({ ...JSON.parse(body), status })
    )
  return { ehr, origin, get, post, signIn, ask, exchange }
})

const hidden = (body: string, name: string): string =>
  new RegExp(`name="${name}" value="([^"]*)"`).exec(body)?.[1] ?? ""

/** What every page of a hospital should be. */
const assertSound = (answer: Answer) => {
  const policy = answer.headers["content-security-policy"] ?? ""
  assert.match(policy, /^default-src 'none'; style-src 'self';/)
  assert.notMatch(policy, /unsafe|\*/)
  assert.strictEqual(answer.headers["cache-control"], "no-store")
  assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
  assert.notMatch(answer.body, /<style|\sstyle=|\son[a-z]+=|<script(?! type="module" src="\/assets\/ui\.js">)/)
  assert.notMatch(answer.body, /(?:href|src)="(?:https?:)?\/\/(?!localhost:800[01])/)
  assert.lengthOf(answer.body.match(/<h1/g) ?? [], 1)
  const ids = Array.from(answer.body.matchAll(/\sid="([^"]*)"/g), ([, id]) => id)
  assert.strictEqual(new Set(ids).size, ids.length, "ids are unique")
  for (const [, label] of answer.body.matchAll(/<label for="([^"]*)"/g)) assert.include(ids, label)
  for (const [, described] of answer.body.matchAll(/aria-describedby="([^"]*)"/g)) assert.include(ids, described)
}

describe("the sandbox EHR's site", () => {
  const test = (name: string, act: Effect.Effect<void, unknown, Layer.Layer.Success<typeof TestLive>>) =>
    it.live(name, () => Effect.provide(act, TestLive))

  test(
    "signs a user in, and out",
    Effect.gen(function*() {
      const { get, post } = yield* open
      assert.strictEqual((yield* get("/")).location, "/login?next=%2F")
      assert.strictEqual((yield* get("/access?revoked")).location, "/login?next=%2Faccess%3Frevoked")
      const login = yield* get("/login?next=%2Flog")
      assertSound(login)
      assert.include(login.body, "Dr. Ingrid Halvorsen")
      assert.include(login.body, "Ruth Okafor")
      assert.strictEqual(hidden(login.body, "next"), "/log")
      const signedIn = yield* post("/login", { user: "Practitioner/practitioner-two", next: "/log" })
      assert.strictEqual(signedIn.location, "/log")
      assert.match(
        signedIn.headers["set-cookie"] ?? "",
        /^ehr-session-\d+=[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/
      )
      assert.include((yield* get("/log")).body, "Dr. Asha Kulkarni")
      assert.include((yield* get("/login")).body, "You are signed in as Dr. Asha Kulkarni.")
      assert.strictEqual((yield* post("/logout", {})).location, "/login")
      assert.strictEqual((yield* get("/log")).location, "/login?next=%2Flog")
      assert.strictEqual((yield* post("/login", { user: "Practitioner/unknown" })).status, 400)
    })
  )

  test(
    "redirects only to its own pages after a login",
    Effect.gen(function*() {
      const { get, post } = yield* open
      for (
        const next of [
          "https://evil.example/",
          "//evil.example",
          "/\\evil.example",
          "/.//evil.example",
          "javascript:alert(1)",
          "",
          "/\t/evil.example"
        ]
      ) {
        const { location } = yield* post("/login", { user: "Patient/patient-alpha", next })
        assert.strictEqual(location, "/", next)
        assert.strictEqual(hidden((yield* get(`/login?next=${encodeURIComponent(next)}`)).body, "next"), "/")
      }
    })
  )

  test(
    "refuses forms of other sites and of unknown origin",
    Effect.gen(function*() {
      const { ask, ehr, origin, post, signIn } = yield* open
      yield* signIn()
      const { ticket } = yield* ask("patient/*.rs")
      const foreign: ReadonlyArray<Readonly<Record<string, string>>> = [
        {},
        { origin: "http://localhost:8000" },
        { origin: "null" },
        { origin, "sec-fetch-site": "cross-site" },
        { origin, "sec-fetch-site": "same-site" },
        { origin, "sec-fetch-site": "none" }
      ]
      const forms: ReadonlyArray<readonly [string, Readonly<Record<string, string>>]> = [
        ["/login", { user: "Patient/patient-alpha" }],
        ["/logout", {}],
        ["/launch", { app: "growth", patient: "patient-alpha", place: "here" }],
        ["/consent", { ticket, decision: "allow", scope: "patient/*.rs", patient: "patient-alpha" }],
        ["/faults/power", { power: "down" }],
        ["/faults/trouble", { trouble: "token-429", once: "x" }],
        ["/log/clear", {}]
      ]
      for (const headers of foreign) {
        for (const [path, fields] of forms) assert.strictEqual((yield* post(path, fields, headers)).status, 403, path)
      }
      assert.deepStrictEqual(yield* ehr.access, [])
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
      assert.isNotEmpty(yield* ehr.requests)
      // An old browser says where it comes from with `Origin` alone.
      assert.strictEqual((yield* post("/log/clear", {}, { origin })).status, 303)
    })
  )

  test(
    "reloads a page that another site linked to, so that the browser sends the cookie",
    Effect.gen(function*() {
      const { ask, get } = yield* open
      const { path } = yield* ask("patient/*.rs")
      const bounce = yield* get(path, { "sec-fetch-site": "cross-site" })
      assertSound(bounce)
      assert.strictEqual(bounce.status, 200)
      assert.include(bounce.body, `<meta http-equiv="refresh" content="0; url=${path}">`)
      assert.include(bounce.body, `<a href="${path}">Continue</a>`)
      const again = yield* get(path, { "sec-fetch-site": "same-origin" })
      assert.strictEqual(again.location, `/login?${new URLSearchParams({ next: path }).toString()}`)
    })
  )

  test(
    "lists all patients for a clinician, and the own record for a patient",
    Effect.gen(function*() {
      const { get, signIn } = yield* open
      yield* signIn()
      const all = yield* get("/")
      assertSound(all)
      for (const name of ["Ruth Okafor", "Mateo Villanueva", "Mei Chau"]) assert.include(all.body, `${name}</a>`)
      assert.include(all.body, "<option value=\"growth\">Growth chart</option>")
      assert.include(
        all.headers["content-security-policy"],
        "form-action 'self' http://localhost:8000 http://localhost:8001;"
      )
      yield* signIn("Patient/patient-beta")
      const own = yield* get("/")
      assert.include(own.body, "My record")
      assert.include(own.body, "Mateo Villanueva</a>")
      assert.notInclude(own.body, "Ruth Okafor")
      assert.strictEqual((yield* get("/chart/patient-beta")).status, 200)
      assert.strictEqual((yield* get("/chart/patient-alpha")).status, 404)
    })
  )

  test(
    "launches an app in a tab, and in a frame of the record that may contain only that app and this EHR",
    Effect.gen(function*() {
      const { ask, ehr, get, post, signIn } = yield* open
      yield* signIn()
      const launched = yield* post("/launch", { app: "growth", patient: "patient-gamma", place: "tab" })
      assert.strictEqual(launched.status, 303)
      const url = new URL(launched.location)
      assert.strictEqual(`${url.origin}${url.pathname}`, `${app}/launch`)
      assert.strictEqual(url.searchParams.get("iss"), ehr.fhirBaseUrl)
      const { ticket } = yield* ask("launch patient/*.rs", { launch: url.searchParams.get("launch") ?? "" })
      assert.deepInclude((yield* ehr.consent(ticket)).launch, {
        patient: "patient-gamma",
        user: "Practitioner/practitioner-one"
      })
      const other = new URL((yield* post("/launch", { app: "evil", patient: "patient-gamma" })).location)
      assert.strictEqual(other.searchParams.get("tenant"), "1")

      const toChart = yield* post("/launch", { app: "growth", patient: "patient-alpha", place: "chart" })
      assert.strictEqual(toChart.location, "/chart/patient-alpha?app=growth")
      const chart = yield* get(toChart.location)
      assertSound(chart)
      assert.match(
        chart.body,
        /<iframe [^>]*title="Growth chart" src="http:\/\/localhost:8000\/launch\?iss=[^"]+&amp;launch=[^"]+"/
      )
      assert.include(chart.headers["content-security-policy"], "frame-src 'self' http://localhost:8000;")
      assert.include(chart.headers["content-security-policy"], "frame-ancestors 'none'")

      const plain = yield* get("/chart/patient-alpha")
      assertSound(plain)
      assert.include(plain.body, "Hypertensive disorder")
      assert.include(plain.body, "127/81 mmHg")
      assert.include(plain.body, "Allergy to penicillin (high)")
      assert.include(plain.body, "Annual review, influenza vaccination")
      assert.notInclude(plain.body, "<iframe")
      for (
        const [path, fields] of [
          ["/launch", { app: "nothing", patient: "patient-alpha" }],
          ["/launch", { app: "growth", patient: "unknown" }]
        ] as const
      ) assert.include([400, 404], (yield* post(path, fields)).status)
      assert.strictEqual((yield* get("/chart/unknown")).status, 404)
      assert.strictEqual((yield* get("/chart/patient-alpha?app=nothing")).status, 404)
    })
  )

  test(
    "explains each scope, and asks for a patient if the app needs one",
    Effect.gen(function*() {
      const { ask, get, signIn } = yield* open
      yield* signIn()
      const { path } = yield* ask(
        "openid fhirUser launch/patient offline_access patient/Observation.rs?category=vital-signs user/Condition.read patient/*.cruds system/Patient.r"
      )
      const page = yield* get(path)
      assertSound(page)
      assert.include(page.body, "<h1>Growth chart requests access</h1>")
      for (
        const words of [
          "Know who you are",
          "See your user entry",
          "Know the patient",
          "Keep access after you leave",
          "Read and search the patient&#39;s Observations",
          "Only where category is “vital-signs”.",
          "Read and search all Conditions that you may see",
          "Read, search, create, change and delete the patient&#39;s whole record",
          "Changes the record"
        ]
      ) assert.include(page.body, words)
      assert.match(page.body, /Requested, and not supported here: <code>system\/Patient\.r<\/code>/)
      assert.lengthOf(page.body.match(/type="checkbox"/g) ?? [], 7)
      assert.lengthOf(page.body.match(/type="radio"/g) ?? [], 4)
      const policy = page.headers["content-security-policy"]
      assert.include(policy, `form-action 'self' ${app};`)
      assert.include(policy, "frame-ancestors 'self'")
      assert.strictEqual(page.headers["cross-origin-opener-policy"], "unsafe-none")
    })
  )

  test(
    "[SMART-53] grants the selected scopes for the chosen patient, or denies; two clicks count as one",
    Effect.gen(function*() {
      const { ask, ehr, exchange, get, post, signIn } = yield* open
      yield* signIn()
      const { path, ticket } = yield* ask("openid fhirUser offline_access patient/*.rs patient/Observation.c")
      const decision: ReadonlyArray<readonly [string, string]> = [
        ["ticket", ticket],
        ["scope", "openid"],
        ["scope", "fhirUser"],
        ["scope", "patient/*.rs"],
        ["scope", "patient/*.cruds"],
        ["patient", "patient-beta"],
        ["decision", "allow"]
      ]
      const [first, second] = yield* Effect.all([post("/consent", decision), post("/consent", decision)], {
        concurrency: 2
      })
      assert.strictEqual(first.status, 303)
      assert.isTrue(first.location.startsWith(`${redirectUri}?code=`))
      assert.strictEqual(second.location, first.location)
      const tokens = yield* exchange(first.location)
      assert.deepInclude(tokens, { status: 200, scope: "openid fhirUser patient/*.rs", patient: "patient-beta" })
      assert.lengthOf(yield* ehr.access, 1)
      const reloaded = yield* get(path)
      assertSound(reloaded)
      assert.strictEqual(reloaded.status, 410)

      const denied = yield* ask("patient/*.rs")
      const no = yield* post("/consent", { ticket: denied.ticket, decision: "deny", scope: "patient/*.rs" })
      assert.strictEqual(new URL(no.location).searchParams.get("error"), "access_denied")
      // Yes after no is a no.
      const late = yield* post("/consent", { ticket: denied.ticket, decision: "allow", scope: "patient/*.rs" })
      assert.strictEqual(late.location, no.location)
      assert.strictEqual((yield* post("/consent", { ticket: "made-up", decision: "allow" })).status, 410)
    })
  )

  test(
    "asks again if no scope is selected, or no patient is chosen",
    Effect.gen(function*() {
      const { ask, ehr, exchange, post, signIn } = yield* open
      yield* signIn()
      const { ticket } = yield* ask("openid fhirUser patient/*.rs")
      const nothing = yield* post("/consent", { ticket, decision: "allow", patient: "patient-beta", scope: "fhirUser" })
      assertSound(nothing)
      assert.strictEqual(nothing.status, 400)
      assert.match(nothing.body, /role="alert">\s*<strong>Select at least one permission/)
      const noPatient = yield* post("/consent", { ticket, decision: "allow", scope: "patient/*.rs" })
      assert.include(noPatient.body, "Choose a patient.")
      assert.match(noPatient.body, /value="patient\/\*\.rs" checked/)
      assert.notMatch(noPatient.body, /value="openid" checked/)
      const unknown = yield* post("/consent", { ticket, decision: "allow", scope: "patient/*.rs", patient: "unknown" })
      assert.strictEqual(unknown.status, 400)
      assert.deepStrictEqual(yield* ehr.access, [])
      const good = yield* post("/consent", {
        ticket,
        decision: "allow",
        scope: "patient/*.rs",
        patient: "patient-gamma"
      })
      assert.deepInclude(yield* exchange(good.location), { patient: "patient-gamma" })
    })
  )

  test(
    "a patient can give access to their own record only",
    Effect.gen(function*() {
      const { ask, ehr, exchange, get, post, signIn } = yield* open
      yield* signIn("Patient/patient-beta")
      const { path, ticket } = yield* ask("launch/patient patient/*.rs")
      const page = yield* get(path)
      assert.include(page.body, "The access is to your own record.")
      assert.include(page.body, "Read and search your whole record")
      assert.notInclude(page.body, "type=\"radio\"")
      const yes = yield* post("/consent", {
        ticket,
        decision: "allow",
        scope: "patient/*.rs",
        patient: "patient-alpha"
      })
      assert.deepInclude(yield* exchange(yes.location), { patient: "patient-beta" })

      const { launch } = yield* ehr.launch({ patient: "patient-alpha" })
      const foreign = yield* ask("launch patient/*.rs", { launch })
      assert.strictEqual((yield* get(foreign.path)).status, 403)
      const tried = yield* post("/consent", { ticket: foreign.ticket, decision: "allow", scope: "patient/*.rs" })
      assert.strictEqual(tried.status, 403)
      assert.lengthOf(yield* ehr.access, 1)
    })
  )

  test(
    "redirects a user who was signed out meanwhile to the login, then back to the consent",
    Effect.gen(function*() {
      const { ask, post, signIn } = yield* open
      const { path, ticket } = yield* ask("patient/*.rs")
      const { location } = yield* post("/consent", { ticket, decision: "allow", scope: "patient/*.rs" })
      assert.strictEqual(location, `/login?${new URLSearchParams({ next: path }).toString()}`)
      assert.strictEqual((yield* signIn("Practitioner/practitioner-one", path)).location, path)
    })
  )

  test(
    "shows which app has access, and revokes it",
    Effect.gen(function*() {
      const { ask, ehr, exchange, get, post, signIn } = yield* open
      yield* signIn()
      assert.include((yield* get("/access")).body, "No app has access")
      const { ticket } = yield* ask("offline_access patient/*.rs")
      const yes = yield* post("/consent", [
        ["ticket", ticket],
        ["decision", "allow"],
        ["scope", "offline_access"],
        ["scope", "patient/*.rs"],
        ["patient", "patient-beta"]
      ])
      const tokens = yield* exchange(yes.location)
      const page = yield* get("/access")
      assertSound(page)
      for (
        const words of ["Growth chart", "Dr. Ingrid Halvorsen", "Mateo Villanueva", "Has access", "Revoke access"]
      ) {
        assert.include(page.body, words)
      }
      for (const issued of yield* ehr.issued) assert.notInclude(page.body, issued)
      const access = hidden(page.body, "access")

      // Another patient does not see this access and cannot end it.
      yield* signIn("Patient/patient-alpha")
      assert.notInclude((yield* get("/access")).body, "Growth chart")
      assert.strictEqual((yield* post("/access/revoke", { access })).status, 404)
      // One's own record: seen, though a clinician allowed it.
      yield* signIn("Patient/patient-beta")
      assert.include((yield* get("/access")).body, "Growth chart")
      assert.strictEqual((yield* post("/access/revoke", { access })).location, "/access?revoked")
      assert.strictEqual((yield* post("/access/revoke", { access })).location, "/access?revoked")
      const after = yield* get("/access?revoked")
      assert.include(after.body, "Access was revoked.")
      assert.include(after.body, "Revoked")
      assert.notInclude(after.body, "name=\"access\"")
      const refused = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-beta`, {
        authorization: `Bearer ${String(tokens["access_token"])}`
      })
      assert.strictEqual(refused.status, 401)
      // This site replaces the sandbox's own page for access, which does not ask for a sign-in.
      assert.strictEqual((yield* get(ehr.endpoints.management)).location, "/access")
    })
  )

  test(
    "adds one fault for each click, and removes it",
    Effect.gen(function*() {
      const { ehr, get, post, signIn } = yield* open
      yield* signIn()
      const page = yield* get("/faults")
      assertSound(page)
      assert.include(page.body, "No faults are pending.")
      const once = hidden(page.body, "once")
      const trouble = { once, trouble: "discovery-503", times: "2" }
      yield* Effect.all([post("/faults/trouble", trouble), post("/faults/trouble", trouble)], { concurrency: 2 })
      const [waiting, ...others] = yield* ehr.pendingFaults
      assert.deepInclude(waiting, { step: "discovery", remaining: 2 })
      assert.isEmpty(others)
      const discover = Effect.map(get(ehr.endpoints.smartConfiguration), ({ status }) => status)
      assert.strictEqual(yield* discover, 503)
      assert.include((yield* get("/faults")).body, "Busy: 503")
      yield* post("/faults/remove", { fault: waiting?.id ?? "" })
      yield* post("/faults/remove", { fault: waiting?.id ?? "" })
      assert.strictEqual(yield* discover, 200)
      // Faults that a program switched on have names, too.
      const { Fault } = SandboxEhr
      yield* ehr.fault("fhir", Fault.all(Fault.delay("2 seconds"), Fault.status(502)), Infinity)
      yield* ehr.fault("jwks", Fault.omit("keys"))
      const named = yield* get("/faults")
      for (const words of ["2 s late, Status 502", "until switched off", "Other members than there should be"]) {
        assert.include(named.body, words)
      }
      yield* post("/faults/clear", {})
      assert.strictEqual((yield* post("/faults/trouble", { once: "new", trouble: "nothing" })).status, 400)

      yield* post("/faults/add", { once: "always", step: "discovery", kind: "html", times: "always" })
      assert.deepInclude((yield* ehr.pendingFaults)[0], { remaining: Infinity })
      yield* post("/faults/clear", {})
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
    })
  )

  test(
    "offers each kind of fault at each step",
    Effect.gen(function*() {
      const { ehr, get, post, signIn } = yield* open
      yield* signIn()
      let count = 0
      const met = (fields: Readonly<Record<string, string>>) =>
        Effect.gen(function*() {
          const added = yield* post("/faults/add", { once: `key-${count++}`, step: "discovery", times: "1", ...fields })
          assert.strictEqual(added.status, 303, added.body)
          return yield* get(ehr.endpoints.smartConfiguration)
        })
      const teapot = yield* met({ kind: "status", status: "418", body: "short and stout", headers: "X-Kind: teapot" })
      assert.deepInclude(teapot, { status: 418, body: "short and stout" })
      assert.strictEqual(teapot.headers["x-kind"], "teapot")
      assert.deepInclude(JSON.parse((yield* met({ kind: "oauth", error: "slow_down" })).body), { error: "slow_down" })
      assert.strictEqual(
        (yield* met({ kind: "redirect", location: "https://elsewhere.example/x" })).location,
        "https://elsewhere.example/x"
      )
      assert.include((yield* met({ kind: "html" })).body, "sign in")
      assert.include((yield* met({ kind: "not-json" })).body, "not json")
      assert.strictEqual((yield* met({ kind: "oversize", megabytes: "1" })).body.length, 1024 * 1024)
      assert.deepInclude(yield* met({ kind: "empty", acted: "yes" }), { status: 200, body: "" })
      assert.isTrue((yield* Effect.exit(met({ kind: "drop" })))._tag === "Failure")
      assert.notProperty(JSON.parse((yield* met({ kind: "omit", members: "issuer, capabilities" })).body), "issuer")
      assert.deepInclude(JSON.parse((yield* met({ kind: "set", members: "{\"issuer\": 7}" })).body), { issuer: 7 })
      assert.isUndefined((yield* met({ kind: "headers", headers: "Content-Type: text/odd\nETag" })).headers["etag"])
      for (const [fields, status] of [[{ kind: "status", status: "500" }, 500], [{ kind: "delay" }, 200]] as const) {
        const [took, late] = yield* Effect.timed(met({ ...fields, seconds: "1" }))
        assert.strictEqual(late.status, status)
        assert.isAtLeast(Duration.toMillis(took), 950)
      }

      for (
        const fields of [
          { kind: "status", status: "99" },
          { kind: "status", status: "many" },
          { kind: "status", headers: "no header: \u0001" },
          { kind: "delay", seconds: "-1" },
          { kind: "redirect", location: "javascript:alert(1)" },
          { kind: "oversize", megabytes: "100000" },
          { kind: "omit", members: " " },
          { kind: "set", members: "[1]" },
          { kind: "headers" },
          { kind: hostile },
          { kind: "html", step: hostile }
        ]
      ) {
        const refused = yield* post("/faults/add", { once: `key-${count++}`, step: "token", ...fields })
        assert.strictEqual(refused.status, 400, JSON.stringify(fields))
        assert.include(refused.body, "No fault was added.")
        assertSound(refused)
      }
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
    })
  )

  test(
    "can be unavailable and available as a whole",
    Effect.gen(function*() {
      const { ehr, get, post, signIn } = yield* open
      yield* signIn()
      yield* post("/faults/add", { once: "a", step: "fhir", kind: "html", times: "5" })
      yield* post("/faults/power", { power: "down" })
      yield* post("/faults/power", { power: "down" })
      const steps = [
        ehr.endpoints.smartConfiguration,
        ehr.endpoints.authorization,
        ehr.endpoints.jwks,
        `${ehr.fhirBaseUrl}/Patient`
      ]
      for (const url of steps) assert.strictEqual((yield* get(url)).status, 503, url)
      assert.include((yield* get("/faults")).body, "Bring the EHR up")
      yield* post("/faults/power", { power: "up" })
      yield* post("/faults/power", { power: "up" })
      assert.strictEqual((yield* get(ehr.endpoints.smartConfiguration)).status, 200)
      // What was to go wrong then goes wrong now.
      assert.deepStrictEqual((yield* ehr.pendingFaults).map(({ remaining: left, step }) => [step, left]), [["fhir", 5]])
      yield* post("/faults/power", { power: "down" })
      yield* post("/faults/add", { once: "b", step: "token", kind: "empty" })
      assert.include((yield* get("/faults")).body, "An empty response")
      yield* post("/faults/clear", {})
      assert.strictEqual((yield* get(ehr.endpoints.smartConfiguration)).status, 200)
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
    })
  )

  test(
    "logs the requests by step, without secrets",
    Effect.gen(function*() {
      const { ask, ehr, exchange, get, post, signIn } = yield* open
      yield* signIn()
      const { ticket } = yield* ask("openid offline_access patient/*.rs")
      const yes = yield* post("/consent", [
        ["ticket", ticket],
        ["decision", "allow"],
        ["scope", "patient/*.rs"],
        ["scope", "offline_access"],
        ["patient", "patient-alpha"]
      ])
      const tokens = yield* exchange(yes.location)
      yield* get(`${ehr.fhirBaseUrl}/Observation?category=vital-signs&x=${secret}`, {
        authorization: `Bearer ${String(tokens["access_token"])}`
      })
      yield* post(ehr.endpoints.token, { grant_type: "client_credentials", client_secret: secret, code: hostile }, {
        authorization: `Basic ${btoa(`${hostile}:${secret}`)}`
      })
      const log = yield* get("/log")
      assertSound(log)
      for (
        const words of [
          "POST /auth/token",
          "authorization_code",
          "GET /fhir/Observation",
          "<code>vital-signs</code>",
          "access token",
          "secret in the header",
          "<code>code_verifier</code> (hidden)"
        ]
      ) assert.include(log.body, words)
      assert.match(log.body, /\d+ ms/)
      for (const text of [secret, btoa(`${hostile}:${secret}`), verifier, challenge, state, ...(yield* ehr.issued)]) {
        assert.notInclude(log.body, text)
      }
      const some = yield* get("/log?step=fhir")
      assert.include(some.body, "GET /fhir/Observation")
      assert.notInclude(some.body, "POST /auth/token")
      assert.strictEqual((yield* get(`/log?step=${encodeURIComponent(hostile)}`)).status, 200)
      yield* ehr.fault("fhir", SandboxEhr.Fault.drop)
      yield* Effect.exit(get(`${ehr.fhirBaseUrl}/Patient`))
      assert.include((yield* get("/log")).body, "connection failed")
      assert.strictEqual((yield* post("/log/clear", {})).location, "/log")
      assert.include((yield* get("/log")).body, "No requests yet.")
    })
  )

  test(
    "lists the registered clients, without secrets",
    Effect.gen(function*() {
      const { ehr, get, signIn } = yield* open
      yield* signIn()
      const page = yield* get("/clients")
      assertSound(page)
      for (const words of ["growth-chart", "Public: PKCE only", "key-one", "ES384", redirectUri]) {
        assert.include(page.body, words)
      }
      assert.notInclude(page.body, secret)
      yield* ehr.register({
        clientId: "late",
        name: "Latecomer",
        redirectUris: [],
        authentication: { method: "client_secret_post", secret: Redacted.make(secret) }
      })
      const later = yield* get("/clients")
      assert.include(later.body, "Latecomer")
      assert.notInclude(later.body, secret)
    })
  )

  test(
    "shows HTML in every field as text",
    Effect.gen(function*() {
      const { ask, ehr, get, post, signIn } = yield* open
      yield* signIn()
      const { path, ticket } = yield* ask("openid patient/*.rs", { client_id: hostile })
      const consent = yield* get(path)
      const yes = yield* post("/consent", {
        ticket,
        decision: "allow",
        scope: "patient/*.rs",
        patient: "patient-hostile"
      })
      assert.strictEqual(yes.status, 303)
      yield* get(`${ehr.fhirBaseUrl}/${encodeURI(hostile)}?scope=${encodeURIComponent(hostile)}`)
      yield* post("/faults/add", { once: hostile, step: "jwks", kind: "oauth", error: hostile })
      const sent = yield* post("/faults/add", {
        once: "x",
        step: "jwks",
        kind: "set",
        members: hostile,
        body: `</textarea>${hostile}`,
        error: hostile
      })
      const pages = yield* Effect.forEach([
        "/",
        "/chart/patient-hostile",
        "/chart/patient-hostile?app=evil",
        "/access",
        "/clients",
        "/faults",
        "/log",
        `/login?next=${encodeURIComponent(`/${hostile}`)}`,
        `/chart/${encodeURIComponent(hostile)}`,
        `/consent?ticket=${encodeURIComponent(hostile)}`,
        `/nowhere/${encodeURIComponent(hostile)}`
      ], (address) => get(address))
      for (const page of [consent, sent, ...pages]) {
        assertSound(page)
        assert.notMatch(page.body, /<script>|<img|<\/textarea>\s*<script|alert\(1\)[^&]*<\/script>/)
      }
      for (const page of [consent, sent, ...pages.slice(0, 7)]) assert.include(page.body, "&lt;script&gt;alert(1)")
    })
  )

  test(
    "responds with a page for an unknown path",
    Effect.gen(function*() {
      const { get, post, signIn } = yield* open
      const nowhere = yield* get("/nowhere")
      assert.strictEqual(nowhere.status, 404)
      assertSound(nowhere)
      yield* signIn()
      assert.strictEqual((yield* post("/access", {})).status, 404)
      assert.strictEqual((yield* post("/log/clear", {}, { origin: "", "content-type": "text/plain" })).status, 403)
      assert.include((yield* get("/assets/style.css")).headers["content-type"], "text/css")
      assert.include((yield* get("/assets/ui.js")).headers["content-type"], "text/javascript")
    })
  )

  test(
    "has twelve vital signs of each kind for two patients",
    Effect.sync(() => {
      for (const patient of ["patient-alpha", "patient-beta"]) {
        const own = EhrSite.vitals.filter(({ subject }) => JSON.stringify(subject).includes(`Patient/${patient}"`))
        for (const code of ["85354-9", "8867-4", "29463-7", "8310-5"]) {
          const kind = own.filter((observation) => JSON.stringify(observation["code"]).includes(`"${code}"`))
          assert.lengthOf(kind, 12)
          assert.strictEqual(new Set(kind.map((observation) => observation["effectiveDateTime"])).size, 12)
        }
      }
      const ids = EhrSite.resources.map(({ id, resourceType }) => `${resourceType}/${id}`)
      assert.strictEqual(new Set(ids).size, ids.length)
    })
  )
})
