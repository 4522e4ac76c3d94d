/**
 * How a callback that arrived in a popup comes to the page that opened it: over a wire named after the launch's `state`, which nobody but the two can guess.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { equal } from "../../base/ConstantTime.js"
import { stateOf } from "../../launch/AuthorizationCallback.js"
import type { Wire } from "../Page.js"

const Message = Schema.parseJson(
  Schema.Union(
    Schema.Struct({ kind: Schema.Literal("callback"), url: Schema.String }),
    Schema.Struct({ kind: Schema.Literal("taken") })
  )
)
type Message = typeof Message.Type
const decode = Schema.decodeOption(Message)
const encode = Schema.encodeSync(Message)

/** @internal */
export const nameOf = (state: Redacted.Redacted): string => `effect-safire:callback:${Redacted.value(state)}`

/** The next message that `pick` makes something of. */
const next = <A>(wire: Wire, pick: (message: Message) => Option.Option<A>): Effect.Effect<A> =>
  Effect.flatMap(
    Queue.take(wire.received),
    (text) =>
      Option.match(Option.flatMap(decode(text), pick), { onNone: () => next(wire, pick), onSome: Effect.succeed })
  )

const answers = (url: string, state: Redacted.Redacted): boolean =>
  Option.exists(Either.getRight(stateOf(url)), (given) => equal(Redacted.value(given), Redacted.value(state)))

/** Waits for the callback of a launch, and says that it came. Anything else is not meant for who waits here. */
export const receive = (wire: Wire, state: Redacted.Redacted): Effect.Effect<Redacted.Redacted> =>
  next(wire, (message) =>
    message.kind === "callback" && answers(message.url, state)
      ? Option.some(Redacted.make(message.url))
      : Option.none()).pipe(
      Effect.zipLeft(wire.send(encode({ kind: "taken" })))
    )

const ANSWER_MILLIS = 1000

/** Whether somebody took the callback. */
export const handOver = (wire: Wire, callback: Redacted.Redacted<URL>): Effect.Effect<boolean> =>
  wire.send(encode({ kind: "callback", url: Redacted.value(callback).href })).pipe(
    Effect.zipRight(next(wire, (message) => message.kind === "taken" ? Option.some(true) : Option.none())),
    Effect.timeoutTo({ duration: ANSWER_MILLIS, onSuccess: (taken) => taken, onTimeout: () => false })
  )
