import { inspect } from "node:util"
import * as UrlParams from "@effect/platform/UrlParams"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import * as AuthorizationCallback from "../../src/launch/AuthorizationCallback.js"
import { AuthorizationError } from "../../src/launch/AuthorizationError.js"
import { PendingAuthorization } from "../../src/launch/PendingAuthorization.js"

const state = "s7a7e-0123456789-abcdefghijklmnopqrstuvwxyz"
const code = "c0de-0123456789"
const issuer = "https://auth.example"
const createdAt = DateTime.unsafeMake("2026-01-05T12:00:00Z")

const pendingWith = (changes: Partial<ConstructorParameters<typeof PendingAuthorization>[0]> = {}) =>
  new PendingAuthorization({
    version: 1,
    server: "https://ehr.example/fhir",
    fhirBaseUrl: "https://ehr.example/fhir",
    authorizationEndpoint: "https://auth.example/authorize",
    tokenEndpoint: "https://auth.example/token",
    state: Redacted.make(state),
    verifier: Redacted.make("verifier"),
    redirectUri: "https://app.example/callback",
    scopes: ["patient/*.rs"],
    issuer,
    issuerPromised: false,
    createdAt,
    ...changes
  })

const judge = (
  callback: AuthorizationCallback.Callback,
  pending = pendingWith(),
  now = DateTime.add(createdAt, { minutes: 1 })
) =>
  Either.flatMap(
    AuthorizationCallback.validate(callback, pending, { now, maxAge: "30 minutes" }),
    ({ result, iss }) => Either.map(result, (code) => ({ code, iss }))
  )

const query = (params: Readonly<Record<string, string>>) => new URLSearchParams(params)

const codeOf = (judged: ReturnType<typeof judge>): string =>
  Either.match(judged, { onLeft: ({ reason }) => `refused: ${reason}`, onRight: ({ code }) => Redacted.value(code) })

const refusal = (judged: ReturnType<typeof judge>): AuthorizationError =>
  Either.match(judged, { onLeft: (error) => error, onRight: () => assert.fail("the callback was accepted") })

describe("AuthorizationError", () => {
  it("shows the server's text, as unverified unless it belongs to the launch", () => {
    const messageOf = (reason: AuthorizationError["reason"], error?: string) =>
      new AuthorizationError({ reason, server: "ehr", detail: "it", ...(error === undefined ? {} : { error }) }).message
    for (const reason of ["AccessDenied", "InvalidIdentityProvider", "Refused"] as const) {
      assert.include(messageOf(reason, "e"), `Authorization at ehr failed (${reason}): it: e; `)
      assert.include(messageOf(reason), `Authorization at ehr failed (${reason}): it; `)
    }
    assert.include(messageOf("StateMismatch", "e"), "Authorization at ehr failed (StateMismatch): it (unverified: e); ")
    assert.include(messageOf("StateMismatch"), "Authorization at ehr failed (StateMismatch): it; ")
  })
})

describe("the state of a callback", () => {
  it("is returned for the look-up of its launch, from each form that a framework uses", () => {
    const stateOf = (callback: unknown) =>
      Either.match(AuthorizationCallback.stateOf(callback as AuthorizationCallback.Callback), {
        onLeft: ({ reason }) => reason,
        onRight: Redacted.value
      })
    for (const callback of [`?state=${state}`, `state=${state}`, { state }, [["state", state], ["x", "y"]]]) {
      assert.strictEqual(stateOf(callback), state)
    }
    for (const callback of [[[7, state]], [["state", 7]], [["state"]], [state], { state: { a: "b" } }]) {
      assert.strictEqual(stateOf(callback), "NotACallback")
    }
    for (const callback of [{ code }, { state: "" }]) assert.strictEqual(stateOf(callback), "StateMissing")
    for (const callback of [{ state: [state, state] }, [["code", "1"], ["state", state], ["code", "2"]]]) {
      assert.strictEqual(stateOf(callback), "DuplicateParameter")
    }
    // Other parameters may be repeated.
    assert.strictEqual(stateOf([["x", "1"], ["x", "2"], ["state", state]]), state)
  })

  it("the text of an error is dropped if a parameter occurs so often that the text may repeat one of its values", () => {
    const pairs = ["a", "b", "c"].map((value) => ["code", `${value}-secret-code`] as const)
    const shown = (count: number) =>
      refusal(judge([...pairs.slice(0, count), ["state", state], ["error", "x c-secret-code"]])).error
    assert.strictEqual(shown(2), "x c-secret-code")
    assert.isUndefined(shown(3))
    const others = ["1", "2", "3"].map((value) => ["other", value] as const)
    assert.strictEqual(refusal(judge([...others, ["state", state], ["error", "e"]])).error, "e")
  })
})

describe("AuthorizationCallback, hostile", () => {
  // 300,000 copies of a list that grows by one are 45 billion elements.
  it("refuses parameters that are repeated 300,000 times, in linear time", () => {
    const names = ["code", "state", "iss", "error", "error_description"]
    const pairs = Array.from({ length: 300_000 }, (_, index) => [names[index % 5] ?? "", `value-${index}`] as const)
    const error = refusal(judge([...pairs, ["state", state]]))
    assert.strictEqual(error.reason, "DuplicateParameter")
    assert.strictEqual(Either.getLeft(AuthorizationCallback.stateOf(pairs))._tag, "Some")
  }, 15_000)

  it("does not show a description that may contain a code", () => {
    const codes = Array.from({ length: 20 }, (_, index) => ["code", `${code}-${index}`] as const)
    const words = [["error", "invalid"], ["error_description", `not ${code}-17`]] as const
    const error = refusal(judge([["state", state], ...codes, ...words]))
    assert.strictEqual(error.reason, "DuplicateParameter")
    assert.notInclude(inspect(error), code)
  })
})

describe("AuthorizationCallback, accepted forms", () => {
  const search = `code=${code}&state=${state}`
  it.each<[string, AuthorizationCallback.Callback]>([
    ["a URL", new URL(`https://app.example/callback?${search}`)],
    ["the text of a URL", `https://app.example/callback?${search}`],
    ["a URL with a fragment", `https://app.example/callback?${search}#_=_`],
    ["a request line's path and query", `/callback?${search}`],
    ["a path with an equals sign", `/call=back?${search}`],
    ["a query with its mark", `?${search}`],
    ["a query", search],
    ["a query that holds question marks", `extra=what?&${search}&more=what?`],
    ["a query with a question mark between its parameters", `code=${code}&x=what?&state=${state}`],
    ["a query with a slash and a question mark", `code=${code}&x=/what?&state=${state}`],
    ["a relative path and a query", `callback?${search}`],
    ["a path and a query that holds question marks", `/callback?${search}&more=what?`],
    ["URLSearchParams", new URLSearchParams(search)],
    ["UrlParams of @effect/platform", UrlParams.fromInput({ code, state })],
    ["pairs", [["code", code], ["state", state]] as const],
    ["a Map", new Map([["code", code], ["state", state]])],
    ["the fields of a form", { code, state }],
    ["fields with lists of one", { code: [code], state: [state], other: undefined }],
    ["fields without a prototype", Object.assign(Object.create(null) as Record<string, string>, { code, state })],
    ["other parameters beside", `${search}&session_state=x&x=1&x=2`]
  ])("[SMART-4] %s", (_, callback) => assert.strictEqual(codeOf(judge(callback)), code))

  it.each<[string, AuthorizationCallback.Callback]>([
    ["nothing", ""],
    ["a bare code", code],
    ["a URL without a query", "https://app.example/callback"],
    ["no text at all", "\u0000"]
  ])("%s is not a callback", (_, callback) => {
    assert.include(["NotACallback", "StateMissing"], refusal(judge(callback)).reason)
  })

  it("accepts a redirect URI with an equals sign in its path", () => {
    const redirectUri = "https://app.example/call=back"
    assert.strictEqual(codeOf(judge(`${redirectUri}?${search}`, pendingWith({ redirectUri }))), code)
  })

  it("ignores parameters in the fragment", () => {
    assert.strictEqual(refusal(judge(`https://app.example/callback#${search}`)).reason, "NotACallback")
    assert.strictEqual(refusal(judge(`https://app.example/callback?x=1#${search}`)).reason, "StateMissing")
    assert.strictEqual(refusal(judge(new URL(`https://app.example/callback#${search}`))).reason, "StateMissing")
  })

  it("refuses nested parameters of a framework without a defect", () => {
    const nested: ReadonlyArray<unknown> = [
      { code, state: { a: "b" } },
      { code: { $ne: "" }, state },
      { code: [{}], state },
      { code: 1, state },
      { code: null, state },
      { code, state, iss: { x: "y" } },
      { code, state, error: { x: "y" } },
      { code, state, iss: [["https://auth.example"]] },
      [["code", code], ["state", 1]],
      [1, 2],
      [null],
      ["co", "st"],
      [[]],
      new Map<unknown, unknown>([[{}, {}]])
    ]
    for (const callback of nested) {
      const reason = refusal(judge(callback as AuthorizationCallback.Callback)).reason
      assert.include(["NotACallback", "StateMissing"], reason, inspect(callback))
    }
  })
})

describe("AuthorizationCallback.validate", () => {
  const good = { code, state, iss: issuer }
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))

  it.each<[string, Record<string, string>, AuthorizationError["reason"]]>([
    ["[SMART-4] no state", without("state"), "StateMissing"],
    ["[SMART-4] an empty state", { ...good, state: "" }, "StateMissing"],
    ["[SMART-60] another state", { ...good, state: "other" }, "StateMismatch"],
    ["[SMART-60] the state in capitals", { ...good, state: state.toUpperCase() }, "StateMismatch"],
    ["[SMART-60] the state and more", { ...good, state: `${state}x` }, "StateMismatch"],
    ["[SMART-60] part of the state", { ...good, state: state.slice(0, -1) }, "StateMismatch"],
    ["[SMART-60] the state with a blank", { ...good, state: ` ${state}` }, "StateMismatch"],
    ["neither code nor error", without("code"), "CodeMissing"],
    ["an empty code", { ...good, code: "" }, "CodeMissing"],
    ["another issuer", { ...good, iss: "https://evil.example" }, "IssuerMismatch"],
    ["the issuer with a slash", { ...good, iss: `${issuer}/` }, "IssuerMismatch"],
    ["the issuer in capitals", { ...good, iss: issuer.toUpperCase() }, "IssuerMismatch"],
    ["an empty issuer", { ...good, iss: "" }, "IssuerMismatch"],
    ["code and error both", { ...good, error: "access_denied" }, "AccessDenied"],
    ["an empty error beside a code", { ...good, error: "" }, "Refused"]
  ])("%s: %s", (_, params, reason) => assert.strictEqual(refusal(judge(query(params))).reason, reason))

  it.each([
    ["invalid_request", "Refused"],
    ["unauthorized_client", "Refused"],
    ["access_denied", "AccessDenied"],
    ["invalid_idp", "InvalidIdentityProvider"],
    ["unsupported_response_type", "Refused"],
    ["invalid_scope", "Refused"],
    ["server_error", "Refused"],
    ["temporarily_unavailable", "Refused"],
    ["login_required", "Refused"],
    ["https://vendor.example/odd error", "Refused"]
  ])("[SMART-53] error %s is %s, with the server's description", (error, reason) => {
    const refused = refusal(
      judge(query({ state, error, error_description: "the words", error_uri: "https://auth.example/e/1" }))
    )
    assert.strictEqual(refused.reason, reason)
    assert.strictEqual(refused.error, error)
    assert.strictEqual(refused.errorDescription, "the words")
    assert.strictEqual(refused.errorUri, "https://auth.example/e/1")
    assert.include(refused.message, `${error} — the words — https://auth.example/e/1`)
    assert.isFalse(refused.isRetryable)
  })

  it("keeps the error_uri of an error without a description", () => {
    const uri = "https://authorization.cerner.com/errors/urn%3Acerner%3Aerror%3Ainvalid-launch-code"
    assert.strictEqual(refusal(judge(query({ state, error: "invalid_request", error_uri: uri }))).errorUri, uri)
  })

  it("[SMART-60] marks the text of an error with the wrong state as unverified", () => {
    for (const params of [{ state: "forged", error: "access_denied" }, { error: "access_denied" }]) {
      const error = refusal(judge(query({ ...params, error_description: "call 555-0100" })))
      assert.include(["StateMismatch", "StateMissing"], error.reason)
      assert.include(error.message, "(unverified: access_denied — call 555-0100)")
    }
  })

  it.each(["code", "state", "error", "error_description", "error_uri", "iss"])(
    "refuses a repeated %s, also with the same value, before other checks",
    (name) => {
      const params = query({ ...good, error: "e", error_description: "d", error_uri: "u" })
      params.append(name, params.get(name) ?? "")
      const error = refusal(judge(params))
      assert.strictEqual(error.reason, "DuplicateParameter")
      assert.include(error.message, name)
      assert.strictEqual(refusal(judge({ state, code, iss: issuer, [name]: ["a", "b"] })).reason, "DuplicateParameter")
    }
  )

  it("RFC 9207: metadata and the configured issuer decide whether an iss is required and valid", () => {
    const outcome = (params: Record<string, string>, changes: Parameters<typeof pendingWith>[0]) =>
      Either.match(judge(query(params), pendingWith(changes)), {
        onLeft: ({ reason }) => reason,
        onRight: ({ iss }) => iss === undefined ? "accepted" : `accepted from ${iss}`
      })
    const withIss = { code, state, iss: issuer }
    const withoutIss = { code, state }
    assert.strictEqual(outcome(withIss, { issuerPromised: true }), `accepted from ${issuer}`)
    assert.strictEqual(outcome(withoutIss, { issuerPromised: true }), "IssuerMissing")
    assert.strictEqual(outcome(withoutIss, { issuerPromised: false }), "accepted")
    assert.strictEqual(outcome(withIss, { issuer: undefined }), `accepted from ${issuer}`)
    assert.strictEqual(outcome(withoutIss, { issuer: undefined }), "accepted")
    assert.strictEqual(outcome(withoutIss, { issuer: undefined, issuerPromised: true }), "IssuerMissing")
    assert.strictEqual(outcome({ state, error: "access_denied" }, { issuerPromised: true }), "IssuerMissing")
    assert.strictEqual(outcome({ state, error: "access_denied", iss: "https://evil.example" }, {}), "IssuerMismatch")
  })

  it.each<[string, string, string, "accepted" | "WrongRedirectUri"]>([
    ["the same address", "https://app.example/cb", "https://app.example/cb", "accepted"],
    ["http behind a proxy that ends TLS", "https://app.example/cb", "http://app.example/cb", "accepted"],
    ["a slash at the end", "https://app.example/cb", "https://app.example/cb/", "accepted"],
    ["an app's own scheme", "org.example.app:/cb", "org.example.app:/cb", "accepted"],
    ["a redirect URI with parameters", "https://app.example/cb?to=a%20b", "https://app.example/cb?to=a+b", "accepted"],
    ["a path without a host", "https://app.example/cb", "/internal/cb", "accepted"],
    ["a host without a scheme", "http://localhost:3000/cb", "localhost:3000/cb", "accepted"],
    ["another path", "https://app.example/cb", "https://app.example/cb/south", "WrongRedirectUri"],
    ["another host", "https://app.example/cb", "https://south.example/cb", "WrongRedirectUri"],
    ["another port", "http://localhost:3000/cb", "http://localhost:3001/cb", "WrongRedirectUri"],
    ["another scheme", "org.example.app:/cb", "org.example.other:/cb", "WrongRedirectUri"],
    ["other parameters", "https://app.example/cb?to=north", "https://app.example/cb?to=south", "WrongRedirectUri"],
    ["no parameters", "https://app.example/cb?to=north", "https://app.example/cb", "WrongRedirectUri"]
  ])("[SMART-4] compares the redirect URI (RFC 9700, section 4.4.2.2): %s", (_, redirectUri, address, expected) => {
    const callback = `${address}${address.includes("?") ? "&" : "?"}code=${code}&state=${state}`
    const outcome = (callback: AuthorizationCallback.Callback) =>
      Either.match(judge(callback, pendingWith({ redirectUri })), {
        onLeft: ({ reason }) => reason,
        onRight: () => "accepted"
      })
    assert.strictEqual(outcome(callback), expected)
    if (URL.canParse(callback) && !callback.startsWith("localhost")) {
      assert.strictEqual(outcome(new URL(callback)), expected)
    }
    const error = judge(callback, pendingWith({ redirectUri }))
    if (Either.isLeft(error)) assert.notInclude(error.left.message, code)
  })

  it("requires the configured issuer instead of the one in the metadata", () => {
    const outcome = (iss: string) =>
      Either.isRight(AuthorizationCallback.validate({ code, state, iss }, pendingWith(), {
        now: createdAt,
        maxAge: "30 minutes",
        issuer: "https://configured.example"
      }))
    assert.deepStrictEqual([outcome(issuer), outcome("https://configured.example")], [false, true])
  })

  it("[SMART-61] refuses a callback after `authorizationMaxAge`", () => {
    const at = (minutes: number) => codeOf(judge(query(good), pendingWith(), DateTime.add(createdAt, { minutes })))
    assert.strictEqual(at(30), code)
    assert.strictEqual(at(30.001), "refused: Expired")
    assert.strictEqual(at(60 * 24), "refused: Expired")
  })

  it("no error contains a code or a state that the callback repeats", () => {
    const second = "second-c0de-987654"
    const other = "another-state-987654"
    const echo = `${code} ${second} ${state} ${other} ${encodeURIComponent(code)}`
    const callbacks: ReadonlyArray<ReadonlyArray<readonly [string, string]>> = [
      [["code", code], ["state", other]],
      [["code", code], ["code", second], ["state", state]],
      [["code", code], ["state", state], ["state", other]],
      [["code", code], ["state", state], ["iss", echo]],
      [["code", code], ["state", state], ["error", echo]],
      [["code", code], ["code", second], ["state", other]]
    ]
    for (const pairs of callbacks) {
      const error = refusal(judge([...pairs, ["error_description", echo], ["error_uri", `https://x.example/?${echo}`]]))
      const shown = `${error.message}${String(error)}${JSON.stringify(error)}${inspect(error, { depth: 10 })}`
      const given = pairs.filter(([name]) => name === "code" || name === "state").map(([, value]) => value)
      for (const secret of [code, state, ...given]) assert.notInclude(shown, secret)
    }
  })

  it("prints the error text of a callback as one line of limited length", () => {
    const error = refusal(
      judge(query({ state, error: "e\r\n[ERROR] forged log line", error_description: `\u001b[2J${"x".repeat(5000)}` }))
    )
    assert.notMatch(error.message, /[\r\n\u001b]/)
    assert.isBelow(error.message.length, 1_000)
  })

  const hostile = FastCheck.oneof(
    FastCheck.fullUnicodeString(),
    FastCheck.constantFrom("", "code", "state", code, state)
  )
  const names = FastCheck.constantFrom(
    "state",
    "code",
    "error",
    "error_description",
    "error_uri",
    "iss",
    "__proto__",
    "x"
  )

  it.prop(
    "[SMART-4] any parameters succeed only with the exact state, and do not throw",
    [FastCheck.array(FastCheck.tuple(names, hostile), { maxLength: 6 }), FastCheck.boolean()],
    ([pairs, promised]) => {
      const pending = pendingWith({ issuerPromised: promised })
      const right = pairs.filter(([name]) => name === "state")
      for (const callback of [pairs, new URLSearchParams(pairs), `?${new URLSearchParams(pairs)}`]) {
        const judged = judge(callback, pending)
        if (Either.isRight(judged)) assert.deepStrictEqual(right, [["state", state]])
      }
    },
    { fastCheck: { numRuns: 500 } }
  )

  it.prop("any text is refused and does not throw", [hostile], ([text]) => {
    assert.isTrue(Either.isLeft(judge(text)))
    assert.isTrue(Either.isLeft(judge(`https://app.example/callback?${text}`)))
  })
})
