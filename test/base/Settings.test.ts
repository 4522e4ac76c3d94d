import { assert, describe, it } from "@effect/vitest"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Settings from "../../src/base/Settings.js"

const read = <A>(config: Config.Config<A>, value?: string) =>
  Effect.withConfigProvider(
    config,
    ConfigProvider.fromMap(new Map(value === undefined ? [] : [["NAME", value]]))
  )

class Limit extends Context.Reference<Limit>()("test/Limit", { defaultValue: () => "default" }) {}

describe("Settings", () => {
  it.effect("a text is read unchanged; an absent or blank variable is absent", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* read(Settings.text("NAME"), "a b"), "a b")
      for (const value of [undefined, "", " ", "\t\n"]) {
        assert.isUndefined(yield* read(Settings.text("NAME"), value))
        assert.isUndefined(yield* read(Settings.secret("NAME"), value))
      }
    }))

  it.effect("a secret is redacted", () =>
    Effect.gen(function*() {
      const secret = yield* read(Settings.secret("NAME"), "s3cr3t")
      assert.isTrue(Redacted.isRedacted(secret))
      assert.strictEqual(secret === undefined ? undefined : Redacted.value(secret), "s3cr3t")
    }))

  it.effect("a flag is one of the words of `Config.boolean` in upper or lower case; absent is off", () =>
    Effect.gen(function*() {
      for (const value of ["true", "yes", "on", "1", "TRUE", " On "]) {
        assert.isTrue(yield* read(Settings.flag("NAME"), value), value)
      }
      for (const value of ["false", "no", "off", "0", "FALSE", " Off ", "", " ", undefined]) {
        assert.isFalse(yield* read(Settings.flag("NAME"), value), value)
      }
    }))

  it.effect("another word is an error that names the variable", () =>
    Effect.gen(function*() {
      for (const value of ["untrue", "trues", "nope", "10", "01", "oo", "enable", "a false"]) {
        const error = yield* Effect.flip(read(Settings.flag("NAME"), value))
        assert.deepStrictEqual(error._op === "InvalidData" && error.path, ["NAME"], value)
      }
    }))

  it.effect("the setting of a call has precedence over that of the build, and that over the default", () =>
    Effect.gen(function*() {
      const plain = yield* Settings.withBuildTimeDefault(Limit)
      const built = yield* Effect.provideService(Settings.withBuildTimeDefault(Limit), Limit, "of the build")
      const ofCall = Effect.provideService(Limit, "of the call")
      assert.strictEqual(yield* plain(Limit), "default")
      assert.strictEqual(yield* ofCall(plain(Limit)), "of the call")
      assert.strictEqual(yield* built(Limit), "of the build")
      assert.strictEqual(yield* ofCall(built(Limit)), "of the call")
    }))
})
