/** Makes docs/images/trace.png: the trace of examples/opentelemetry as a picture. Needs Chromium. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { chromium } from "playwright-core"
import { main } from "../examples/opentelemetry/main.js"
import type { Row } from "../examples/opentelemetry/waterfall.js"

const page = (rows: ReadonlyArray<Row>): string => {
  const end = Math.max(...rows.map(({ duration, start }) => start + duration))
  const percent = (at: number) => `${((at / end) * 100).toFixed(2)}%`
  const lines = rows.map(({ depth, duration, events, name, start }) =>
    `<div class="row"><span class="name" style="padding-left:${depth * 18}px">${name}</span><span class="lane">
<i style="left:${percent(start)};width:max(3px,${percent(duration)})"></i>
${events.map(({ at, name }) => `<b style="left:${percent(at)}">◆ ${name}</b>`).join("")}</span>
<span class="ms">${duration.toFixed(0)} ms</span></div>`
  )
  return `<!doctype html><meta charset="utf-8"><style>
body{margin:0;padding:20px;font:14px system-ui,sans-serif;color:#1b2733;background:#fff;width:960px}
.row{display:flex;align-items:center;height:30px;border-top:1px solid #e4e9ee}
.name{width:250px;font-family:ui-monospace,monospace;font-size:13px}.ms{width:70px;text-align:right}
.lane{position:relative;flex:1;height:16px}.lane i{position:absolute;height:16px;border-radius:3px;background:#2f6f9f}
.lane b{position:absolute;top:-1px;font-size:12px;color:#8a3b00;background:#fff3e6;padding:0 5px;border-radius:3px}
</style>${lines.join("\n")}`
}

const program = Effect.gen(function*() {
  const rows = yield* main
  const executablePath = yield* Config.string("CHROMIUM").pipe(Config.withDefault("/usr/bin/chromium"))
  const browser = yield* Effect.acquireRelease(
    Effect.promise(() => chromium.launch({ executablePath, args: ["--no-sandbox"] })),
    (browser) => Effect.promise(() => browser.close())
  )
  yield* Effect.promise(() =>
    browser.newPage({ viewport: { width: 1000, height: 40 + rows.length * 31 } }).then((tab) =>
      tab.setContent(page(rows)).then(() => tab.screenshot({ path: "docs/images/trace.png" }))
    )
  )
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
