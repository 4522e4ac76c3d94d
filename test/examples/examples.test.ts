// Its tests are an example by themselves, and run here.
import "../../examples/tests-without-network/test/app.test.js"
import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Table from "../../examples/custom-store/table.js"
import * as TableSessionStore from "../../examples/custom-store/TableSessionStore.js"
import { root, runExample } from "../support/runExample.js"
import { Place, sessionStoreContract } from "../support/sessionStoreContract.js"
import { assertLinksExist, file } from "../support/shownExamples.js"

/** What each says that proves what it shows. */
const SAYS: Readonly<Record<string, ReadonlyArray<string | RegExp>>> = {
  "shared-metadata-cache/main.ts": [/^(process \d+: 2 clients know where.*\n){2}1 discovery at the EHR$/m],
  "server-registry/main.ts": [
    /^north: to http:\/\/127\.0\.0\.1:\d+ as sandbox-public-app$/m,
    /^south: to http:\/\/127\.0\.0\.1:\d+ as sandbox-symmetric-app$/m,
    "refused (IssUntrusted) https://ehr.evil.example/fhir",
    "(UnknownKey; configured: north, south)",
    /^refused .*\nwest: to .*\nrefused .*$/m,
    "1, 1, 1 requests in all"
  ],
  "proactive-renewal/main.ts": [
    /^20 readers, 800 reads, [1-9] renewals, 0 reads met an expired token$/m,
    /^after [\d.]+ s: Renewed$/m
  ],
  "retry-with-backoff/main.ts": [
    /restarted\n(  DiscoveryError 503\n){3}  done after 4 requests/,
    /come back in a second\n  TokenError 429\n  done after 2 requests and [1-9]/,
    /the outcome is unknown.*\n(  TokenError\n)+  failed after 2 requests/,
    /for this one call.*\n  failed after 1 requests/,
    /says no\n  TokenError 400\n  failed after 1 requests/,
    /all is well\n  done after 1 requests/
  ],
  "scopes-per-request/main.ts": [
    "granted: launch/patient patient/Patient.rs offline_access\n",
    /beside.*\nasked: .* patient\/Observation\.cus\?category=\S+vital-signs\ngranted: .*vital-signs$/m,
    "asked:   launch/patient patient/Immunization.rs\n",
    "for want of patient/Observation.cus",
    /nothing else\ngranted: patient\/Patient\.r$/m,
    "ScopeExceedsGrant"
  ],
  "client-types/public.ts": ["none: logged in, read Patient patient-alpha, renewed the token"],
  "client-types/confidential-symmetric.ts": ["client_secret_basic: logged in, read Patient patient-alpha, renewed"],
  "client-types/confidential-asymmetric.ts": ["private_key_jwt: logged in, read Patient patient-alpha, renewed"],
  "key-rotation/main.ts": [
    /signed with old, published: old\n.*with old, published: old and new\n.*with new, published: new and old\n.*with new, published: new$/m,
    /^  \d\d tokens, 0 refused$/m,
    /before: 200\n[^]*the server not yet: 401, then 200\n  both have it: 200$/m
  ],
  "custom-store/main.ts": [
    "started in one instance, known in the other",
    "50 callers in both, 1 renewal, 1 new token",
    "a token readable in them: false",
    "ended: Session cannot continue (NotFound)"
  ]
}

/** Two at a time: each is a process that loads all of it. */
const running = Effect.runSync(Effect.makeSemaphore(2))

describe.concurrent("the examples, each a program by itself", () => {
  for (const [path, expected] of Object.entries(SAYS)) {
    it.live(path, () =>
      Effect.gen(function*() {
        const { code, output } = yield* running.withPermits(1)(runExample(path))
        assert.strictEqual(code, 0, output)
        for (const words of expected) {
          if (typeof words === "string") assert.include(output, words)
          else assert.match(output, words)
        }
      }), 120_000)
  }
})

describe("the client types", () => {
  /** A program without its title, its imports, and the layer that says who the app is. */
  const rest = (kind: string) =>
    file(`examples/client-types/${kind}.ts`)
      .replace(/^\/\*\*.*\*\/\n/, "")
      .replace(/^import .*\n/gm, "")
      .replace(/const Authentication = [^]*?\n\n/, "")

  it("differ in one layer and its imports", () => {
    const program = rest("public")
    assert.include(program, "app.pipe(")
    assert.strictEqual(rest("confidential-symmetric"), program)
    assert.strictEqual(rest("confidential-asymmetric"), program)
  })
})

describe("examples/README.md", () => {
  const readme = file("examples/README.md")

  it("lists every example, and links to files that exist", () => {
    const folders = readdirSync(`${root}examples`, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    for (const { name } of folders) assert.include(readme, `\`${name}/`)
    assertLinksExist(readme, "examples/")
  })
})

sessionStoreContract(
  "the custom store of the examples",
  Layer.sync(Place, () => {
    const table = Table.make()
    return { connect: Effect.sync(() => TableSessionStore.backing(table)) }
  })
)
