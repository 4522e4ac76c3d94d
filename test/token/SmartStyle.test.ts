import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { SmartStyle } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { makeServer } from "../support/identityServer.js"

const url = "https://ehr.test/style-1.json"

describe("SmartStyle", () => {
  it("reads every property, and needs none", () => {
    const style = SmartStyle.fromDocument({
      color_background: "#edeae3",
      color_error: "#9e2d2d",
      color_highlight: "#69b5ce",
      color_modal_backdrop: "",
      color_success: "#498e49",
      color_text: "#303030",
      dim_border_radius: "6px",
      dim_font_size: "13px",
      dim_spacing_size: "20px",
      font_family_body: "Georgia, \"Times New Roman\", serif",
      font_family_heading: "'HelveticaNeue-Light', Helvetica, Arial, sans-serif",
      other: "x"
    })
    assert.strictEqual(style.colorBackground, "#edeae3")
    assert.isUndefined(style.colorModalBackdrop)
    assert.strictEqual(style.dimSpacingSize, "20px")
    assert.strictEqual(style.fontFamilyBody, "Georgia, \"Times New Roman\", serif")
    assert.deepStrictEqual(Object.values(SmartStyle.fromDocument({})).filter((value) => value !== undefined), [])
  })

  it("a value that could leave its CSS property counts as absent", () => {
    const hostile = [
      "red; background: url(//evil.test)",
      "url(https://evil.test/x)",
      "url (https://evil.test/x)",
      "IMAGE-SET \t('x')",
      "red} body {display:none",
      "</style><script>",
      "red /* x",
      "\\75rl(//evil.test)",
      "@import x",
      "red\nblue",
      "x".repeat(201),
      7,
      null
    ]
    for (const value of hostile) {
      assert.isUndefined(SmartStyle.fromDocument({ color_text: value }).colorText, String(value))
    }
    const longest = "x".repeat(200)
    assert.strictEqual(SmartStyle.fromDocument({ color_text: longest }).colorText, longest)
  })

  it.effect("[SMART-175] is fetched once for a URL, by however many", () =>
    Effect.gen(function*() {
      const server = makeServer([])
      server.responses.set(url, { color_text: "red" })
      const { style } = yield* Effect.provide(
        SmartStyle.SmartStyle,
        SmartStyle.layer().pipe(Layer.provide(server.layer))
      )
      yield* Effect.all(Array.from({ length: 10 }, () => style(url)), { concurrency: "unbounded" })
      yield* TestClock.adjust("23 hours")
      assert.strictEqual((yield* style(url)).colorText, "red")
      assert.deepStrictEqual(server.urls, [url])
      assert.deepStrictEqual(server.authorizations, [undefined])
      assert.strictEqual((yield* Effect.flip(style("http://ehr.test/style.json"))).reason, "InsecureEndpoint")
      assert.strictEqual((yield* Effect.flip(style("https://ehr.test/none.json"))).reason, "NotFound")
    }))

  it.effect("[SMART-175] the sandbox has one", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { style } = yield* Effect.provide(SmartStyle.SmartStyle, SmartStyle.layer())
      assert.isDefined((yield* style(ehr.endpoints.style)).colorBackground)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})
