/**
 * The time by the clock of the running fiber, where a step of the fiber for `Clock.currentTimeMillis` would cost more
 * than the rest of the operation.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

/**
 * Epoch milliseconds. Call it inside of an effect: elsewhere no fiber is running, and the default clock is used.
 *
 * @internal
 */
export const unsafeMillis = (): number => {
  const fiber = Fiber.getCurrentFiber()
  const services = Option.isSome(fiber) ? fiber.value.currentDefaultServices : DefaultServices.liveServices
  return Context.unsafeGet(services, Clock.Clock).unsafeCurrentTimeMillis()
}
