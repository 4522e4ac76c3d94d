import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
// The pure check, against `JSON.parse`.
import { endOfResource, type TypeRange } from "../../src/fhir/internal/jsonLine.js"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const check = (bytes: Uint8Array, from: number, type: TypeRange): number =>
  endOfResource(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), from, type)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The type of a line by `JSON.parse`; `undefined` if it is not a resource. */
const typeByParse = (line: string): string | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) && typeof value["resourceType"] === "string" && value["resourceType"] !== ""
      ? value["resourceType"]
      : undefined
  } catch {
    return undefined
  }
}

/** The type by the check; `undefined` if it leaves the line to `JSON.parse`. Other lines surround the line. */
const typeByCheck = (line: string): string | undefined => {
  const before = encoder.encode("]}\"\n")
  const bytes = encoder.encode(`]}"\n${line}\n{"resourceType":"Next"}\n`)
  const end = before.length + encoder.encode(line).length + 1
  const type = { from: 0, to: 0 }
  const found = check(bytes, before.length, type)
  if (found === -1) return undefined
  assert.strictEqual(found, end, line)
  return decoder.decode(bytes.subarray(type.from, type.to))
}

const resource = (members: string) => `{"resourceType":"Patient",${members}}`

/** Most lines of servers are checked without `JSON.parse`. */
const ACCEPTED = [
  "{\"resourceType\":\"Patient\"}",
  " { \"resourceType\" : \"Patient\" , \"a\" : [ ] , \"b\" : { } } \r".trimStart(),
  "{\"id\":\"a\",\"resourceType\":\"Patient\"}",
  "{\"resourceType\":\"Patient\",\"resourceType\":\"Group\"}",
  "{\"contained\":[{\"resourceType\":\"Group\"}],\"resourceType\":\"Patient\"}",
  ...[
    "\"a\":1",
    "\"a\":0",
    "\"a\":-0",
    "\"a\":-1.50",
    "\"a\":0.001",
    "\"a\":[1,2,[3,[]]]",
    "\"a\":[[],{},{\"b\":{}}]",
    "\"a\":true,\"b\":false,\"c\":null",
    "\"a\":\"\"",
    "\"a\":\"ä€😀\u007f\u2028\"",
    "\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\\uDE00\\ud83d\"",
    "\"\":1",
    "\"__proto__\":{\"a\":1}",
    `"a":${"[".repeat(60)}${"]".repeat(60)}`
  ].map(resource)
]

/** Valid lines that the check leaves to `JSON.parse`. */
const LEFT = [
  "{\"resource\\u0054ype\":\"Patient\"}",
  "{\"resourceType\":\"P\\u0061tient\"}",
  " {\"resourceType\":\"Patient\"}",
  resource("\"a\":1e3"),
  resource("\"a\":1E-999"),
  resource("\"a\":1e999"),
  resource(`"a":${"[".repeat(5000)}${"]".repeat(5000)}`)
]

const REFUSED = [
  "",
  " ",
  "{",
  "{}",
  "[]",
  "null",
  "\"resourceType\"",
  "{\"id\":\"a\"}",
  "{\"resourceType\":\"\"}",
  "{\"resourceType\":1}",
  "{\"resourceType\":null}",
  "{\"resourceType\":[\"Patient\"]}",
  "{\"resourceType\":{\"resourceType\":\"Patient\"}}",
  "{\"resourceType\":\"Patient\",\"resourceType\":1}",
  "{\"resourceType\":\"Patient\",\"resourceType\":\"\"}",
  "{\"resourceType\":\"Patient\",\"resource\\u0054ype\":1}",
  "{\"a\":{\"resourceType\":\"Patient\"}}",
  "{\"resourceTyp\":\"Patient\"}",
  "{\"resourceTypes\":\"Patient\"}",
  "{\"a\":\"resourceType\",\"b\":\"Patient\"}",
  "{\"resourceType\":\"Patient\"}}",
  "{\"resourceType\":\"Patient\"}]",
  "{\"resourceType\":\"Patient\"}{}",
  "{\"resourceType\":\"Patient\"},",
  "{\"resourceType\":\"Patient\"",
  "{\"resourceType\":\"Patient\",}",
  "{\"resourceType\":\"Patient\";}",
  "{\"resourceType\"\"Patient\"}",
  "{\"resourceType\":\"Patient}",
  "{resourceType:\"Patient\"}",
  "{'resourceType':'Patient'}",
  "{,\"resourceType\":\"Patient\"}",
  "\u00a0{\"resourceType\":\"Patient\"}",
  ...[
    "\"a\"",
    "\"a\":",
    "\"a\":,",
    "\"a\" 1",
    "\"a\":1 2",
    "\"a\":01",
    "\"a\":-",
    "\"a\":-01",
    "\"a\":+1",
    "\"a\":.5",
    "\"a\":5.",
    "\"a\":-.5",
    "\"a\":1.2.3",
    "\"a\":1e",
    "\"a\":0x1",
    "\"a\":NaN",
    "\"a\":Infinity",
    "\"a\":tru",
    "\"a\":trues",
    "\"a\":True",
    "\"a\":nul",
    "\"a\":fals",
    "\"a\":undefined",
    "\"a\":[",
    "\"a\":[1,]",
    "\"a\":[,1]",
    "\"a\":[1}",
    "\"a\":{\"b\":1]",
    "\"a\":{1:2}",
    "\"a\":{\"b\"}",
    "\"a\":[\"b\":1]",
    "\"a\":]",
    "\"a\":}",
    "\"a\":\"\t\"",
    "\"a\":\"\u0000\"",
    "\"a\":\"\\a\"",
    "\"a\":\"\\x41\"",
    "\"a\":\"\\u12\"",
    "\"a\":\"\\u12g4\"",
    "\"a\":\"\\",
    "\"a\\x\":1",
    "\"a\":\u00a01",
    "\"a\":\f1",
    "\"a\":\uFEFF1",
    "// c",
    "\"a\":1/**/",
    "1:2"
  ].map(resource)
]

describe("JsonLine", () => {
  it("accepts resources, and has the type that `JSON.parse` has", () => {
    for (const line of ACCEPTED) {
      assert.strictEqual(typeByCheck(line), typeByParse(line), line)
      assert.isDefined(typeByCheck(line), line)
    }
  })

  it("leaves rare spellings to `JSON.parse`", () => {
    for (const line of LEFT) {
      assert.isDefined(typeByParse(line), line.slice(0, 60))
      assert.isUndefined(typeByCheck(line), line.slice(0, 60))
    }
  })

  it("accepts no line that is not a resource", () => {
    for (const line of REFUSED) {
      assert.isUndefined(typeByParse(line), line)
      assert.isUndefined(typeByCheck(line), line)
    }
  })

  it("accepts no beginning of a line, and no line without its newline", () => {
    const type = { from: 0, to: 0 }
    for (const line of ACCEPTED) {
      const bytes = encoder.encode(line)
      for (let length = 0; length <= bytes.length; length++) {
        assert.strictEqual(check(bytes.subarray(0, length), 0, type), -1)
        const end = check(Uint8Array.from([...bytes.subarray(0, length), 10]), 0, type)
        if (end >= 0) assert.isDefined(typeByParse(decoder.decode(bytes.subarray(0, length))))
      }
    }
  })

  it("finds each byte that a string must not contain, at each position of a string", () => {
    const around = "abcdefgh !#[]~\u007f"
    for (let code = 0; code < 128; code++) {
      for (let at = 0; at <= around.length; at++) {
        const line = resource(`"a":"${around.slice(0, at)}${String.fromCharCode(code)}${around.slice(at)}"`)
        assert.strictEqual(typeByCheck(line), typeByParse(line), JSON.stringify(line))
      }
    }
  })

  it("accepts what `JSON.stringify` writes", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.dictionary(FastCheck.string({ unit: "grapheme" }), FastCheck.jsonValue({ noUnicodeString: false })),
        FastCheck.integer({ min: 0, max: 1 }),
        (members, isFirst) => {
          const type = { resourceType: "Patient" }
          const line = JSON.stringify(isFirst === 1 ? { ...type, ...members } : { ...members, ...type })
          const found = typeByCheck(line)
          // Exponents, and names with an escape, are left to `JSON.parse`.
          if (found === undefined) assert.match(line, /\\|\de/)
          else assert.strictEqual(found, typeByParse(line))
        }
      ),
      { numRuns: 500 }
    )
  })

  it("accepts a changed line only if it is still a resource", () => {
    const bytes = FastCheck.constantFrom(...encoder.encode("{}[]\",:\\0123456789eE+-.truefalsn u\t\r\u0001ä"))
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...ACCEPTED, ...LEFT.slice(0, -1)),
        FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.nat(2), bytes), { minLength: 1, maxLength: 3 }),
        (line, changes) => {
          const changed = [...encoder.encode(line)]
          // Replaces, inserts or removes bytes.
          for (const [at, kind, byte] of changes) {
            changed.splice(at % changed.length, kind === 1 ? 0 : 1, ...(kind === 2 ? [] : [byte]))
          }
          const text = decoder.decode(Uint8Array.from(changed))
          const found = typeByCheck(text)
          if (found !== undefined) assert.strictEqual(found, typeByParse(text), text)
        }
      ),
      { numRuns: 5_000 }
    )
  })
})
