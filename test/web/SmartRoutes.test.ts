import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { ClientAuthentication, SigningKey, SigningKeys, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { SmartRoutes } from "effect-safire/web"
import * as jose from "jose"
import { ORIGIN, start, withPassingMinutes } from "../support/webApp.js"

const secret = Redacted.make("a secret of 24 characters")

const keyed = Effect.promise(async () => {
  const { privateKey, publicKey } = await jose.generateKeyPair("ES384", { extractable: true })
  const named = { kid: "the-key", alg: "ES384" }
  return {
    jwk: { ...(await jose.exportJWK(privateKey)), ...named },
    jwks: { keys: [{ ...(await jose.exportJWK(publicKey)), ...named }] }
  }
})

const kinds: ReadonlyArray<
  readonly [
    string,
    Effect.Effect<{
      readonly registered: SandboxEhr.Client["authentication"]
      readonly layer: Layer.Layer<ClientAuthentication.ClientAuthentication>
    }>
  ]
> = [
  ["public", Effect.succeed({ registered: { method: "none" }, layer: ClientAuthentication.layerPublic })],
  [
    "confidential symmetric",
    Effect.succeed({
      registered: { method: "client_secret_basic", secret },
      layer: ClientAuthentication.layerClientSecretBasic({ clientSecret: secret })
    })
  ],
  [
    "confidential asymmetric",
    Effect.map(keyed, ({ jwk, jwks }) => ({
      registered: { method: "private_key_jwt", jwks },
      layer: ClientAuthentication.layerPrivateKeyJwt().pipe(
        Layer.provide(SigningKeys.layerJwk({ jwk: Redacted.make(JSON.stringify(jwk)) })),
        Layer.orDie
      )
    }))
  ]
]

const { Fault } = SandboxEhr

describe("SmartRoutes", () => {
  it.scoped.each(kinds)(
    "EHR launch and standalone launch of a client that is %s",
    ([, kind]) =>
      Effect.gen(function*() {
        const { layer, registered } = yield* kind
        const { browser, ehr, walk } = yield* start({
          authentication: layer,
          client: { clientId: "the-app" },
          ehr: { clients: [{ clientId: "the-app", redirectUris: [`${ORIGIN}/callback`], authentication: registered }] }
        })
        const { iss, launch } = yield* ehr.launch({ patient: "patient-beta" })
        const fromEhr = yield* walk(browser(), `/launch?${new URLSearchParams({ iss, launch }).toString()}`)
        assert.strictEqual(fromEhr.page.body, "patient patient-beta log out at /logout")
        const standalone = yield* walk(browser(), "/launch", { patient: "patient-alpha" })
        assert.strictEqual(standalone.page.body, "patient patient-alpha log out at /logout")
      })
  )

  it.scoped("[SMART-7] sets a session cookie and a launch cookie with a random id, `Secure` and `HttpOnly`; no cookie has a token", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const { begun, done } = yield* walk(browser(), "/launch")
      assert.strictEqual(begun.cookies.length, 1)
      assert.match(
        begun.cookies[0] ?? "",
        /^__Host-launch-[\w-]{22}=[\w.-]+; Max-Age=1800; Path=\/; HttpOnly; Secure; SameSite=None$/
      )
      assert.strictEqual(done.cookies.length, 2)
      assert.match(
        done.cookies.find((line) => line.startsWith("__Host-session=")) ?? "",
        /^__Host-session=[\w-]{40,}; Path=\/; HttpOnly; Secure; SameSite=Lax$/
      )
      assert.match(
        done.cookies.find((line) => line.startsWith("__Host-launch-")) ?? "",
        /; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=None$/
      )
    }))

  it.scoped("embedded in an EHR, its cookies are partitioned, and only that EHR may frame it", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start({ web: { embeddedBy: ["https://ehr.sandbox.test"] } })
      const { begun, done, page } = yield* walk(browser(), "/launch")
      for (const line of [...begun.cookies, ...done.cookies]) {
        assert.match(line, /Partitioned/)
        assert.match(line, /SameSite=None/)
      }
      assert.include(
        page.headers.get("content-security-policy") ?? "",
        "frame-ancestors 'self' https://ehr.sandbox.test"
      )
      const alone = yield* start()
      const shown = yield* alone.walk(alone.browser(), "/launch")
      for (const { headers } of [shown.begun, shown.done, shown.page]) {
        assert.include(headers.get("content-security-policy") ?? "", "frame-ancestors 'none'")
      }
    }))

  it.scoped("accepts a callback by POST from the EHR's site", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const who = browser()
      const begun = yield* who.go("/launch")
      const callback = yield* ehr.approve(begun.location)
      const done = yield* who.go("/callback", { form: callback.searchParams, from: "elsewhere" })
      assert.strictEqual(done.status, 303)
      assert.strictEqual(done.location, `${ORIGIN}/patient`)
      assert.include((yield* who.go(done.location)).body, "patient patient-alpha")
    }))

  it.scoped("a form that is too large or malformed is a callback without a state", () =>
    Effect.gen(function*() {
      const { browser } = yield* start()
      const large = yield* browser().go("/callback", { form: { code: "x".repeat(70_000) } })
      const json = yield* browser().go("/callback", { body: { type: "application/json", text: "{}" } })
      assert.deepStrictEqual([large.status, json.status], [400, 400])
    }))

  it.scoped("`server` in the launch URL chooses one of two registrations at one server", () =>
    Effect.gen(function*() {
      const clients = ["sandbox-public-app", "for-patients"].map((clientId) => ({
        clientId,
        redirectUris: [`${ORIGIN}/callback`],
        authentication: { method: "none" } satisfies SandboxEhr.Client["authentication"]
      }))
      const { browser, ehr, walk } = yield* start({
        ehr: { clients },
        servers: {
          patients: {
            fhirBaseUrl: "https://ehr.sandbox.test/fhir",
            clientId: "for-patients",
            scopes: ["patient/*.rs"],
            redirectUri: `${ORIGIN}/callback`,
            authentication: ClientAuthentication.layerPublic
          },
          elsewhere: {
            fhirBaseUrl: "https://elsewhere.sandbox.test/fhir",
            clientId: "x",
            redirectUri: `${ORIGIN}/callback`,
            authentication: ClientAuthentication.layerPublic
          }
        }
      })
      const launchUrl = (server?: string) =>
        Effect.map(
          ehr.launch({ patient: "patient-beta" }),
          (parameters) =>
            `/launch?${new URLSearchParams({ ...parameters, ...(server === undefined ? {} : { server }) }).toString()}`
        )
      const { begun, page } = yield* walk(browser(), yield* launchUrl("patients"))
      assert.strictEqual(new URL(begun.location).searchParams.get("client_id"), "for-patients")
      assert.include(page.body, "patient patient-beta")
      for (const server of [undefined, "elsewhere", "nowhere"]) {
        assert.strictEqual((yield* browser().go(yield* launchUrl(server))).status, 400, server)
      }
    }))

  it.scoped("redirects to the return path within the app", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start()
      const { done } = yield* walk(browser(), "/launch?return=%2Fpatient%3Ftab%3D2%23vitals")
      assert.strictEqual(done.location, `${ORIGIN}/patient?tab=2#vitals`)
    }))

  it.scoped("a callback delivered twice, by a double click or a reload, gives one session", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start()
      const who = browser()
      const callback = yield* ehr.approve((yield* who.go("/launch")).location)
      yield* ehr.clearRequests
      const [one, other] = yield* Effect.all([who.go(callback), who.go(callback)], { concurrency: 2 })
      const session = who.jar().get("__Host-session")
      const later = yield* who.go(callback)
      assert.deepStrictEqual([one.status, other.status, later.status], [303, 303, 303])
      assert.strictEqual(who.jar().get("__Host-session"), session)
      const requests = yield* ehr.requests
      assert.strictEqual(requests.filter(({ step }) => step === "token").length, 1)
    }))

  it.scoped("concurrent launches have their own sessions, cookies and paths", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start({ web: { afterLogin: "/sessions/:session/patient" } })
      const who = browser()
      const launched = (patient: string) =>
        Effect.flatMap(
          ehr.launch({ patient }),
          (parameters) => who.go(`/launch?${new URLSearchParams({ ...parameters }).toString()}`)
        )
      const [alpha, beta] = [yield* launched("patient-alpha"), yield* launched("patient-beta")]
      const second = yield* who.go(yield* ehr.approve(beta.location), { from: "elsewhere" })
      const first = yield* who.go(yield* ehr.approve(alpha.location), { from: "elsewhere" })
      assert.notStrictEqual(first.location, second.location)
      assert.include((yield* who.go(first.location)).body, "patient patient-alpha")
      assert.include((yield* who.go(second.location)).body, "patient patient-beta")

      const logout = /log out at (\S+)/.exec((yield* who.go(first.location)).body)?.[1] ?? ""
      assert.strictEqual((yield* who.go(logout, { method: "POST", from: "app" })).location, `${ORIGIN}/`)
      assert.strictEqual((yield* who.go(first.location)).status, 401)
      assert.include((yield* who.go(second.location)).body, "patient patient-beta")

      const stranger = browser()
      yield* walk(stranger, "/launch")
      assert.strictEqual((yield* stranger.go(second.location)).status, 401)
    }))

  it.scoped("a browser has at most twelve launches and twenty sessions: the oldest are removed", () =>
    Effect.gen(function*() {
      const { browser, walk } = yield* start({ web: { afterLogin: "/sessions/:session/patient" } })
      const who = browser()
      const first = yield* walk(who, "/launch")
      for (let count = 0; count < 24; count++) yield* walk(who, "/launch")
      const names = Array.from(who.jar().keys())
      assert.strictEqual(names.filter((name) => name.startsWith("__Host-session-")).length, 20)
      assert.isAtMost(names.filter((name) => name.startsWith("__Host-launch-")).length, 12)
      assert.strictEqual((yield* who.go(first.done.location)).status, 401)
    }))

  it.scoped("a logout removes session and cookie and revokes the token", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      yield* walk(who, "/launch")
      const stolen = who.jar().get("__Host-session") ?? ""
      const out = yield* who.go("/logout", { method: "POST", from: "app" })
      assert.strictEqual(out.location, `${ORIGIN}/`)
      assert.isFalse(who.jar().has("__Host-session"))
      who.plant("__Host-session", stolen)
      const after = yield* who.go("/patient")
      assert.strictEqual(after.status, 401)
      assert.include(after.body, "You are signed out")
      assert.isNotEmpty((yield* ehr.requests).filter(({ step }) => step === "revoke"))
      // Once more, as a double click does.
      assert.strictEqual((yield* who.go("/logout", { method: "POST", from: "app" })).location, `${ORIGIN}/`)
    }))

  it.scoped("`endServerSession` also logs out at the server", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start({ web: { endServerSession: true } })
      const who = browser()
      yield* ehr.fault(
        "openid",
        Fault.mutate((members) => ({ ...members, end_session_endpoint: "https://ehr.sandbox.test/logout" })),
        20
      )
      yield* walk(who, "/launch")
      const { location } = yield* who.go("/logout", { method: "POST", from: "app" })
      assert.strictEqual(new URL(location).pathname, "/logout")
      assert.strictEqual(new URL(location).hostname, "ehr.sandbox.test")
      assert.strictEqual(new URL(location).searchParams.get("post_logout_redirect_uri"), `${ORIGIN}/`)
    }))

  it.scoped("a user who denies access gets a page with a link to start again", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      const who = browser()
      const begun = yield* who.go("/launch?return=%2Fpatient")
      const refused = yield* who.go(yield* ehr.deny(begun.location), { from: "elsewhere" })
      assert.strictEqual(refused.status, 403)
      assert.include(refused.body, "Access was not given")
      const again = /<a href="([^"]+)">Start again/.exec(refused.body)?.[1]?.replaceAll("&amp;", "&") ?? ""
      assert.include((yield* walk(who, again)).page.body, "patient patient-alpha")
    }))

  it.scoped("an EHR that is down at the start of a launch is `ServerUnavailable`", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start()
      yield* ehr.fault("discovery", Fault.status(503), 20)
      const down = yield* withPassingMinutes(browser().go("/launch"))
      assert.strictEqual(down.status, 503)
      assert.include(down.body, "is not available")
      yield* ehr.clearFaults
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* walk(browser(), "/launch")).page.status, 200)
    }))

  it.scoped("an EHR that is busy when the code is exchanged: the same URL works a minute later", () =>
    Effect.gen(function*() {
      const { browser, ehr } = yield* start({ ehr: { codeLifetime: "10 minutes" } })
      const who = browser()
      const callback = yield* ehr.approve((yield* who.go("/launch")).location)
      yield* ehr.fault("token", Fault.status(429), 20)
      const busy = yield* withPassingMinutes(who.go(callback))
      assert.strictEqual(busy.status, 503)
      yield* ehr.clearFaults
      const done = yield* who.go(callback)
      assert.strictEqual(done.location, `${ORIGIN}/patient`)
    }))

  it.scoped("uses a form if `onLaunch` chooses POST: [SMART-50] [SMART-52] [SMART-133]", () =>
    Effect.gen(function*() {
      const { browser } = yield* start({ web: { onLaunch: () => Effect.succeed({ method: "POST" }) } })
      const page = yield* browser().go("/launch")
      assert.strictEqual(page.status, 200)
      assert.match(page.body, /<form method="post" action="https:\/\/ehr\.sandbox\.test\/[\w/]+"/)
      assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'.*script-src 'sha256-/)
      assert.strictEqual(page.headers.get("cache-control"), "no-store")
    }))

  it.scoped("`onLaunch` chooses scopes, parameters and state", () =>
    Effect.gen(function*() {
      const { browser, sessions, walk } = yield* start({
        web: {
          onLaunch: ({ params, server }) =>
            Effect.succeed({
              scopes: ["launch/patient", "patient/Observation.rs"],
              appState: `${server} ${params.get("tab")}`
            })
        }
      })
      const who = browser()
      const { begun } = yield* walk(who, "/launch?tab=vitals")
      assert.strictEqual(new URL(begun.location).searchParams.get("scope"), "launch/patient patient/Observation.rs")
      const { appState } = yield* sessions.session(Redacted.make(who.jar().get("__Host-session") ?? ""))
      assert.strictEqual(appState, "hospital vitals")
    }))

  it.scoped("a redirect URI without a route is `AppFailed`", () =>
    Effect.gen(function*() {
      const { browser } = yield* start({ client: { redirectUri: "https://elsewhere.example/callback" } })
      const page = yield* browser().go("/launch")
      assert.strictEqual(page.status, 500)
      assert.include(page.body, "The app has a problem")
    }))

  it.scoped("each server has its own redirect URI: for GET, for POST, and with a query", () =>
    Effect.gen(function*() {
      for (const path of ["/callback/hospital", "/back-from-hospital", "/callback?server=hospital", "/a/b/c/"]) {
        const redirectUri = `${ORIGIN}${path}`
        const { browser, ehr, walk } = yield* start({
          client: { redirectUri },
          ehr: {
            clients: [{
              clientId: "sandbox-public-app",
              redirectUris: [redirectUri],
              authentication: { method: "none" }
            }]
          }
        })
        const { callback, page } = yield* walk(browser(), "/launch")
        assert.strictEqual(callback.pathname, new URL(redirectUri).pathname)
        assert.include(page.body, "patient patient-alpha")

        const who = browser()
        const begun = yield* who.go("/launch")
        const { searchParams } = yield* ehr.approve(begun.location)
        searchParams.delete("server")
        const posted = yield* who.go(redirectUri, { form: searchParams, from: "elsewhere" })
        assert.strictEqual(posted.location, `${ORIGIN}/patient`)

        const elsewhere = browser()
        const other = yield* ehr.approve((yield* elsewhere.go("/launch")).location)
        other.pathname = "/callback/other"
        assert.strictEqual((yield* elsewhere.go(other, { from: "elsewhere" })).status, 400)
      }
    }))

  it.scoped("a server that is added later needs a redirect URI below the callback path", () =>
    Effect.gen(function*() {
      const redirectUri = `${ORIGIN}/callback/added`
      const { browser, ehr, services, walk } = yield* start({
        ehr: {
          clients: [{ clientId: "sandbox-public-app", redirectUris: [redirectUri], authentication: { method: "none" } }]
        }
      })
      const servers = Context.get(services, SmartServers.SmartServers)
      const added = {
        fhirBaseUrl: ehr.fhirBaseUrl,
        clientId: "sandbox-public-app",
        redirectUri,
        scopes: ["launch/patient", "patient/*.rs"],
        authentication: ClientAuthentication.makePublic
      }
      yield* servers.add("added", added)
      assert.include((yield* walk(browser(), "/launch?server=added")).page.body, "patient patient-alpha")
      for (const path of ["/elsewhere", "/callback/a/b", "/", "/launch", "/logout"]) {
        yield* servers.add("added", { ...added, redirectUri: `${ORIGIN}${path}` })
        assert.strictEqual((yield* browser().go("/launch?server=added")).status, 500, path)
      }
    }))

  it.scoped("an app below a path has its routes, return paths and callback below it", () =>
    Effect.gen(function*() {
      const redirectUri = `${ORIGIN}/vitals/callback`
      const { browser, walk } = yield* start({
        web: { baseUrl: `${ORIGIN}/vitals` },
        client: { redirectUri },
        ehr: {
          clients: [{ clientId: "sandbox-public-app", redirectUris: [redirectUri], authentication: { method: "none" } }]
        }
      })
      const { done, page } = yield* walk(browser(), "/vitals/launch")
      assert.strictEqual(done.location, `${ORIGIN}/vitals/patient`)
      assert.include(page.body, "log out at /vitals/logout")
      const outside = yield* walk(browser(), "/vitals/launch?return=%2Fother-app")
      assert.strictEqual(outside.done.location, `${ORIGIN}/vitals/patient`)
      assert.strictEqual((yield* browser().go("/launch")).status, 404)
    }))

  it.scoped("publishes only the public keys, with `max-age`: [SMART-303]", () =>
    Effect.gen(function*() {
      const { jwk } = yield* keyed
      const keys = SigningKeys.layerJwk({ jwk: Redacted.make(JSON.stringify(jwk)) })
      const { browser } = yield* start({ routes: SmartRoutes.layerJwks().pipe(Layer.provide(Layer.orDie(keys))) })
      const { body, headers, status } = yield* browser().go("/.well-known/jwks.json")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers.get("content-type"), "application/json")
      assert.strictEqual(headers.get("cache-control"), "public, max-age=300")
      const published = JSON.parse(body)
      assert.strictEqual(published.keys[0].kid, "the-key")
      assert.notInclude(body, jwk.d ?? "none")
    }))

  it.scoped("with `KeyRotation`, `max-age` is at most that of the rotation: [SMART-303]", () =>
    Effect.gen(function*() {
      const { jwk } = yield* keyed
      const [key] = yield* SigningKey.fromJwk({ jwk: Redacted.make(JSON.stringify(jwk)) })
      assert.isTrue(key !== undefined && SigningKey.isSigningKey(key))
      if (key === undefined || !SigningKey.isSigningKey(key)) return
      const rotating = SigningKeys.layerRotating({ key, maxAge: "2 minutes" })
      const { browser } = yield* start({ routes: SmartRoutes.layerJwks().pipe(Layer.provide(Layer.orDie(rotating))) })
      const { headers } = yield* browser().go("/.well-known/jwks.json")
      assert.strictEqual(headers.get("cache-control"), "public, max-age=120")
    }))

  it.scoped("a client that does not accept HTML gets problem+json", () =>
    Effect.gen(function*() {
      const { browser } = yield* start()
      const answer = yield* browser().go("/patient", { headers: { accept: "application/json" } })
      assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
      const problem = JSON.parse(answer.body)
      assert.strictEqual(problem.status, 401)
      assert.strictEqual(problem.kind, "SignedOut")
      assert.match(problem.reference, /^[0-9a-f]{10}$/)
    }))

  it.scoped("a session whose tokens cannot be renewed is `SignedOut`", () =>
    Effect.gen(function*() {
      const { browser, ehr, walk } = yield* start({ ehr: { accessTokenLifetime: "5 minutes" } })
      const who = browser()
      yield* walk(who, "/launch")
      yield* TestClock.adjust("4 minutes")
      const renewed = yield* who.go("/patient")
      assert.strictEqual(renewed.status, 200)
      for (const token of yield* ehr.issued) yield* Effect.ignore(ehr.revoke(token))
      yield* TestClock.adjust("10 minutes")
      const over = yield* who.go("/patient")
      assert.strictEqual(over.status, 401)
      assert.include(over.body, "Start the app again to continue.")
    }))
})
