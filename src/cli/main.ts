/**
 * The entry point of the command `effect-safire`, which `scripts/bundle-cli.mjs` bundles.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { run } from "./Cli.js"

NodeRuntime.runMain(
  run(process.argv).pipe(Effect.provide(Layer.merge(NodeContext.layer, FetchHttpClient.layer))),
  {
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) && typeof exit.value === "number" ? exit.value : 1)
  }
)
