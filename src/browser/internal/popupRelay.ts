/**
 * Sends a callback from a popup to the page that opened it, over a channel named after the launch's `state`, which only
 * these two pages know.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { equal } from "../../base/ConstantTime.js"
import { stateOf } from "../../launch/AuthorizationCallback.js"
import type { Channel } from "../Page.js"

const Message = Schema.parseJson(
  Schema.Union(
    Schema.Struct({ kind: Schema.Literal("callback"), url: Schema.String }),
    Schema.Struct({ kind: Schema.Literal("taken") })
  )
)
type Message = typeof Message.Type
const decode = Schema.decodeOption(Message)
const encode = Schema.encodeSync(Message)

export const channelName = (state: Redacted.Redacted): string => `effect-safire:callback:${Redacted.value(state)}`

/** The first result of `pick` for a received message. */
const next = <A>(channel: Channel, pick: (message: Message) => Option.Option<A>): Effect.Effect<A> =>
  Effect.flatMap(
    Queue.take(channel.received),
    (text) =>
      Option.match(Option.flatMap(decode(text), pick), { onNone: () => next(channel, pick), onSome: Effect.succeed })
  )

const belongsTo = (url: string, state: Redacted.Redacted): boolean =>
  Option.exists(Either.getRight(stateOf(url)), (received) => equal(Redacted.value(received), Redacted.value(state)))

/** Waits for the callback of the launch, and confirms it. Ignores other messages. */
export const receive = (channel: Channel, state: Redacted.Redacted): Effect.Effect<Redacted.Redacted> =>
  next(channel, (message) =>
    message.kind === "callback" && belongsTo(message.url, state)
      ? Option.some(Redacted.make(message.url))
      : Option.none()).pipe(
      Effect.zipLeft(channel.send(encode({ kind: "taken" })))
    )

const CONFIRMATION_MILLIS = 1000

/** Sends a callback, and returns whether the other page confirmed it. */
export const forward = (channel: Channel, callback: Redacted.Redacted<URL>): Effect.Effect<boolean> =>
  channel.send(encode({ kind: "callback", url: Redacted.value(callback).href })).pipe(
    Effect.zipRight(next(channel, (message) => message.kind === "taken" ? Option.some(true) : Option.none())),
    Effect.timeoutTo({ duration: CONFIRMATION_MILLIS, onSuccess: (taken) => taken, onTimeout: () => false })
  )
