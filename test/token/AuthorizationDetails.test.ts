import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { LaunchContext, SmartClient, TokenSet } from "effect-safire"
import { fhirBaseUrl, layerClient, login, makeServer, type Members } from "../support/identityServer.js"

/** The tokens of a login whose answer has these members, and the warnings. */
const tokensOf = (answer: Members) => {
  const server = makeServer([])
  return login(server, () => Effect.succeed(undefined), {
    scopes: ["patient/*.rs"],
    answer: { scope: "patient/*.rs", ...answer }
  })
    .pipe(
      Effect.map((tokens) => ({ tokens, warnings: server.warnings.map(({ code, detail }) => `${code}: ${detail}`) })),
      Effect.provide(layerClient(server))
    )
}

const r2 = "https://ehr.test/fhir-r2"
const details = [
  { type: "something_else", locations: ["https://elsewhere.test"] },
  { type: "smart_on_fhir", locations: [fhirBaseUrl], fhirVersions: ["4.0.1"] },
  {
    type: "smart_on_fhir",
    locations: [`${r2}/`, "https://ehr.test/fhir-r3"],
    fhirVersions: ["1.0.2"],
    scope: "patient/*.read launch/patient",
    patient: "patient-r2",
    fhirContext: [{ reference: "ImagingStudy/1" }]
  }
]

describe("authorization_details", () => {
  it.effect("`contextFor` returns the context of a server's detail, else that of the token", () =>
    Effect.gen(function*() {
      const { tokens, warnings } = yield* tokensOf({
        encounter: "encounter-1",
        tenant: "t",
        authorization_details: details
      })
      const at = (url: string) => Option.getOrUndefined(TokenSet.contextFor(tokens, url))
      assert.deepStrictEqual(at(r2)?.scopes, ["patient/*.read", "launch/patient"])
      assert.strictEqual(at(r2)?.context.patient, "patient-r2")
      assert.strictEqual(at(r2)?.context.encounter, "encounter-1")
      assert.strictEqual(at(r2)?.context.tenant, "t")
      assert.deepStrictEqual(at(r2)?.context.fhirContext?.map(({ reference }) => reference), ["ImagingStudy/1"])
      assert.strictEqual(at("https://ehr.test/fhir-r3/")?.context.patient, "patient-r2")
      assert.strictEqual(at(`${fhirBaseUrl}/`)?.context.patient, "patient-1")
      assert.deepStrictEqual(at(fhirBaseUrl)?.scopes, ["patient/*.rs"])
      assert.isUndefined(at("https://elsewhere.test"))
      assert.isUndefined(at("https://ehr.test/fhir-r2x"))
      assert.isTrue(Option.isNone(LaunchContext.contextFor(tokens.context, "https://elsewhere.test")))
      assert.deepStrictEqual(warnings, [])
    }))

  it.effect("a token without details is for the server that issued it", () =>
    Effect.gen(function*() {
      const { tokens } = yield* tokensOf({})
      assert.strictEqual(Option.getOrUndefined(TokenSet.contextFor(tokens, fhirBaseUrl))?.context.patient, "patient-1")
      assert.isTrue(Option.isNone(TokenSet.contextFor(tokens, r2)))
      assert.strictEqual(SmartClient.SmartClient.key, "effect-safire/SmartClient")
    }))
})

describe("LaunchContext, oddities that are used all the same", () => {
  const rows: ReadonlyArray<readonly [name: string, answer: Members, expected: ReadonlyArray<string>]> = [
    ["[SMART-191] a good item", {
      fhirContext: [{ reference: "ImagingStudy/1" }, { canonical: "https://x.test/Q|1", type: "Questionnaire" }]
    }, []],
    [
      "a Patient with a role of its own",
      { fhirContext: [{ reference: "Patient/2", role: "https://x.test/mother" }] },
      []
    ],
    ["a Patient without one", { fhirContext: [{ reference: "Patient/2" }] }, ["LaunchContextMalformed"]],
    ["an Encounter that is the launch's", { fhirContext: [{ reference: "Encounter/2", role: "launch" }] }, [
      "LaunchContextMalformed"
    ]],
    ["an absolute reference", { fhirContext: [{ reference: "https://x.test/fhir/ImagingStudy/1" }] }, [
      "LaunchContextMalformed"
    ]],
    ["a role that is not a URI", { fhirContext: [{ reference: "List/1", role: "med-list" }] }, [
      "LaunchContextMalformed"
    ]],
    ["[SMART-186] an empty role", { fhirContext: [{ reference: "List/1", role: "" }] }, ["TokenMemberMalformed"]]
  ]
  for (const [name, answer, expected] of rows) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { tokens, warnings } = yield* tokensOf(answer)
        assert.strictEqual(warnings.map((warning) => warning.split(":")[0]).join(), expected.join())
        assert.isAbove(tokens.context.fhirContext?.length ?? 0, 0)
      }))
  }

  it.effect("[SMART-170] [SMART-171] a reference where an id should be is read as its id, with a warning", () =>
    Effect.gen(function*() {
      const { tokens, warnings } = yield* tokensOf({ patient: "Patient/7", encounter: "Encounter/8" })
      assert.strictEqual(tokens.context.patient, "7")
      assert.strictEqual(tokens.context.encounter, "8")
      assert.strictEqual(warnings.length, 2)
    }))
})
