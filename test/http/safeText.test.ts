import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as HttpStatus from "../../src/base/HttpStatus.js"
import { safeText } from "../../src/http/Redaction.js"
import { encodings, leak } from "../support/canary.js"

describe("safeText", () => {
  it("transient statuses are 408, 429, 502, 503 and 504", () => {
    const transient = Array.from({ length: 500 }, (_, index) => index + 100).filter(HttpStatus.isTransient)
    assert.deepStrictEqual(transient, [408, 429, 502, 503, 504])
    assert.isFalse(HttpStatus.isTransient(undefined))
  })

  it("a server's text becomes one printable line of bounded length", () => {
    assert.strictEqual(safeText("a\r\nb\u0000\u001b[31mc\u2028d\u0085e", []), "a b [31mc d e")
    assert.strictEqual(safeText("x".repeat(400), []).length, 301)
    assert.strictEqual(safeText("x".repeat(400), [], 10), "xxxxxxxxxx…")
    assert.strictEqual(safeText("x".repeat(10), [], 10), "xxxxxxxxxx")
    assert.strictEqual(safeText(" \n a \t", []), "a")
  })

  it("a secret is removed, plain or encoded for a URL or a form, also if the length limit would cut it", () => {
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

  describe("a secret that the server has encoded", () => {
    const secrets = [
      "c0de+with/special=chars & more~(yes)\"<ü>",
      "A-plain_t0ken.of.43.characters.AbCdEfGhIjKl",
      "sh0rt!"
    ]
    for (const [name, encode] of Object.entries(encodings)) {
      it(`${name} is not shown`, () => {
        for (const secret of secrets) {
          for (const echoed of [encode(secret), encode(`id:${secret}`), encode(`{"code":"${secret}","x":1}`)]) {
            const text = safeText(`got ${echoed}.`, ["another-secret", ...secrets])
            assert.isTrue(text.startsWith("got ") && text.includes("<redacted>"), text)
            assert.isUndefined(leak(text, [secret]), text)
          }
        }
      })
    }
  })

  it("a part of a long secret is removed, also if the server shortens it or splits it over lines", () => {
    const secret = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCde"
    for (
      const echoed of [secret.slice(0, 30), secret.slice(10), secret.replace(/.{10}/g, "$&\r\n "), secret.toLowerCase()]
    ) {
      assert.notMatch(safeText(`got ${echoed}`, [secret]), /opqrst|0123456/i, echoed)
    }
    assert.strictEqual(safeText("got abcdefghijkl", ["AbCdEfGhIjKl"]), "got <redacted>")
    assert.notInclude(safeText(`${"x".repeat(4080)}${secret}`, [secret], 10_000), secret.slice(0, 16))
  })

  it("text that is still encoded after four passes is dropped", () => {
    const secret = "A-plain_t0ken/of+43"
    const deep = Array.from({ length: 6 }).reduce<string>((text) => encodeURIComponent(text), secret)
    assert.strictEqual(safeText(`got ${deep}`, [secret]), "<redacted>")
    assert.strictEqual(safeText("50%25 of 100%", [secret]), "50%25 of 100%")
  })

  it("without a secret of the client, a text is shown as it is, however often it is encoded", () => {
    const text = `%${"25".repeat(9)}41 and more`
    for (const secrets of [[], ["abc"]]) assert.strictEqual(safeText(text, secrets), text)
  })

  it("an entity of HTML that is not a letter or digit separates words, and each code point can be one", () => {
    assert.strictEqual(safeText("ab&nbsp;cd", ["abcd"]), "ab&nbsp;cd")
    assert.strictEqual(safeText("got ab&#x10ffff;cd", ["ab\u{10ffff}cd"]), "got <redacted>")
  })

  it("of a text, 4,096 characters are shown, and of a secret, 16,384 are searched for", () => {
    assert.lengthOf(safeText("-".repeat(5_000), [], 10_000), 4_096)
    const secret = `${"0123456789abcdef".repeat(1_024)}ghijklmnopqrstuvwxyz`
    assert.strictEqual(safeText(`got ${secret.slice(0, 40)}`, [secret]), "got <redacted>")
    assert.strictEqual(safeText("got ghijklmnopqrstuvwxyz", [secret]), "got ghijklmnopqrstuvwxyz")
  })

  it("a JSON Web Token is removed, also if it is not among the secrets", () =>
    assert.strictEqual(safeText("bad token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA!", []), "bad token <redacted>!"))

  it("the text around a secret is kept", () => {
    const words = "The authorization code is invalid, expired, or was issued to another client (correlation 0b1c-42)"
    assert.strictEqual(safeText(words, ["AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCde", "code-1"]), words)
  })

  it("control characters are removed, and a surrogate pair is not split", () => {
    assert.strictEqual(safeText("a\u202eb\u200bc\ufeffd", []), "a b c d")
    assert.strictEqual(safeText(`${"x".repeat(9)}😀`, [], 10), `${"x".repeat(9)}…`)
    assert.strictEqual(safeText(`😀${"x".repeat(20)}`, [], 10), `😀${"x".repeat(8)}…`)
  })

  it("the work is linear in a repetitive megabyte with secrets of that length", () => {
    const long = "a".repeat(1_000_000)
    for (
      const text of [
        long,
        "%25".repeat(300_000),
        "\\\\".repeat(500_000),
        "&amp;".repeat(200_000),
        "eyJ".repeat(300_000)
      ]
    ) {
      assert.isAtMost(safeText(text, [long, `${long}b`, long.slice(1), "aaaaaaaaaaab", "eyJa"]).length, 301)
    }
  })

  it("a secret that contains another secret is removed completely", () => {
    assert.strictEqual(safeText("aaaa-bbbb", ["aaaa", "aaaa-bbbb"]), "<redacted>")
  })

  it.each([
    ["p\u00e455", "p%C3%A455"],
    ["p\u00e455", "p&#228;55"],
    ["p\u00e455", "p&#xE4;55"],
    ["p\u00e455", "p\\u00e455"],
    ["a&b<c", "a&amp;b&lt;c"],
    ["a&b<c", "a&AMP;b&LT;c"],
    ["a.b-c", "a\\.b\\-c"],
    ["a.b-c", "\\x61.b\\x2dc"],
    // Between the letters of a long secret, an entity and an escaped line break are gaps.
    ["AbCdEfGhIjKlMnOp", "AbCdEfGh&shy;IjKlMnOp"],
    ["AbCdEfGhIjKlMnOp", "AbCdEfGh\\nIjKlMnOp"],
    ["AbCdEfGhIjKlMnOp", "AbCdEfGh\\r\\nIjKlMnOp"]
  ])(
    "the short secret %s is removed from its echo %s",
    (secret, echoed) =>
      assert.strictEqual(safeText(`got ${echoed} twice ${echoed}.`, [secret]), "got <redacted> twice <redacted>.")
  )

  it("a short secret is removed from base64, at every position of the encoded text", () => {
    for (const secret of ["sh0rt!", "qW3rTy7", "p4ss-w0rd"]) {
      for (const before of ["", "a", "ab", "abc"]) {
        for (const after of ["", "y", "yz"]) {
          const encoded = Buffer.from(`${before}${secret}${after}`).toString("base64")
          assert.include(safeText(`got ${encoded}`, [secret]), "<redacted>", `${before}${secret}${after}`)
        }
      }
    }
  })

  it("words that resemble a short secret are kept", () => {
    assert.strictEqual(safeText("the cat sat", ["cat", ""]), "the cat sat")
    assert.strictEqual(safeText("the token has expired", ["EXPIRED!"]), "the token has expired")
  })

  it("text that is encoded four times is read", () => {
    const four = Array.from({ length: 4 }).reduce<string>((text) => encodeURIComponent(text), "A-plain_t0ken/of+43")
    assert.strictEqual(safeText(`got ${four}.`, ["A-plain_t0ken/of+43"]), "got <redacted>.")
  })

  it.each(["&#x110000;", "&#xffffff;", "&#1114112;", "&#9999999;", "&#xd800;", "\\ud800"])(
    "%s does not stand for a character and is shown as it is",
    (entity) => assert.strictEqual(safeText(`a ${entity} b`, ["another-secret"]), `a ${entity} b`)
  )

  it.prop(
    "no secret of four characters or more survives",
    [FastCheck.string(), FastCheck.stringMatching(/^[!-~]{4,40}$/), FastCheck.string()],
    ([before, secret, after]) => {
      const text = safeText(`${before}${secret}${after}`, [secret])
      assert.isTrue(!text.includes(secret) || "<redacted>".includes(secret))
    }
  )
})
