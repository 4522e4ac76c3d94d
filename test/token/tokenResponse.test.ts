import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import type { ReceivedResponse } from "../../src/http/ReceivedResponse.js"
// The pure rule, for hundreds of responses.
import { parseTokenSet } from "../../src/token/internal/tokenResponse.js"
import type { Warn } from "../../src/token/LaunchContext.js"
import type { TokenError } from "../../src/token/TokenError.js"
import type { TokenSet } from "../../src/token/TokenSet.js"

const now = DateTime.unsafeMake("2026-01-05T12:00:00Z")
const endpoint = "https://auth.example/token"
const secret = "refresh-t0ken/with+special=chars"

const responseOf = (body: unknown, changes: Partial<ReceivedResponse> = {}): ReceivedResponse => ({
  url: `${endpoint}?k=SECRET`,
  status: 200,
  headers: { "content-type": "application/json" },
  body: typeof body === "string" ? body : JSON.stringify(body),
  ...changes
})

type Changes = Partial<Parameters<ReturnType<typeof parseTokenSet>>[1] & Parameters<typeof parseTokenSet>[0]>

const parse = (response: ReceivedResponse, changes: Changes = {}, warn: Warn = () => undefined) => {
  const context = {
    operation: "exchangeCode" as const,
    server: "ehr",
    secrets: () => [secret],
    now,
    fhirBaseUrl: "https://ehr.example/fhir",
    defaultScopes: ["user/*.rs"],
    warn,
    ...changes
  }
  return parseTokenSet(context)(response, context)
}

const granted = (response: ReceivedResponse, changes: Changes = {}) => {
  const warnings = new Map<string, { readonly code: string; readonly detail: string }>()
  const warn: Warn = (code, detail) => void warnings.set(`${code} ${detail}`, { code, detail })
  return Either.match(parse(response, changes, warn), {
    onLeft: (error) => assert.fail(`refused: ${error.message}`),
    onRight: (tokens) => ({
      tokens,
      codes: Array.from(warnings.values(), ({ code }) => code),
      details: Array.from(warnings.values(), ({ detail }) => detail)
    })
  })
}

const refusal = (response: ReceivedResponse, changes: Changes = {}): TokenError =>
  Either.match(parse(response, changes), { onLeft: (error) => error, onRight: () => assert.fail("it was accepted") })

const good = { access_token: "AT", token_type: "Bearer", expires_in: 3600, scope: "user/*.rs" }
const bare = (...names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(good).filter(([name]) => !names.includes(name)))

const seconds = (tokens: TokenSet) =>
  tokens.expiresAt === undefined ? undefined : Duration.toSeconds(DateTime.distanceDuration(now, tokens.expiresAt))

describe("parseTokenSet, accepted responses", () => {
  it("[SMART-74] a conformant response causes no warning", () => {
    const { codes, tokens } = granted(responseOf({
      ...good,
      refresh_token: "RT",
      id_token: "IT",
      patient: "p1",
      __vendor: { x: 1 }
    }))
    assert.deepStrictEqual(codes, [])
    assert.strictEqual(Redacted.value(tokens.accessToken), "AT")
    assert.strictEqual(tokens.refreshToken && Redacted.value(tokens.refreshToken), "RT")
    assert.strictEqual(tokens.idToken && Redacted.value(tokens.idToken), "IT")
    assert.strictEqual(seconds(tokens), 3600)
    assert.deepStrictEqual(tokens.scopes, ["user/*.rs"])
    assert.strictEqual(tokens.context.patient, "p1")
    assert.deepStrictEqual(Redacted.value(tokens.extensions), { __vendor: { x: 1 } })
    assert.strictEqual(tokens.fhirBaseUrl, "https://ehr.example/fhir")
  })

  it.each(["Bearer", "bearer", "BEARER", "bEaReR"])(
    "[SMART-75] token_type %s",
    (token_type) => assert.deepStrictEqual(granted(responseOf({ ...good, token_type })).codes, [])
  )

  it.each<[string, unknown, ReadonlyArray<string>]>([
    ["G1: no token_type", bare("token_type"), ["TokenTypeMissing"]],
    ["token_type null", { ...good, token_type: null }, ["TokenTypeMissing"]],
    ["token_type no string", { ...good, token_type: 1 }, ["TokenMemberMalformed", "TokenTypeMissing"]],
    ["[SMART-78] no scope", bare("scope"), ["ScopeMissing"]],
    ["M2: scope null", { ...good, scope: null }, ["ScopeMissing"]],
    ["G1: scope an array", { ...good, scope: ["user/*.rs"] }, ["ScopeNotString"]],
    ["scope a number", { ...good, scope: 1 }, ["ScopeMissing"]],
    ["[SMART-76] no expires_in", bare("expires_in"), ["ExpiresInMissing"]],
    ["M1: expires_in a string", { ...good, expires_in: "4910" }, ["ExpiresInNotNumber"]],
    ["[SMART-164] patient scopes, no patient", { ...good, scope: "patient/*.rs" }, ["PatientMissing"]],
    ["[SMART-177] fhirContext of strings", { ...good, fhirContext: ["ImagingStudy/1"] }, ["LaunchContextLegacy"]],
    ["refresh_token no string", { ...good, refresh_token: { x: 1 } }, ["TokenMemberMalformed"]],
    ["refresh_token empty", { ...good, refresh_token: "" }, ["TokenMemberMalformed"]],
    ["refresh_token null", { ...good, refresh_token: null }, []],
    ["id_token no string", { ...good, id_token: [] }, ["TokenMemberMalformed"]],
    ["need_patient_banner a string", { ...good, need_patient_banner: "true" }, ["TokenMemberMalformed"]],
    ["M1: members of Azure", { ...good, ext_expires_in: "0", expires_on: "1", resource: "x" }, []]
  ])("%s", (_, body, codes) => assert.deepStrictEqual(granted(responseOf(body)).codes, codes))

  it.each<[unknown, number | undefined]>([
    [1, 1],
    [59.9, 59],
    ["4910", 4910],
    [" 4910 ", 4910],
    ["59.9", 59],
    [0, undefined],
    ["0", undefined],
    [-1, undefined],
    ["-1", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["", undefined],
    ["soon", undefined],
    [true, undefined],
    [[3600], undefined],
    [{}, undefined],
    [315_360_000, 315_360_000],
    [315_360_001, undefined],
    [1_767_614_400_000, undefined],
    ["1767614400000", undefined],
    ["9".repeat(400), undefined]
  ])("[SMART-76] expires_in %j: %s seconds", (expires_in, expected) => {
    const { codes, tokens } = granted(responseOf({ ...good, expires_in }))
    assert.strictEqual(seconds(tokens), expected)
    assert.deepStrictEqual(
      codes,
      typeof expires_in === "number" && expected !== undefined ? [] : ["ExpiresInNotNumber"]
    )
  })

  it.each<[string, ReadonlyArray<string>]>([
    ["", []],
    [" ", []],
    ["a  b\nc", ["a", "b", "c"]],
    ["user_impersonation", ["user_impersonation"]]
  ])(
    "[SMART-147] scope %j grants %j",
    (scope, scopes) => assert.deepStrictEqual(granted(responseOf({ ...good, scope })).tokens.scopes, scopes)
  )

  it("[SMART-78] without a scope in the response, the requested scopes count as granted", () => {
    assert.deepStrictEqual(granted(responseOf(bare("scope"))).tokens.scopes, ["user/*.rs"])
  })

  it("[UDAP-STU2-7.3] a client of UDAP accepts a response without scope, but not with a malformed one", () => {
    const scopeMayBeOmitted = true
    const omitted = granted(responseOf(bare("scope")), { scopeMayBeOmitted })
    assert.deepStrictEqual([omitted.tokens.scopes, omitted.codes], [["user/*.rs"], []])
    assert.deepStrictEqual(granted(responseOf({ ...good, scope: 1 }), { scopeMayBeOmitted }).codes, ["ScopeMissing"])
    assert.deepStrictEqual(granted(responseOf({ ...good, scope: null }), { scopeMayBeOmitted }).codes, ["ScopeMissing"])
    assert.deepStrictEqual(granted(responseOf({ ...good, scope: ["a", 1] })).codes, ["ScopeMissing"])
  })

  it("[UDAP-STU2-7.3] the scope is missing if none was requested", () => {
    const { codes, tokens } = granted(responseOf(bare("scope")), { defaultScopes: [], scopeMayBeOmitted: true })
    assert.deepStrictEqual([tokens.scopes, codes], [[], ["ScopeMissing"]])
  })

  it.each(["text/plain", "text/html", "", "text/json;charset=utf-8", "garbage"])(
    "G1: a JSON answer that came as %j is read, with a warning",
    (type) => {
      const headers = type === "" ? {} : { "content-type": type }
      assert.deepStrictEqual(granted(responseOf(good, { headers })).codes, ["TokenContentType"])
    }
  )

  it.each(["application/json; charset=UTF-8", "APPLICATION/JSON", "application/fhir+json", "application/vnd.x+json"])(
    "%s is JSON",
    (type) => assert.deepStrictEqual(granted(responseOf(good, { headers: { "content-type": type } })).codes, [])
  )

  it("G1: a byte order mark, and members that stand twice", () => {
    assert.strictEqual(
      Redacted.value(granted(responseOf("\uFEFF{\"access_token\":\"A\",\"access_token\":\"B\"}")).tokens.accessToken),
      "B"
    )
  })

  it("`parseTokenSet` accepts any success status, and an error that is null or empty", () => {
    assert.deepStrictEqual(granted(responseOf({ ...good, error: null }, { status: 201 })).codes, [])
    assert.deepStrictEqual(granted(responseOf({ ...good, error: "" })).codes, [])
  })

  it("[SMART-117] a refresh without a new refresh token keeps the one that was sent; a new one replaces it", () => {
    const refresh = { operation: "refresh", refreshToken: Redacted.make("OLD") } as const
    const value = (tokens: TokenSet) => tokens.refreshToken && Redacted.value(tokens.refreshToken)
    assert.strictEqual(value(granted(responseOf(good), refresh).tokens), "OLD")
    assert.strictEqual(value(granted(responseOf({ ...good, refresh_token: "NEW" }), refresh).tokens), "NEW")
    assert.isUndefined(value(granted(responseOf(good)).tokens))
  })

  it("equal problems of many items in a list cause one warning", () => {
    const items = <A>(item: A) => Array.from({ length: 100_000 }, () => item)
    const details = [{ type: "smart_on_fhir", locations: 1, fhirContext: items(1) }]
    const fhirContext = [...items(1), ...items("Patient/1"), ...items({ reference: "Patient/1", role: "role" })]
    const { codes, tokens } = granted(
      responseOf({ ...good, patient: "1", fhirContext, authorization_details: details })
    )
    assert.deepStrictEqual(codes, [
      "TokenMemberMalformed",
      "LaunchContextLegacy",
      "LaunchContextMalformed",
      "TokenMemberMalformed"
    ])
    assert.strictEqual(tokens.context.fhirContext?.length, 200_000)
  }, 10_000)

  it("E3: an access token is opaque", () => {
    for (const access_token of ["x", "a.b.c", "{}", "ü", " ", "a".repeat(10_000)]) {
      assert.strictEqual(
        Redacted.value(granted(responseOf({ ...good, access_token })).tokens.accessToken),
        access_token
      )
    }
  })
})

describe("parseTokenSet, rejected responses", () => {
  const oauth = { error: "invalid_grant", error_description: "expired", error_uri: "https://auth.example/e" }

  it.each<[string, ReceivedResponse, TokenError["reason"], TokenError["processed"]]>([
    ["no access_token", responseOf(bare("access_token")), "Malformed", "unknown"],
    ["an empty access_token", responseOf({ ...good, access_token: "" }), "Malformed", "unknown"],
    ["an access_token that is a number", responseOf({ ...good, access_token: 1 }), "Malformed", "unknown"],
    ["access_token null", responseOf({ ...good, access_token: null }), "Malformed", "unknown"],
    ["[SMART-75] token_type mac", responseOf({ ...good, token_type: "mac" }), "UnsupportedTokenType", "unknown"],
    ["[SMART-75] token_type DPoP", responseOf({ ...good, token_type: "DPoP" }), "UnsupportedTokenType", "unknown"],
    ["HTML with 200", responseOf("<html>"), "Malformed", "unknown"],
    ["an empty body", responseOf(""), "Malformed", "unknown"],
    ["an array", responseOf([good]), "Malformed", "unknown"],
    ["null", responseOf(null), "Malformed", "unknown"],
    ["a string", responseOf("\"AT\""), "Malformed", "unknown"],
    ["a form with tokens", responseOf("access_token=AT&token_type=bearer"), "Malformed", "unknown"],
    ["half an answer", responseOf("{\"access_token\":\"AT"), "Malformed", "unknown"],
    ["an error with 200", responseOf(oauth), "Refused", "no"],
    ["an error beside a token", responseOf({ ...good, ...oauth }), "Refused", "no"],
    ["400", responseOf(oauth, { status: 400 }), "Refused", "no"],
    ["401", responseOf(oauth, { status: 401 }), "Refused", "no"],
    ["E5: a bare 400", responseOf("", { status: 400 }), "Refused", "no"],
    [
      "a 401 with an OperationOutcome",
      responseOf({ resourceType: "OperationOutcome" }, { status: 401 }),
      "Refused",
      "no"
    ],
    ["404 HTML", responseOf("<html>", { status: 404 }), "Refused", "no"],
    ["408", responseOf("", { status: 408 }), "Unavailable", "unknown"],
    ["429", responseOf("", { status: 429 }), "Unavailable", "no"],
    ["500", responseOf("", { status: 500 }), "Unavailable", "unknown"],
    ["502", responseOf("", { status: 502 }), "Unavailable", "unknown"],
    ["503", responseOf("", { status: 503 }), "Unavailable", "no"],
    ["504", responseOf("", { status: 504 }), "Unavailable", "unknown"],
    [
      "503 with an OAuth error",
      responseOf({ error: "temporarily_unavailable" }, { status: 503 }),
      "Unavailable",
      "no"
    ],
    ["304", responseOf("", { status: 304 }), "Malformed", "no"]
  ])("%s: %s, %s", (_, answer, reason, processed) => {
    const error = refusal(answer)
    assert.strictEqual(error.reason, reason)
    assert.strictEqual(error.processed, processed)
    assert.strictEqual(error.status, answer.status)
    assert.strictEqual(error.url, endpoint)
    assert.notMatch(error.message, /AT|SECRET|<html>/)
  })

  it.each<[string, ReceivedResponse]>([
    ["JSON", responseOf(oauth, { status: 400 })],
    ["JSON as text/plain", responseOf(oauth, { status: 400, headers: { "content-type": "text/plain" } })],
    ["JSON without a type", responseOf(oauth, { status: 400, headers: {} })],
    ["JSON as HTML with 200", responseOf(oauth, { headers: { "content-type": "text/html" } })],
    ["JSON with 500", responseOf(oauth, { status: 500 })],
    ["a form", responseOf(new URLSearchParams(oauth).toString(), { status: 400, headers: {} })],
    [
      "a challenge",
      responseOf("<html>", {
        status: 401,
        headers: {
          "www-authenticate":
            "Basic realm=\"x\", error=\"invalid_grant\", error_description=\"expired\", error_uri=\"https://auth.example/e\""
        }
      })
    ]
  ])("an OAuth error is recognised in %s", (_, answer) => {
    const error = refusal(answer)
    assert.strictEqual(error.error, "invalid_grant")
    assert.strictEqual(error.errorDescription, "expired")
    assert.strictEqual(error.errorUri, "https://auth.example/e")
    assert.include(error.message, "invalid_grant — expired — https://auth.example/e")
  })

  it("O1 E4: error_uri alone, error_description null", () => {
    const error = refusal(responseOf({ error: "invalid_client", error_uri: "urn:x" }, { status: 401 }))
    assert.strictEqual(error.errorUri, "urn:x")
    assert.isUndefined(refusal(responseOf({ error: "e", error_description: null }, { status: 400 })).errorDescription)
    assert.isUndefined(refusal(responseOf({ error: { code: "e" } }, { status: 400 })).error)
  })

  it("the error of a malformed response has the names of its members, and no value", () => {
    const error = refusal(responseOf({ accessToken: "LEAK", expires_in: 1, [secret]: "LEAK" }))
    assert.deepStrictEqual(error.received, ["accessToken", "expires_in", "<redacted>"])
    assert.include(error.message, "members received: accessToken, expires_in")
    assert.notInclude(inspect(error, { depth: 10 }) + JSON.stringify(error), "LEAK")
    assert.strictEqual(
      refusal(responseOf(Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`m${index}`, 1])))).received
        ?.length,
      20
    )
  })

  it("an error does not show secrets of the request or the response that a server repeats in any encoding", () => {
    const echo = [secret, encodeURIComponent(secret), new URLSearchParams([["t", secret]]).toString(), "LEAKED-AT"]
      .join(" ")
    for (
      const answer of [
        responseOf({ error: echo, error_description: echo, error_uri: echo, access_token: "LEAKED-AT" }, {
          status: 400
        }),
        responseOf({ error: "e", error_description: echo, access_token: "LEAKED-AT" }, { status: 503 })
      ]
    ) {
      const error = refusal(answer)
      const shown = error.message + JSON.stringify(error) + inspect(error, { depth: 10 })
      for (const leak of [secret, encodeURIComponent(secret), "special%3Dchars", "LEAKED-AT"]) {
        assert.notInclude(shown, leak)
      }
    }
  })

  it("the description of a server is one line of limited length", () => {
    const error = refusal(responseOf({ error: "e\r\nforged", error_description: "x".repeat(9_999) }, { status: 400 }))
    assert.notMatch(error.message, /[\r\n]/)
    assert.isBelow(error.message.length, 1_200)
  })

  it("Retry-After in both forms", () => {
    const after = (value: string) =>
      refusal(responseOf("", { status: 429, headers: { "retry-after": value } })).retryAfter
    assert.deepStrictEqual(after("7"), Duration.seconds(7))
    assert.deepStrictEqual(after("Mon, 05 Jan 2026 12:00:10 GMT"), Duration.seconds(10))
    assert.isUndefined(after("soon"))
  })

  it.prop(
    "any answer is tokens with an access token, or a typed error: never a throw",
    [
      FastCheck.oneof(
        FastCheck.string(),
        FastCheck.json(),
        FastCheck.dictionary(
          FastCheck.constantFrom(
            ...["access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token", "error", "patient"],
            ...["fhirContext", "authorization_details", "__proto__", "error_description", "need_patient_banner"]
          ),
          FastCheck.jsonValue()
        ).map((members) => JSON.stringify({ access_token: "AT", token_type: "Bearer", ...members }))
      ),
      FastCheck.integer({ min: 100, max: 599 })
    ],
    ([body, status]) => {
      const parsed = parse(responseOf(body, { status }))
      if (Either.isRight(parsed)) assert.isTrue(Redacted.value(parsed.right.accessToken).length > 0)
      else assert.isString(parsed.left.message)
    },
    { fastCheck: { numRuns: 500 } }
  )
})

describe("parseTokenSet, what errors and warnings say", () => {
  it("the tokens of a grant that cannot be used are in the error, and of no other response", () => {
    const issued = (body: unknown, changes: Changes = {}, response: Partial<ReceivedResponse> = {}) => {
      const { accessToken, refreshToken } = refusal(responseOf(body, response), changes).issued ?? {}
      return [accessToken, refreshToken].map((token) => token && Redacted.value(token))
    }
    const unusable = { ...good, token_type: "mac", refresh_token: "RT" }
    for (const operation of ["exchangeCode", "refresh", "clientCredentials"] as const) {
      assert.deepStrictEqual(issued(unusable, { operation }), ["AT", "RT"])
    }
    assert.deepStrictEqual(issued({ refresh_token: "RT" }), [undefined, "RT"])
    assert.deepStrictEqual(issued({ ...good, token_type: "mac" }), ["AT", undefined])
    assert.isUndefined(refusal(responseOf({ scope: "a" })).issued)
    assert.isUndefined(refusal(responseOf([1])).issued)
    assert.isUndefined(refusal(responseOf("<html>")).issued)
    for (const operation of ["introspect", "revoke", "userInfo"] as const) {
      assert.isUndefined(refusal(responseOf(unusable), { operation }).issued)
    }
    assert.isUndefined(refusal(responseOf(unusable, { status: 400 })).issued)
  })

  it("an error has status and content type without an OAuth error, and the hint if credentials were refused", () => {
    const detailOf = (body: unknown, response: Partial<ReceivedResponse>, hint = true) =>
      refusal(responseOf(body, response), hint ? { credentialsHint: () => ", HINT" } : {}).detail
    const invalid = { error: "invalid_client" }
    const headers = { "content-type": "Text/HTML; charset=utf-8" }
    assert.strictEqual(
      detailOf("<html>", { status: 403, headers }),
      "HTTP status 403, without an OAuth error (text/html)"
    )
    assert.strictEqual(
      detailOf("<html>", { status: 401, headers: {} }),
      "HTTP status 401, without an OAuth error (no content type), HINT"
    )
    assert.strictEqual(detailOf(invalid, { status: 400 }), "HTTP status 400, HINT")
    assert.strictEqual(detailOf(invalid, { status: 400 }, false), "HTTP status 400")
    assert.strictEqual(detailOf({ error: "invalid_grant" }, { status: 400 }), "HTTP status 400")
    assert.strictEqual(detailOf({ error: "invalid_grant" }, { status: 401 }), "HTTP status 401, HINT")
    assert.isUndefined(refusal(responseOf(invalid, { status: 400 })).received)
    assert.deepStrictEqual(refusal(responseOf({ a: 1 }, { status: 400 })).received, ["a"])
    const challenge = { "www-authenticate": "Bearer error=\"invalid_token\"" }
    assert.strictEqual(refusal(responseOf("", { status: 401, headers: challenge })).error, "invalid_token")
    const deep = JSON.parse("[".repeat(200) + "]".repeat(200)) as unknown
    const { codes, details } = granted(responseOf({ ...good, deep }))
    assert.deepStrictEqual(codes, ["TokenMemberMalformed"])
    assert.match(details[0] ?? "", /^deep is not .*; it counts as absent$/)
  })

  it("[SMART-112] expires_in may be a decimal text, and null counts as absent", () => {
    assert.strictEqual(seconds(granted(responseOf({ ...good, expires_in: " 3600.25 " })).tokens), 3600)
    assert.deepStrictEqual(granted(responseOf({ ...good, expires_in: null })).codes, ["ExpiresInMissing"])
    for (const expires_in of ["1h", "x1", "1.", "-1", "", {}]) {
      assert.deepStrictEqual(granted(responseOf({ ...good, expires_in })).codes, ["ExpiresInNotNumber"])
    }
  })

  it("[SMART-164] scopes for a patient need one in context, at the exchange of a code", () => {
    const codesOf = (scope: string, changes: Changes = {}, members = {}) =>
      granted(responseOf({ ...good, scope, ...members }), changes).codes
    for (const scope of ["launch/patient", "openid patient/*.rs"]) {
      assert.deepStrictEqual(codesOf(scope), ["PatientMissing"])
      assert.deepStrictEqual(codesOf(scope, { operation: "refresh" }), [])
      assert.deepStrictEqual(codesOf(scope, {}, { patient: "1" }), [])
    }
    assert.deepStrictEqual(codesOf("user/*.rs launch"), [])
  })
})

describe("the scopes of a response and the requested scopes", () => {
  const codes = (
    scope: string | undefined,
    requestedScopes: ReadonlyArray<string>,
    changes: Readonly<Record<string, unknown>> = {},
    operation: "exchangeCode" | "refresh" = "exchangeCode"
  ) => granted(responseOf({ ...good, scope, ...changes }), { requestedScopes, operation }).codes

  it("a requested scope that was not granted is a warning that names it", () => {
    const { codes, details } = granted(responseOf({ ...good, scope: "user/*.rs openid" }), {
      requestedScopes: ["user/*.cruds", "openid", "offline_access"]
    })
    assert.deepStrictEqual(codes, ["ScopeNotGranted"])
    assert.include(details[0], "user/*.cud offline_access")
  })

  it("an equivalent grant, scopes that other members fulfil and a missing scope cause no ScopeNotGranted", () => {
    assert.deepStrictEqual(codes("user/*.read", ["user/*.rs"]), [])
    assert.deepStrictEqual(codes("user/Patient.r user/Patient.s", ["user/Patient.rs"]), [])
    assert.deepStrictEqual(
      codes("user/*.rs", ["launch", "launch/patient", "launch/encounter", "openid", "online_access", "user/*.rs"], {
        patient: "p1",
        encounter: "e1",
        id_token: "a.b.c",
        refresh_token: "RT"
      }),
      []
    )
    assert.deepStrictEqual(codes(undefined, ["user/*.rs"]), ["ScopeMissing"])
  })

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ["openid", { id_token: "a.b.c" }],
    ["launch/patient", { patient: "p1" }],
    ["launch/encounter", { encounter: "e1" }],
    ["offline_access", { refresh_token: "RT" }],
    ["online_access", { refresh_token: "RT" }]
  ])("%s counts as granted with its effect alone", (scope, effect) => {
    const effects = { id_token: "a.b.c", patient: "p1", encounter: "e1", refresh_token: "RT" }
    const [member] = Object.keys(effect)
    const others = Object.fromEntries(Object.entries(effects).filter(([name]) => name !== member))
    assert.deepStrictEqual(codes("user/*.rs", ["user/*.rs", scope], effect), [])
    assert.deepStrictEqual(codes("user/*.rs", ["user/*.rs", scope]), ["ScopeNotGranted"])
    assert.deepStrictEqual(codes("user/*.rs", ["user/*.rs", scope], others), ["ScopeNotGranted"])
    for (const other of [`x${scope}`, `${scope}x`]) {
      assert.deepStrictEqual(codes("user/*.rs", ["user/*.rs", other], effects), ["ScopeNotGranted"])
    }
  })

  it("a refresh that returns more, or fewer, scopes than requested causes a warning", () => {
    assert.deepStrictEqual(codes("user/*.rs", ["user/Patient.rs"], {}, "refresh"), ["ScopeNotNarrowed"])
    assert.deepStrictEqual(codes("user/Patient.rs", ["user/Patient.rs"], {}, "refresh"), [])
    assert.deepStrictEqual(codes("user/Patient.r", ["user/Patient.rs"], {}, "refresh"), ["ScopeNotGranted"])
    assert.deepStrictEqual(codes("user/*.rs", ["user/Patient.rs"]), [])
  })

  it("a thousand granted scopes are compared", () => {
    const others = (count: number) => Array.from({ length: count }, (_, index) => `user/Observation.rs?code=${index}`)
    const of = (count: number) => codes([...others(count), "user/*.cruds"].join(" "), ["user/Patient.rs"])
    assert.deepStrictEqual([of(999), of(1_000)], [[], ["ScopeNotGranted"]])
  })

  it("a grant of 100,000 scopes is compared in limited time, and the warning does not quote it", () => {
    const scope = Array.from({ length: 100_000 }, (_, index) => `user/Observation.rs?code=${index}&date=${index}`).join(
      " "
    )
    const changes = { requestedScopes: ["user/Patient.rs"], operation: "refresh" } as const
    for (const detail of granted(responseOf({ ...good, scope }), changes).details) {
      assert.notInclude(detail, "Observation")
    }
  })

  it("`parseTokenSet` raises an expires_in below one second to one second, and drops one that no date can hold", () => {
    assert.strictEqual(seconds(granted(responseOf({ ...good, expires_in: 0.001 })).tokens), 1)
    for (const expires_in of ["9".repeat(309), "1e999", 1e300]) {
      assert.isUndefined(granted(responseOf({ ...good, expires_in })).tokens.expiresAt)
    }
    const body = JSON.stringify(good).replace("3600", "1e999")
    assert.isUndefined(granted(responseOf(body)).tokens.expiresAt)
  })
})
