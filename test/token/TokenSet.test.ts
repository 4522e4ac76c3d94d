import { format, inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Equal from "effect/Equal"
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { LaunchContext } from "../../src/token/LaunchContext.js"
import * as TokenSet from "../../src/token/TokenSet.js"

const at = DateTime.unsafeMake("2026-01-05T12:00:00Z")

const tokens = new TokenSet.TokenSet({
  version: 1,
  fhirBaseUrl: "https://ehr.example/fhir/",
  accessToken: Redacted.make("the-access-t0ken"),
  receivedAt: at,
  expiresAt: DateTime.add(at, { minutes: 5 }),
  scopes: ["launch/patient", "patient/*.rs"],
  refreshToken: Redacted.make("the-refresh-t0ken"),
  idToken: Redacted.make("the-id-t0ken"),
  context: new LaunchContext({
    patient: "p1",
    needPatientBanner: true,
    fhirContext: [{ reference: "ImagingStudy/1", role: "launch" }],
    authorizationDetails: [{ locations: ["https://r4.example"], fhirVersions: ["4.0.1"] }]
  }),
  extensions: Redacted.make({ vendor_token: "the-vendor-t0ken", n: [1, { deep: null }] })
})

const golden =
  "{\"version\":1,\"fhirBaseUrl\":\"https://ehr.example/fhir/\",\"accessToken\":\"the-access-t0ken\",\"receivedAt\":\"2026-01-05T12:00:00.000Z\"," +
  "\"expiresAt\":\"2026-01-05T12:05:00.000Z\",\"scopes\":[\"launch/patient\",\"patient/*.rs\"],\"refreshToken\":\"the-refresh-t0ken\"," +
  "\"idToken\":\"the-id-t0ken\",\"context\":{\"patient\":\"p1\",\"fhirContext\":[{\"reference\":\"ImagingStudy/1\",\"role\":\"launch\"}]," +
  "\"needPatientBanner\":true,\"authorizationDetails\":[{\"locations\":[\"https://r4.example\"],\"fhirVersions\":[\"4.0.1\"]}]}," +
  "\"extensions\":{\"vendor_token\":\"the-vendor-t0ken\",\"n\":[1,{\"deep\":null}]}}"

describe("TokenSet", () => {
  it("its encoding is stable: stores of version 1 must be read for ever", () => {
    assert.deepStrictEqual(JSON.parse(JSON.stringify(Schema.encodeSync(TokenSet.TokenSet)(tokens))), JSON.parse(golden))
    const decoded = Schema.decodeUnknownSync(TokenSet.TokenSet)(JSON.parse(golden))
    assert.isTrue(Equal.equals(decoded.accessToken, tokens.accessToken))
    assert.deepStrictEqual(
      JSON.parse(JSON.stringify(Schema.encodeSync(TokenSet.TokenSet)(decoded))),
      JSON.parse(golden)
    )
    assert.isTrue(
      decoded.expiresAt !== undefined && DateTime.Equivalence(decoded.expiresAt, DateTime.add(at, { minutes: 5 }))
    )
  })

  it("the schema refuses a token set of another version, and its message shows no token", () => {
    const either = Schema.decodeUnknownEither(TokenSet.TokenSet)({ ...JSON.parse(golden), version: 2 })
    assert.strictEqual(either._tag, "Left")
    if (either._tag === "Left") assert.notInclude(either.left.message, "t0ken")
  })

  it("prints no token in any form", () => {
    const nested = { list: [tokens], map: new Map([["tokens", tokens]]) }
    const shown = [
      String(tokens),
      `${tokens.toString()}`,
      JSON.stringify(tokens),
      JSON.stringify(nested),
      inspect(tokens, { depth: 10, showHidden: true }),
      inspect(nested, { depth: 10 }),
      format("%o %O %s %j", tokens, tokens, tokens, tokens),
      Inspectable.toStringUnknown(tokens),
      JSON.stringify(Inspectable.toJSON(tokens)),
      Cause.pretty(Cause.fail(tokens)),
      Cause.pretty(Cause.die(tokens))
    ]
    for (const text of shown) assert.notInclude(text, "t0ken")
    assert.include(inspect(tokens), "<redacted>")
  })

  it("expires at the second it says, with and without a margin; one without a date never does", () => {
    const expired = (seconds: number, margin?: "1 minute") =>
      TokenSet.isExpired(tokens, DateTime.add(at, { seconds }), margin)
    assert.deepStrictEqual([299, 300, 301].map((seconds) => expired(seconds)), [false, true, true])
    assert.deepStrictEqual([239, 240].map((seconds) => expired(seconds, "1 minute")), [false, true])
    const endless = new TokenSet.TokenSet({ ...tokens, expiresAt: undefined })
    assert.isFalse(TokenSet.isExpired(endless, DateTime.add(at, { days: 10_000 })))
  })

  it("[SMART-117] `renewed` replaces the members of the response and keeps the others", () => {
    const next = new TokenSet.TokenSet({
      version: 1,
      fhirBaseUrl: "https://ehr.example/fhir/",
      accessToken: Redacted.make("new-access"),
      receivedAt: DateTime.add(at, { minutes: 4 }),
      scopes: ["patient/*.r"],
      context: new LaunchContext({ encounter: "e1" }),
      extensions: Redacted.make({})
    })
    const renewed = TokenSet.renewed(tokens, next)
    assert.strictEqual(Redacted.value(renewed.accessToken), "new-access")
    assert.strictEqual(renewed.refreshToken && Redacted.value(renewed.refreshToken), "the-refresh-t0ken")
    assert.strictEqual(renewed.idToken && Redacted.value(renewed.idToken), "the-id-t0ken")
    assert.isUndefined(renewed.expiresAt)
    assert.deepStrictEqual(renewed.scopes, ["patient/*.r"])
    assert.strictEqual(renewed.context.patient, "p1")
    assert.strictEqual(renewed.context.encounter, "e1")
    assert.strictEqual(renewed.context.needPatientBanner, true)
    // Less was granted now: the launch's grant is kept, and dropped again when it is whole.
    assert.deepStrictEqual(TokenSet.grantOf(renewed), tokens.scopes)
    const whole = TokenSet.renewed(renewed, new TokenSet.TokenSet({ ...next, scopes: [...tokens.scopes] }))
    assert.isUndefined(whole.originalScopes)
    const rotated = TokenSet.renewed(tokens, new TokenSet.TokenSet({ ...next, refreshToken: Redacted.make("RT2") }))
    assert.strictEqual(rotated.refreshToken && Redacted.value(rotated.refreshToken), "RT2")
  })

  it("an access token has expired at an instant, and not before", () => {
    const end = DateTime.toEpochMillis(at) + 300_000
    assert.deepStrictEqual([end - 1, end, end + 1].map((now) => TokenSet.isExpiredAt(tokens, now)), [false, true, true])
    assert.isFalse(TokenSet.isExpiredAt(new TokenSet.TokenSet({ ...tokens, expiresAt: undefined }), end))
  })

  it("the reason of a missing refresh token names the scopes that promised one", () => {
    const reasonOf = (...scopes: ReadonlyArray<string>) =>
      TokenSet.whyNoRefreshToken(new TokenSet.TokenSet({ ...tokens, scopes }))
    assert.include(reasonOf("openid", "x_offline_access"), "granted neither offline_access nor online_access")
    assert.include(reasonOf("openid", "offline_access"), "the server granted offline_access but gave")
    assert.include(reasonOf("online_access"), "the server granted online_access but gave")
    assert.include(reasonOf("online_access", "offline_access"), "granted online_access and offline_access but")
  })

  it("a refresh that narrows the scopes keeps those of the launch, until all of them are granted again", () => {
    const of = (previous: TokenSet.TokenSet, ...scopes: ReadonlyArray<string>) =>
      TokenSet.renewed(previous, new TokenSet.TokenSet({ ...tokens, scopes }))
    const narrowed = of(tokens, "launch/patient")
    assert.deepStrictEqual([narrowed.scopes, narrowed.originalScopes], [["launch/patient"], tokens.scopes])
    assert.deepStrictEqual(TokenSet.grantOf(narrowed), tokens.scopes)
    const again = of(narrowed, "patient/*.rs", "launch/patient", "openid")
    assert.isUndefined(again.originalScopes)
    assert.deepStrictEqual(TokenSet.scopesIn(" a  b\nc "), ["a", "b", "c"])
  })

  it("a token set without server has no context at any", () => {
    const nowhere = new TokenSet.TokenSet({ ...tokens, fhirBaseUrl: undefined })
    assert.strictEqual(TokenSet.contextFor(nowhere, "https://ehr.example/fhir")._tag, "None")
    assert.strictEqual(TokenSet.contextFor(tokens, "https://ehr.example/fhir")._tag, "Some")
    assert.strictEqual(TokenSet.contextFor(nowhere, "https://r4.example/")._tag, "Some")
  })
})
