/**
 * The style sheet and the script of both sites: `/assets/style.css` and `/assets/ui.js`.
 */
import { fileURLToPath } from "node:url"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"

/** The file next to the module with the URL `base`, at `/assets`. */
export const asset = (name: string, contentType: string, base: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(fileURLToPath(new URL(name, base)))).pipe(
    Effect.orDie,
    Effect.provide(NodeFileSystem.layer),
    Effect.map((content) =>
      HttpLayerRouter.route(
        "GET",
        `/assets/${name}`,
        HttpServerResponse.text(content, {
          contentType,
          headers: { "cache-control": "no-cache", "x-content-type-options": "nosniff" }
        })
      )
    )
  )

/** Routes to merge with a site's own. */
export const layer: Layer.Layer<never, never, HttpLayerRouter.HttpRouter> = HttpLayerRouter.addAll(
  Effect.all([
    asset("style.css", "text/css; charset=utf-8", import.meta.url),
    asset("ui.js", "text/javascript; charset=utf-8", import.meta.url)
  ])
)
