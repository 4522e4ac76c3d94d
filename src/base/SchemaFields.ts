/**
 * What the schema classes of this library have in common: fields for reasons, for members of unknown shape, for
 * values that stay in memory and for dates, and their construction without validation.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
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

/**
 * The schema of the reasons of an error class, from the advice for each of them.
 *
 * @internal
 */
export const reasonsOf = <Reason extends string>(
  advice: Readonly<Record<Reason, string>>
): Schema.Literal<[Reason, ...Array<Reason>]> => Schema.Literal(...(Object.keys(advice) as [Reason, ...Array<Reason>]))

/**
 * A field that is omitted from the encoding, so that an error with tokens can be sent to a queue or a store.
 *
 * @internal
 */
export const inMemory = <A>(
  type: Schema.Schema<A>
): Schema.PropertySignature<"?:", A | undefined, never, "?:", unknown, false> =>
  Schema.optionalToOptional(Schema.Unknown, Schema.UndefinedOr(Schema.typeSchema(type)), {
    decode: () => Option.none<A | undefined>(),
    encode: () => Option.none<unknown>()
  })

/** The end of the year 9999: later years have more than four digits. */
const LAST_MILLIS = 253_402_300_799_999

/**
 * The date after a duration, at most the last date that can be stored.
 *
 * @internal
 */
export const later = (now: DateTime.Utc, duration: Duration.DurationInput): DateTime.Utc =>
  DateTime.unsafeMake(Math.min(DateTime.toEpochMillis(now) + Duration.toMillis(duration), LAST_MILLIS))

/**
 * An instance of a `Schema.Class` from fields that are already valid. The constructor of the class copies them three
 * times; with validation, it also compiles the validator of a transformation, such as a date or a secret, at each call.
 * Defaults of the constructor are not applied: `fields` has all members, also the `_tag`, and no others.
 *
 * @internal
 */
export const construct = <A extends object>(
  type: { readonly prototype: A },
  fields: { readonly [K in keyof A]: A[K] }
): A => Object.assign(Object.create(type.prototype), fields)
