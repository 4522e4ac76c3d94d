import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { isJsonObject, lineParser, others, parseJson, reader, withoutDeepMembers } from "../../src/base/JsonReader.js"

describe("members", () => {
  it.each([
    ["{}", {}],
    ["\uFEFF{\"a\":1}", { a: 1 }],
    ["null", null],
    ["[1]", [1]],
    ["\"x\"", "x"],
    [" {\"a\":\n1} ", { a: 1 }]
  ])("[SMART-374] parses %j, byte order mark or not", (text, value) => {
    assert.deepStrictEqual(parseJson(text), { value })
  })

  it.each(["", " ", "<html>", "{", "{\"a\":1}}", "undefined", "NaN", "{a:1}", "access_token=x", "\uFEFF\uFEFF{}"])(
    "%j is not JSON: `undefined`, without an exception",
    (text) => assert.isUndefined(parseJson(text))
  )

  it.prop("returns a value or `undefined` for any text, and does not throw", [FastCheck.string()], ([text]) => {
    const parsed = parseJson(text)
    assert.isTrue(parsed === undefined || "value" in parsed)
  })

  it("reads a number that is too large for JavaScript as null, because it could not be encoded", () => {
    const digits = "9".repeat(400)
    assert.deepStrictEqual(parseJson(`{"a":1e999,"b":[-1E+400,${digits}],"c":"1e999","d":1e300}`), {
      value: { a: null, b: [null, null], c: "1e999", d: 1e300 }
    })
    assert.deepStrictEqual(parseJson("-1e999"), { value: null })
    for (const before of [0, 1, 198, 199, 200, 201, 399]) {
      const space = " ".repeat(before)
      assert.deepStrictEqual(parseJson(`${space}[${"9".repeat(230)}e99]`), { value: [null] })
      assert.deepStrictEqual(parseJson(`${space}[${"9".repeat(309)}]`), { value: [null] })
    }
    const named = parseJson("{\"__proto__\":1e999}")?.value
    assert.deepStrictEqual(Object.entries(isJsonObject(named) ? named : {}), [["__proto__", null]])
    const depth = 10_000
    assert.isDefined(parseJson(`{"a":1e999,"b":${"[".repeat(depth)}${"]".repeat(depth)}}`))
  })

  it("finds a number that is too large with any digits and beside any values", () => {
    for (const before of [0, 1, 198, 199, 200, 201]) {
      const parsed = parseJson(`${" ".repeat(before)}[1${"0".repeat(309)}]`)
      assert.deepStrictEqual(parsed, { value: [null] }, `${before}`)
    }
    assert.deepStrictEqual(parseJson("{\"a\":null,\"b\":[true,null,\"x\"],\"c\":1e999}")?.value, {
      a: null,
      b: [true, null, "x"],
      c: null
    })
    for (const root of ["\"1e999\"", "null", "true"]) {
      assert.deepStrictEqual(parseJson(` ${root}`)?.value, JSON.parse(root))
    }
  })

  it("a number that was too large is a member like others", () => {
    const value = parseJson("{\"a\":1e999,\"b\":1}")?.value
    assert.deepStrictEqual(Object.getOwnPropertyDescriptors(value), Object.getOwnPropertyDescriptors({ a: null, b: 1 }))
  })

  it("`lineParser` reads the lines of a text, with and without large numbers", () => {
    for (const large of ["1e999", "1"]) {
      const parse = lineParser(`{"a":1}\n<html>\n{"b":${large}}`)
      assert.deepStrictEqual(parse("{\"a\":1}"), { a: 1 })
      assert.deepStrictEqual(parse("\uFEFF[2]"), [2])
      assert.isUndefined(parse("<html>"))
      assert.deepStrictEqual(parse(`{"b":${large}}`), { b: large === "1" ? 1 : null })
    }
  })

  it("members with at most 64 levels below them remain; deeper ones, and `__proto__`, are reported and absent", () => {
    const nested = (depth: number): unknown => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`)
    const refused: Array<string> = []
    const refuse = (member: string, expected: string) => void refused.push(`${member}: ${expected}`)
    const good = { text: "a", nothing: null, list: [1, null, "b"], deep: nested(65), object: { a: { b: nested(63) } } }
    assert.deepStrictEqual(withoutDeepMembers(good, refuse), good)
    assert.deepStrictEqual(refused, [])
    const bad = parseJson("{\"__proto__\":{\"polluted\":true},\"a\":1}")?.value
    const members = { ...isJsonObject(bad) ? bad : {}, tooDeep: nested(66), object: { a: { b: nested(64) } } }
    const withProto = Object.defineProperty(members, "__proto__", { value: {}, enumerable: true })
    const rest = withoutDeepMembers(withProto, refuse)
    assert.deepStrictEqual(Object.keys(rest), ["a"])
    assert.sameMembers(
      refused,
      ["__proto__", "tooDeep", "object"].map((name) => `${name}: a value of at most 64 levels`)
    )
  })

  it("reads documents of 100,000 levels without a defect", () => {
    const depth = 100_000
    const parsed = parseJson(`{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`)
    assert.isTrue(parsed === undefined || isJsonObject(parsed.value))
  })

  it("`isJsonObject` accepts objects only", () => {
    for (const value of [null, undefined, [], "x", 1, true]) assert.isFalse(isJsonObject(value))
    assert.isTrue(isJsonObject({}))
  })

  it("a member of the wrong type counts as absent and is reported; null counts as absent", () => {
    const refused: Array<string> = []
    const read = reader(
      { s: "x", empty: "", n: 1, nothing: null, list: ["a", 1], strings: ["a"], o: {}, b: false, objects: [{}, null] },
      (member, expected) => refused.push(`${member}: ${expected}`)
    )
    assert.strictEqual(read.string("s"), "x")
    assert.isUndefined(read.string("empty"))
    assert.isUndefined(read.string("n"))
    assert.isUndefined(read.string("nothing"))
    assert.isUndefined(read.string("absent"))
    assert.isUndefined(read.strings("list"))
    assert.isUndefined(read.strings("s"))
    assert.deepStrictEqual(read.strings("strings"), ["a"])
    assert.strictEqual(read.boolean("b"), false)
    assert.isUndefined(read.boolean("s"))
    assert.deepStrictEqual(read.object("o"), {})
    assert.isUndefined(read.object("list"))
    assert.isUndefined(read.objects("objects"))
    assert.deepStrictEqual(refused, [
      "empty: a non-empty string",
      "n: a non-empty string",
      "list: an array of strings",
      "s: an array of strings",
      "s: a boolean",
      "list: an object",
      "objects: an array of objects"
    ])
  })

  it("ignores inherited properties", () => {
    const { object, string } = reader({}, () => assert.fail("nothing is refused"))
    for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      assert.isUndefined(string(name))
      assert.isUndefined(object(name))
    }
  })

  it("keeps unknown members, also `__proto__`, as data without effect on prototypes", () => {
    const document = parseJson("{\"known\":1,\"x\":2,\"__proto__\":{\"polluted\":true}}")?.value
    assert.isTrue(isJsonObject(document))
    const rest = others(isJsonObject(document) ? document : {}, new Set(["known"]))
    assert.strictEqual(rest["x"], 2)
    assert.isTrue(Object.hasOwn(rest, "__proto__"))
    assert.strictEqual(Object.getPrototypeOf(rest), Object.prototype)
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
  })

  it("reads a document of many long numbers in linear time", () => {
    const text = `[${`${"1".repeat(299)},`.repeat(40_000)}1${"0".repeat(309)}]`
    const value = parseJson(text)?.value
    assert.isTrue(
      Array.isArray(value) && value.length === 40_001 && value[40_000] === null && value[0] === Number("1".repeat(299))
    )
  }, 8_000)
})
