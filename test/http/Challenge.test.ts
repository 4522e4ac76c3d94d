import { assert, describe, it } from "@effect/vitest"
import * as Challenge from "../../src/http/Challenge.js"

const bearer = (header: string | undefined, secrets: ReadonlyArray<string> = []) => {
  const { error, errorDescription, scope } = Challenge.bearer(header, secrets)
  return [error, errorDescription, scope]
}
const nothing = [undefined, undefined, undefined]

describe("the Bearer challenge of WWW-Authenticate", () => {
  it.each<[string | undefined, ReadonlyArray<string | undefined>]>([
    [undefined, nothing],
    ["", nothing],
    [" , ", nothing],
    ["Bearer", nothing],
    ["Bearer realm=\"ehr\"", nothing],
    ["Basic realm=\"ehr\", error=\"invalid_token\"", nothing],
    ["error=\"invalid_token\"", nothing],
    ["Bearer error=\"invalid_token\"", ["invalid_token", undefined, undefined]],
    ["bearer ERROR=\"invalid_token\"", ["invalid_token", undefined, undefined]],
    ["Bearer error=invalid_token", ["invalid_token", undefined, undefined]],
    ["Bearer error=invalid_token , scope = x ", ["invalid_token", undefined, "x"]],
    ["Bearer error \t=\t \"invalid_token\"", ["invalid_token", undefined, undefined]],
    ["Bearer error=\"\", scope=\"\"", nothing],
    ["Bearer error=\"a\", error=\"b\"", ["a", undefined, undefined]],
    [
      "Bearer realm=\"x, y\", error=\"insufficient_scope\",error_description=\"needs more\", scope=\"a b\"",
      ["insufficient_scope", "needs more", "a b"]
    ],
    ["Bearer error_description=\"a \\\"quoted\\\" word, and \\\\\"", [
      undefined,
      "a \"quoted\" word, and \\",
      undefined
    ]],
    ["Basic realm=\"x\", Bearer error=\"invalid_token\"", ["invalid_token", undefined, undefined]],
    ["Bearer error=\"invalid_token\", Basic error=\"x\", scope=\"y\"", ["invalid_token", undefined, undefined]],
    ["Bearer scope=\"a\", Bearer error=\"invalid_token\"", ["invalid_token", undefined, undefined]],
    ["Bearer scope=\"a\", Bearer realm=\"x\"", [undefined, undefined, "a"]],
    ["Bearer error=\"invalid_token\"; scope=\"a\"", ["invalid_token", undefined, undefined]],
    ["Bearer error=\"open", ["\"open", undefined, undefined]],
    ["\u0000 Bearer error=\"x\"", nothing]
  ])("%j", (header, expected) => assert.deepStrictEqual(bearer(header), expected))

  it("an error code is cut after 80 characters, and a secret is removed", () => {
    assert.strictEqual(bearer(`Bearer error="${"x".repeat(100)}"`)[0], `${"x".repeat(80)}…`)
    assert.strictEqual(bearer("Bearer error_description=\"bad s3cret-token\"", ["s3cret-token"])[1], "bad <redacted>")
  })

  it("what follows the first 8 KiB is not read", () => {
    assert.deepStrictEqual(bearer(`Bearer realm="${"x".repeat(9_000)}", error="late"`), nothing)
    assert.strictEqual(bearer(`Bearer realm="${"x".repeat(8_000)}", error="early"`)[0], "early")
  })
})
