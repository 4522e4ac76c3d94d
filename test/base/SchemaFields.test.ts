import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { parseJson } from "../../src/base/JsonReader.js"
import * as SchemaFields from "../../src/base/SchemaFields.js"

describe("SchemaFields", () => {
  it("`JsonMembers` are JSON objects, unchanged, also a member `__proto__`", () => {
    const members = parseJson("{\"a\":1,\"__proto__\":{\"b\":2}}")?.value
    assert.strictEqual(Schema.decodeUnknownSync(SchemaFields.JsonMembers)(members), members)
    for (const value of [[], null, "a", 1, undefined]) assert.isFalse(Schema.is(SchemaFields.JsonMembers)(value))
  })

  it.prop("`JsonMembers` has arbitrary values", [SchemaFields.JsonMembers], ([members]) => {
    assert.isTrue(Schema.is(SchemaFields.JsonMembers)(members))
  })

  it("`reasonsOf` accepts the reasons that have an advice", () => {
    const isReason = Schema.is(SchemaFields.reasonsOf({ Missing: "add it", Invalid: "correct it" }))
    assert.deepStrictEqual(["Missing", "Invalid", "add it", "toString", ""].filter(isReason), ["Missing", "Invalid"])
  })

  it("a field that is `inMemory` is in the class and not in its encoding", () => {
    class Box extends Schema.Class<Box>("test/Box")({
      name: Schema.String,
      tokens: SchemaFields.inMemory(Schema.DateFromSelf)
    }) {}
    const date = new Date(0)
    const box = new Box({ name: "a", tokens: date })
    assert.strictEqual(box.tokens, date)
    assert.deepStrictEqual(Schema.encodeSync(Box)(box), { name: "a" })
    const decoded = Schema.decodeUnknownSync(Box)({ name: "a", tokens: date })
    assert.isUndefined(decoded.tokens)
    assert.isFalse("tokens" in decoded)
  })

  it.prop(
    "`later` adds the duration, and ends at the last date with four digits of the year",
    [FastCheck.integer({ min: 0, max: 253_402_300_799_999 }), FastCheck.nat()],
    ([now, seconds]) => {
      const end = DateTime.toEpochMillis(SchemaFields.later(DateTime.unsafeMake(now), `${seconds} seconds`))
      assert.strictEqual(end, Math.min(now + seconds * 1000, 253_402_300_799_999))
    }
  )

  it("`later` accepts an infinite duration", () =>
    assert.strictEqual(
      DateTime.formatIso(SchemaFields.later(DateTime.unsafeMake(0), Infinity)),
      "9999-12-31T23:59:59.999Z"
    ))

  it("`construct` makes an instance with the fields", () => {
    class Box extends Schema.TaggedClass<Box>()("Box", { name: Schema.String }) {}
    const box = SchemaFields.construct(Box, { _tag: "Box", name: "a" })
    assert.instanceOf(box, Box)
    assert.deepStrictEqual(box, new Box({ name: "a" }))
  })
})
