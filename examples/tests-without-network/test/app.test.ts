/**
 * Tests of a program without a network, waits or mocks of this library: only the `HttpClient` is replaced.
 * `npx vitest run --dir examples/tests-without-network`.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { Sessions } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { AppLive, summary } from "../app.js"

/** An EHR in memory replaces the network. Each test has its own. */
const TestLive = Layer.provideMerge(AppLive, SandboxEhr.layerHttpClient({ accessTokenLifetime: "1 hour" }))

const login = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const sessions = yield* Sessions.Sessions
  const { url } = yield* sessions.startLaunch()
  return yield* sessions.completeLaunch(yield* ehr.approve(url, { patient: "patient-beta" }))
})

describe("the summary", () => {
  it.effect("is of the patient that was chosen", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* summary(yield* login), "patient-beta: 1 conditions")
    }).pipe(Effect.provide(TestLive)))

  it.effect("is there on the next day, too: an hour passes in no time", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const session = yield* login
      yield* TestClock.adjust("1 day")
      assert.strictEqual(yield* summary(session), "patient-beta: 1 conditions")
      const grants = (yield* ehr.requests).flatMap(({ form }) => form["grant_type"] ?? [])
      assert.deepStrictEqual(grants, ["authorization_code", "refresh_token"])
    }).pipe(Effect.provide(TestLive)))

  it.effect("says so when the server is slow", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const session = yield* login
      yield* ehr.fault("fhir", SandboxEhr.Fault.delay("1 minute"))
      const line = yield* Effect.fork(summary(session))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(line), "the record is slow today")
    }).pipe(Effect.provide(TestLive)))

  it.effect("says so when the server answers with a web page", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const session = yield* login
      yield* ehr.fault("fhir", SandboxEhr.Fault.html())
      assert.strictEqual(yield* summary(session), "the record cannot be read (NotFhir)")
    }).pipe(Effect.provide(TestLive)))

  it.effect("asks for a new login when the server has ended the grant", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const session = yield* login
      yield* Effect.forEach(yield* ehr.issued, (token) => ehr.revoke(token))
      yield* TestClock.adjust("1 day")
      assert.strictEqual(yield* summary(session), "please log in again")
    }).pipe(Effect.provide(TestLive)))

  it.effect("needs no EHR at all where none is to be reached", () => {
    const Offline = Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request) => new HttpClientError.RequestError({ request, reason: "Transport" }))
    )
    return Effect.gen(function*() {
      const begun = yield* Effect.fork(
        Effect.flip(Effect.flatMap(Sessions.Sessions, (sessions) => sessions.startLaunch()))
      )
      // The request is retried.
      yield* TestClock.adjust("1 minute")
      assert.propertyVal(yield* Fiber.join(begun), "reason", "Unreachable")
    }).pipe(Effect.provide(Layer.provide(AppLive, Offline)))
  })
})
