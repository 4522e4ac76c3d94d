/**
 * Serves the page with a sandbox EHR: `npx tsx examples/react/serve.ts`, then open what it prints. The server is that
 * of `browser-app`; in your project, Vite serves the page.
 */
import { fileURLToPath } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as BrowserApp from "../browser-app/serve.js"

const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="fhir-base-url" content="{{fhirBaseUrl}}">
<title>Chart in React</title>
<link rel="icon" href="data:,">
<div id="root"></div>
<script type="module" src="/main.js"></script>
</html>`

/** Serves until the scope closes. */
export const serve = (port: number) =>
  BrowserApp.serve(port, { page: { html, entryPoint: fileURLToPath(new URL("main.tsx", import.meta.url)) } })

if (process.argv[1]?.endsWith("react/serve.ts") === true) {
  serve(4174).pipe(
    Effect.tap(({ baseUrl }) => Console.log(`open ${baseUrl}/, and end with Ctrl-C`)),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    NodeRuntime.runMain
  )
}
