/**
 * No output shows a code, verifier, state, token or client secret, even when a step fails. A new case is one line in
 * one of the tables.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { ClientAuthentication, FhirClient, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as ConformanceWarning from "../../src/base/ConformanceWarning.js"
import * as HttpLimits from "../../src/http/HttpLimits.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import type { Callback } from "../../src/launch/AuthorizationCallback.js"
import { encodings, leak, observe } from "../support/canary.js"

const { Fault } = SandboxEhr

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "openid", "fhirUser", "offline_access"]
}
const withoutIdentity = ["launch/patient", "patient/*.rs", "offline_access"]
const secret = Redacted.make("canary:cl1ent/secret+with=odd&chars")

/** The three kinds of client that authenticate without a key; those with one are in test/client. */
const clients = {
  public: ["sandbox-public-app", ClientAuthentication.layerPublic, { method: "none" }],
  basic: [
    "https://app.sandbox.test/id",
    ClientAuthentication.layerClientSecretBasic({ clientSecret: secret }),
    { method: "client_secret_basic", secret }
  ],
  post: [
    "sandbox-post-app",
    ClientAuthentication.layerClientSecretPost({ clientSecret: secret }),
    { method: "client_secret_post", secret }
  ]
} as const

type Kind = keyof typeof clients

const world = (kind: Kind) => {
  const [clientId, authentication, registered] = clients[kind]
  return Layer.mergeAll(SmartClient.layer({ ...config, clientId }), FhirClient.layer).pipe(
    Layer.provide(authentication),
    Layer.provideMerge(
      SandboxEhr.layerHttpClient({
        clients: [{ clientId, redirectUris: ["https://app.sandbox.test/callback"], authentication: registered }]
      })
    ),
    Layer.provideMerge(Layer.mergeAll(ConformanceWarning.layer, RetryPolicy.layer(Schedule.recurs(2))))
  )
}

type Stage = "authorize" | "callback" | "exchange" | "read" | "refresh" | "introspect" | "revoke"
const sandboxStep = {
  authorize: "discovery",
  callback: "authorize",
  exchange: "token",
  read: "fhir",
  refresh: "token",
  introspect: "introspect",
  revoke: "revoke"
} as const satisfies Record<Stage, string>

/** What goes wrong, told the secrets that the server was sent, as one text and as a list. */
type Wrong = (echo: string, secrets: ReadonlyArray<string>) => SandboxEhr.Fault.Fault

const inEveryEncoding = (text: string): string => Object.values(encodings).map((encode) => encode(text)).join(" ")

const wrongs: Readonly<Record<string, Wrong>> = {
  "every encoding in a description": (_, secrets) =>
    Fault.oauthError("invalid_grant", { description: secrets.map(inEveryEncoding).join(" ") }),
  "every encoding in an error code": (_, secrets) => Fault.oauthError(secrets.map(inEveryEncoding).join(" ")),
  "every encoding in an OperationOutcome": (_, secrets) => {
    const echo = secrets.map(inEveryEncoding).join(" ")
    return Fault.status(403, {
      contentType: "application/fhir+json",
      body: JSON.stringify({
        resourceType: "OperationOutcome",
        issue: [{ severity: echo, code: echo, diagnostics: echo, details: { text: echo }, expression: [echo] }]
      })
    })
  },
  "every encoding in a token type": (_, secrets) =>
    Fault.mutate((members) => ({
      ...members,
      token_type: [...secrets, String(members["refresh_token"])].map(inEveryEncoding).join(" ")
    })),
  "what was sent, as a token type": (echo) => Fault.mutate((members) => ({ ...members, token_type: echo })),
  "the refresh token as a token type": () =>
    Fault.mutate((members) => ({ ...members, token_type: members["refresh_token"] })),
  "a content type that quotes": (_, secrets) =>
    Fault.status(200, { contentType: `x/${secrets.join("+").replace(/[^\w.+-]/g, "")}`, body: "<html>" }),
  "a content type of a refusal that quotes": (_, secrets) =>
    Fault.status(400, { contentType: `${secrets.join("+").replace(/[^\w.+-]/g, "")}/x`, body: "" }),
  "members that are named after what was sent": (_, secrets) =>
    Fault.mutate(() => Object.fromEntries(secrets.flatMap((one) => [[one, 1], [inEveryEncoding(one), 1]]))),
  "a redirect whose host quotes": (_, secrets) =>
    Fault.redirect(`https://${secrets.map((one) => one.replace(/[^a-z0-9-]/gi, "")).join(".")}.evil.test/`),

  "400 that quotes": (echo) => Fault.oauthError("invalid_grant", { description: `you sent ${echo}` }),
  "401 that quotes": (echo) => Fault.oauthError("invalid_client", { description: echo, status: 401 }),
  "503 that quotes": (echo) => Fault.oauthError("temporarily_unavailable", { description: echo, status: 503 }),
  "500 with a dump": (echo) => Fault.status(500, { body: echo }),
  "an error code that quotes": (echo) => Fault.oauthError(echo),
  "a form that quotes": (echo) =>
    Fault.status(400, {
      body: new URLSearchParams({ error: "e", error_description: echo, error_uri: echo }).toString()
    }),
  "a challenge that quotes": (_, secrets) =>
    Fault.status(401, {
      body: "<html>",
      headers: {
        "www-authenticate": `Bearer error="invalid_token", error_description="${
          secrets.map(encodeURIComponent).join(" ")
        }"`
      }
    }),
  "an OperationOutcome that quotes": (echo) =>
    Fault.status(403, {
      contentType: "application/fhir+json",
      body: JSON.stringify({
        resourceType: "OperationOutcome",
        issue: [{ severity: echo, code: echo, diagnostics: echo, details: { text: echo } }]
      })
    }),
  "a web page that quotes": (echo) => Fault.html({ body: `<html>${echo}` }),
  "no JSON that quotes": (echo) => Fault.notJson({ body: `{${echo}`, processed: true }),
  "a redirect that quotes": (_, secrets) =>
    Fault.redirect(`https://evil.test/${secrets.map(encodeURIComponent).join("/")}?${secrets.join("&")}`),
  "429 asking for an hour": () => Fault.status(429, { headers: { "retry-after": "3600" } }),
  "a dropped connection": () => Fault.drop,
  "a lost response": () => Fault.lostResponse,
  "nothing": () => Fault.emptyBody({ processed: true }),
  "too much": () => Fault.oversize(2 * 1024 * 1024),
  "tokens under other names": () =>
    Fault.mutate((members) => ({
      accessToken: members["access_token"],
      refreshToken: members["refresh_token"],
      code: members["code"]
    })),
  "tokens and an error that quotes them": () =>
    Fault.mutate((members) => ({
      ...members,
      error: "odd",
      error_description: `${String(members["access_token"])} ${String(members["refresh_token"])}`
    })),
  "tokens of the wrong type": () =>
    Fault.mutate((members) => ({
      ...members,
      access_token: [members["access_token"]],
      id_token: { x: members["id_token"] }
    })),
  "a token type that is the token": () =>
    Fault.mutate((members) => ({ ...members, token_type: members["access_token"], active: members["access_token"] })),
  "tokens in extensions": () =>
    Fault.mutate((members) => ({
      ...members,
      copy: members["access_token"],
      nested: [{ x: members["refresh_token"] }]
    })),
  "an array of tokens": () => Fault.mutate((members) => [members]),
  "sloppy members": () =>
    Fault.mutate(({ expires_in: _, scope: __, token_type: ___, ...members }) => ({ ...members, fhirContext: ["X/1"] })),
  "what was sent, in extensions": (echo, secrets) =>
    Fault.mutate((members) => ({ ...members, active: true, echo, list: secrets }))
}

/** What comes back to the redirect URI, made of what should have. */
const hostileCallbacks: Readonly<Record<string, (callback: URL, state: string) => Callback>> = {
  "another state": (url) => with_(url, { state: "canary-another-state" }),
  "no state": (url) => with_(url, { state: undefined }),
  "an error that quotes": (url, state) =>
    with_(url, { error: state, error_description: url.href, error_uri: url.href }),
  "an error with the code beside it": (url) => with_(url, { error: "access_denied", error_description: url.search }),
  "another issuer that quotes": (url) => with_(url, { iss: `https://evil.test/${url.search}` }),
  "no issuer": (url) => with_(url, { iss: undefined }),
  "two codes, one quoted": (url) =>
    `${url.href}&code=canary-second-code&error_description=canary-second-code%20${url.searchParams.get("code") ?? ""}`,
  "two states": (url) => `${url.href}&state=canary-another-state&error_uri=canary-another-state`,
  "no code": (url) => with_(url, { code: undefined }),
  "a code that the server did not issue": (url) => with_(url, { code: "canary-another-code" }),
  "the code alone": (url) => url.searchParams.get("code") ?? "",
  "nested parameters": (url) => ({ code: { x: url.searchParams.get("code") }, state: url.href }) as unknown as Callback
}

const with_ = (url: URL, changes: Readonly<Record<string, string | undefined>>): URL => {
  const changed = new URL(url)
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) changed.searchParams.delete(name)
    else changed.searchParams.set(name, value)
  }
  return changed
}

/** The whole walk with something wrong at one stage; the secrets there were, and all that was shown. */
const walk = (
  options: {
    readonly stage?: Stage | undefined
    readonly wrong?: Wrong | undefined
    readonly callback?: ((callback: URL, state: string) => Callback) | undefined
    readonly kind?: Kind | undefined
  } = {}
) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const known = new Set([Redacted.value(secret), "canary-second-code", "canary-another-state", "canary-another-code"])
    yield* ehr.clearFaults
    yield* client.invalidate
    const issuedBefore = (yield* ehr.issued).length
    const ours = options.kind === "public" ? undefined : secret

    /** One step, with what it shows the server. */
    const stage = <A, E, R>(
      name: Stage,
      run: Effect.Effect<A, E, R>,
      sent: ReadonlyArray<Redacted.Redacted | undefined>
    ) =>
      Effect.gen(function*() {
        const secrets = sent.flatMap((one) => one === undefined ? [] : [Redacted.value(one)])
        for (const one of secrets) known.add(one)
        if (name !== options.stage || options.wrong === undefined) return yield* run
        yield* ehr.fault(sandboxStep[name], options.wrong(secrets.join(" "), secrets), Infinity)
        return yield* Effect.ensuring(run, ehr.clearFaults)
      })

    const program = Effect.gen(function*() {
      const { pending, url } = yield* stage(
        "authorize",
        // Signing and verifying an id_token takes the most time of a walk.
        client.authorize(
          options.stage === undefined || options.stage === "exchange" ? {} : { scopes: withoutIdentity }
        ),
        []
      )
      const back = yield* stage("callback", ehr.approve(url), [pending.state, pending.nonce])
      const code = Redacted.make(back.searchParams.get("code") ?? "")
      const given = options.callback?.(back, Redacted.value(pending.state)) ?? back
      const tokens = yield* stage("exchange", client.exchange(given, pending), [code, pending.verifier, ours])
      const read = fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "x")
      const patient = yield* stage("read", read, [tokens.accessToken])
      const renewed = yield* stage("refresh", client.refresh(tokens), [tokens.refreshToken, ours])
      const introspected = yield* stage(
        "introspect",
        client.introspect(renewed.accessToken, {
          authorization: options.kind === "public" ? renewed.accessToken : "client"
        }),
        [renewed.accessToken, ours]
      )
      yield* stage("revoke", client.revoke(renewed.accessToken), [renewed.accessToken, ours])
      return { pending, tokens, patient: patient.resourceType, renewed, introspected }
    })
    const { exit, shown } = yield* observe(program)
    return {
      exit,
      leaked: leak(shown(), [...known, ...(yield* ehr.issued).slice(issuedBefore)]),
      length: shown().length
    }
  })

describe("canary", () => {
  for (const kind of ["public", "basic", "post"] as const) {
    it.live(`no secret leaks in a successful launch: a ${kind} client`, () =>
      Effect.gen(function*() {
        const { exit, leaked, length } = yield* walk({ kind })
        assert.isTrue(Exit.isSuccess(exit), JSON.stringify(exit))
        assert.isUndefined(leaked)
        assert.isAbove(length, 1_000)
      }).pipe(Effect.provide(world(kind))))
  }

  const kindsAt: Readonly<Record<Stage, ReadonlyArray<Kind>>> = {
    authorize: ["public"],
    callback: ["public"],
    exchange: ["public", "basic", "post"],
    read: ["public"],
    refresh: ["public", "basic"],
    introspect: ["public", "basic"],
    revoke: ["basic"]
  }
  for (const [stage, kinds] of Record.toEntries(kindsAt)) {
    for (const kind of kinds) {
      it.live(`no secret leaks after any fault at ${stage}: a ${kind} client`, () =>
        Effect.gen(function*() {
          for (const [name, wrong] of Object.entries(wrongs)) {
            const { exit, leaked } = yield* walk({ stage, wrong, kind })
            assert.isUndefined(leaked, name)
            assert.isTrue(
              Exit.isSuccess(exit) || exit.cause._tag === "Fail",
              `a defect: ${name} ${JSON.stringify(exit)}`
            )
          }
        }).pipe(Effect.provide(world(kind))))
    }
  }

  it.live("no secret leaks when a server does not respond at any step", () =>
    Effect.gen(function*() {
      for (const stage of ["authorize", "exchange", "read", "refresh", "introspect", "revoke"] as const) {
        const { exit, leaked } = yield* walk({ stage, wrong: () => Fault.delay("1 hour"), kind: "public" }).pipe(
          RetryPolicy.withPolicy(RetryPolicy.none),
          Effect.provide(HttpLimits.layer({ discoveryTimeout: 300, tokenTimeout: 300, fhirTimeout: 300 }))
        )
        assert.include(JSON.stringify(exit), "TimedOut", stage)
        assert.isUndefined(leaked, stage)
      }
    }).pipe(Effect.provide(world("public"))))

  it.live("no secret leaks from a hostile callback", () =>
    Effect.gen(function*() {
      for (const [name, callback] of Object.entries(hostileCallbacks)) {
        const { exit, leaked } = yield* walk({ callback, kind: "public" })
        assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail", name)
        assert.isUndefined(leaked, name)
      }
    }).pipe(Effect.provide(world("public"))))

  it.effect("no secret leaks from an invalid configuration", () =>
    Effect.gen(function*() {
      const url = "https://user:canary-passw0rd@ehr.sandbox.test/fhir"
      for (
        const changes of [
          { fhirBaseUrl: url },
          { fhirBaseUrl: "https://ehr.sandbox.test/fhir?key=canary-passw0rd" },
          { redirectUri: "http://canary-passw0rd@app.sandbox.test/" },
          { redirectUri: "https://app.sandbox.test/#canary-passw0rd" }
        ]
      ) {
        const { exit, shown } = yield* observe(
          Effect.scoped(Layer.build(SmartClient.layer({ ...config, ...changes }))).pipe(
            Effect.provide(ClientAuthentication.layerPublic)
          )
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.isUndefined(leak(shown(), ["canary-passw0rd"]))
      }
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("the canary detector", () => {
  class Leaky extends Data.TaggedError("Leaky")<{ readonly detail: string }> {}
  const bird = "canary-t0ken"
  it.effect.each([
    ["a log", Effect.log(bird)],
    ["an annotation", Effect.annotateLogs(Effect.logTrace("x"), "x", bird)],
    ["a value in a log", Effect.log({ deep: { deeper: [bird] } })],
    ["a span's name", Effect.withSpan(Effect.void, bird)],
    ["a span's attribute", Effect.withSpan(Effect.annotateCurrentSpan("x", bird), "x")],
    ["an error's field", new Leaky({ detail: bird })],
    ["a defect", Effect.die(new Error(bird))],
    ["a cause", Effect.die(new Error("x", { cause: bird }))],
    ["a success", Effect.succeed({ a: new Map([["x", bird]]) })],
    ["an encoded spelling", Effect.log(Buffer.from(bird).toString("base64"))]
  ] as ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]>)(
    "detects %s",
    ([, program]) =>
      Effect.gen(function*() {
        const { shown } = yield* observe(program)
        assert.isDefined(leak(shown(), [bird]))
        const clean = yield* observe(Effect.log(Redacted.make(bird)))
        assert.isUndefined(leak(clean.shown(), [bird]))
      })
  )
})
