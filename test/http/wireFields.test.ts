import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { isTransientStatus, safeText } from "../../src/http/wireFields.js"

describe("wireFields", () => {
  it("the statuses that pass by themselves", () => {
    const transient = Array.from({ length: 500 }, (_, index) => index + 100).filter(isTransientStatus)
    assert.deepStrictEqual(transient, [408, 429, 502, 503, 504])
    assert.isFalse(isTransientStatus(undefined))
  })

  it("a server's words are one printable line of bounded length", () => {
    assert.strictEqual(safeText("a\r\nb\u0000\u001b[31mc\u2028d\u0085e", []), "a b [31mc d e")
    assert.strictEqual(safeText("x".repeat(400), []).length, 301)
    assert.strictEqual(safeText("x".repeat(400), [], 10), "xxxxxxxxxx…")
  })

  it("no secret is in them, as it is or encoded for a URL or a form, nor the part of one that a limit leaves", () => {
    const secret = "c0de+with/special=chars & more~(yes)"
    for (
      const echoed of [
        secret,
        encodeURIComponent(secret),
        encodeURIComponent(secret).toLowerCase(),
        new URLSearchParams([["", secret]]).toString().slice(1)
      ]
    ) {
      assert.strictEqual(safeText(`got ${echoed}.`, [secret]), "got <redacted>.", echoed)
      assert.notInclude(safeText(`${"x".repeat(295)}${echoed}`, [secret]), echoed.slice(0, 4))
    }
  })

  it("a secret that holds another goes first", () => {
    assert.strictEqual(safeText("aaaa-bbbb", ["aaaa", "aaaa-bbbb"]), "<redacted>")
  })

  it.prop(
    "no secret of four characters or more survives",
    [FastCheck.string(), FastCheck.stringMatching(/^[!-~]{4,40}$/), FastCheck.string()],
    ([before, secret, after]) => {
      const text = safeText(`${before}${secret}${after}`, [secret])
      assert.isTrue(!text.includes(secret) || "<redacted>".includes(secret))
    }
  )
})
