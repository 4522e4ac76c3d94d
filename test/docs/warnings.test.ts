import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import { ConformanceWarning } from "effect-safire"
import { expect } from "vitest"
import { watch } from "./subscribe.js"
import { entries, type Entry } from "./warnings.js"
import { secrets } from "./world.js"
import { wrap } from "./wrap.js"

const codes: ReadonlyArray<string> = ConformanceWarning.Code.literals
const entryOf: Readonly<Record<string, Entry>> = entries

const example = readFileSync(new URL("./subscribe.ts", import.meta.url), "utf8").trim()

const introduction = `# Conformance warnings

A server did something that its specification forbids or discourages, and the library tolerated it. The library is
strict on security, lenient on shape, and never silent. \`test/docs/warnings.test.ts\` runs the library against a
server that deviates, and compares the messages with this page.

A warning goes to three places:

- the log: level \`WARN\` at the first occurrence, \`DEBUG\` at a repetition; the annotation \`code\` has the code
- the metric \`effect_safire_conformance_warnings_total\`, with the tag \`code\`
- subscribers:

\`\`\`ts
${example}
\`\`\`

A warning holds names of members and rules, never a value that could be secret. The number in brackets is the
requirement in SMART App Launch 2.2 (\`hl7.fhir.uv.smart-app-launch_2.2.0\`).
[conformance.md](conformance.md) lists its tests under that number. Without a number, the rule comes from OAuth or
OpenID Connect.

`

const print = (code: string, { did, instead, tell }: Entry, warning: ConformanceWarning.ConformanceWarning): string =>
  `## ${code}\n\n\`\`\`text\n${warning.message}\n\`\`\`\n\n` +
  `- **What the server did.** ${did}\n- **What was done instead.** ${instead}\n` +
  `- **Requirement.** ${
    warning.requirement === undefined ? "None of SMART's own." : `SMART-${warning.requirement}.`
  }\n` +
  `- **Tell its operator.** ${tell}\n`

describe("docs/warnings.md", () => {
  it("has an entry for every code", () => {
    assert.sameMembers(Object.keys(entries), [...codes])
  })

  it.scoped("its example receives a reported warning", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      yield* Effect.forkScoped(watch((code) => Effect.sync(() => void heard.push(code))))
      yield* TestClock.adjust("1 second")
      const { report } = yield* ConformanceWarning.ConformanceWarnings
      yield* report(new ConformanceWarning.ConformanceWarning({ code: "ScopeMissing", server: "north", detail: "" }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(heard, ["ScopeMissing"])
    }).pipe(Effect.provide(ConformanceWarning.layer)))

  it.effect("has the messages of the warnings", () =>
    Effect.gen(function*() {
      const printed: Array<string> = []
      const problems: Array<string> = []
      for (const code of codes) {
        yield* TestClock.setTime(0)
        const entry = entryOf[code]
        if (entry === undefined) continue
        const exit = yield* Effect.exit(entry.example)
        if (Exit.isFailure(exit)) {
          problems.push(`${code}: ${Cause.pretty(exit.cause)}`)
          continue
        }
        const warning = exit.value.find((one) => one.code === code)
        if (warning === undefined) {
          problems.push(`${code} is not met, but ${exit.value.map((one) => one.code).join(", ") || "none"}`)
          continue
        }
        const { message } = warning
        if (/[\r\n]|undefined/.test(message)) problems.push(`${code}: ${message}`)
        if (!/north|ehr\.example\.org/.test(message)) problems.push(`${code} names no server: ${message}`)
        if (secrets.some((secret) => message.includes(secret))) problems.push(`${code} holds a secret`)
        printed.push(print(code, entry, warning))
      }
      assert.deepStrictEqual(problems, [])
      yield* Effect.promise(() =>
        expect(wrap(`${introduction}${printed.join("\n")}`)).toMatchFileSnapshot("../../docs/warnings.md")
      )
    }), 60_000)
})
