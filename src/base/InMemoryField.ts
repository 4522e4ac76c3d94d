import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

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
