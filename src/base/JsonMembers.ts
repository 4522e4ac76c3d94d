import * as Schema from "effect/Schema"
import { isJsonObject } from "./JsonReader.js"

/**
 * The members of a JSON object that another program wrote, as they are. `Schema.Record` would copy them one by one, and lose one that is called `__proto__`.
 *
 * @internal
 */
export const JsonMembers: Schema.Schema<{ readonly [member: string]: unknown }> = Schema.declare(isJsonObject, {
  identifier: "JsonMembers",
  arbitrary: () => (fc) => fc.dictionary(fc.string(), fc.jsonValue())
})
