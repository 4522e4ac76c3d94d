import * as Schema from "effect/Schema"
import { isJsonObject } from "./JsonReader.js"

/**
 * The members of a JSON object, unchanged. `Schema.Record` would copy each member, and lose one with the name
 * `__proto__`.
 *
 * @internal
 */
export const JsonMembers: Schema.Schema<{ readonly [member: string]: unknown }> = Schema.declare(isJsonObject, {
  identifier: "JsonMembers",
  arbitrary: () => (fc) => fc.dictionary(fc.string(), fc.jsonValue())
})
