/** The configured hospitals, and those where the app has registered itself. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import type { Hospital } from "./Hospital.js"

export interface Service {
  readonly all: Effect.Effect<ReadonlyArray<Hospital>>
  readonly find: (key: string) => Effect.Effect<Hospital | undefined>
  /** The name of a server, by its key. */
  readonly nameOf: (key: string) => Effect.Effect<string>
  readonly add: (hospital: Hospital) => Effect.Effect<void>
  readonly remove: (key: string) => Effect.Effect<void>
}

export class Hospitals extends Context.Tag("examples/app/Hospitals")<Hospitals, Service>() {}

export const layer = (configured: ReadonlyArray<Hospital>): Layer.Layer<Hospitals> =>
  Layer.effect(
    Hospitals,
    Effect.map(Ref.make(configured), (known) => {
      const find = (key: string) => Effect.map(Ref.get(known), (all) => all.find((hospital) => hospital.key === key))
      const without = (key: string) => (all: ReadonlyArray<Hospital>) => all.filter((hospital) => hospital.key !== key)
      return {
        all: Ref.get(known),
        find,
        nameOf: (key) => Effect.map(find(key), (hospital) => hospital?.name ?? key),
        add: (hospital) => Ref.update(known, (all) => [...without(hospital.key)(all), hospital]),
        remove: (key) => Ref.update(known, without(key))
      }
    })
  )
