import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { expect } from "vitest"
import { contents, print, type Section } from "./entry.js"
import * as Browser from "./errors/browser.js"
import * as Fhir from "./errors/fhir.js"
import * as Launch from "./errors/launch.js"
import * as Leaf from "./errors/leaf.js"
import * as Server from "./errors/server.js"
import * as Session from "./errors/session.js"
import * as Token from "./errors/token.js"
import * as Udap from "./errors/udap.js"
import * as UdapClient from "./errors/udapClient.js"
import { token } from "./example.js"
import { atSandbox, type Met, secrets } from "./world.js"
import { wrap } from "./wrap.js"

/** In the order of a launch. */
const sections = [
  Server.configurationError,
  Server.discoveryError,
  Server.metadataError,
  Server.brandsError,
  Launch.registrationError,
  Launch.launchError,
  Launch.authorizationError,
  Token.tokenError,
  Token.idTokenError,
  Launch.unknownServerError,
  Session.sessionError,
  Fhir.fhirError,
  Fhir.tokenAudienceError,
  Udap.udapDiscoveryError,
  Udap.trustError,
  UdapClient.udapRegistrationError,
  UdapClient.clientAuthenticationError,
  Leaf.transportError,
  Browser.browserLaunchError,
  Leaf.sandboxError
]

const root = new URL("../../", import.meta.url).pathname

const sources: ReadonlyArray<readonly [path: string, text: string]> = readdirSync(join(root, "src"), {
  recursive: true,
  encoding: "utf8"
}).filter((path) => path.endsWith(".ts")).map((path) => [path, readFileSync(join(root, "src", path), "utf8")])

const example = readFileSync(new URL("./example.ts", import.meta.url), "utf8").trim()

const introduction = `# Errors

All errors of this library with their messages, causes and remedies. \`test/docs/errors.test.ts\` produces the messages with a failing server and compares them with this page: your log has the same messages with other host names.

## How errors look

An error is a class (\`Schema.TaggedError\`) with these members:

- \`_tag\`, the name of its class, for \`Effect.catchTag\`;
- \`reason\`, one of a closed set of literals, by which a program decides. Each section below has one class, each heading one reason;
- \`message\`, one line for a log: the operation, the server, the failure, the reason in parentheses, and the remedy after a semicolon. It can change with any version, so decide by \`_tag\` and \`reason\`;
- \`isRetryable\`: the failure is temporary. The library has already repeated the request where that is safe, as often as the \`RetryPolicy\` allows;
- \`processed\`, where a request may have changed something: \`no\`, the server did not act, or the request was never sent; \`partly\`, it processed some requests of a transaction; \`unknown\`, it may have acted. Only after \`no\` is a code, a refresh token or a write certainly unused;
- \`code\` of a \`DiscoveryError\`, where the connection failed: the code of the system or of TLS, such as \`ECONNREFUSED\`;
- if a server responded: \`status\`, \`error\`, \`errorDescription\`, \`errorUri\`, \`retryAfter\`.

An error, its message, its JSON and its \`cause\` never contain secrets, codes, states, verifiers, assertions, tokens, session ids, values of claims. Text of a server is cut to one line of 300 characters, without values of the request, also if the server has encoded them; URLs are cut to 200 characters. Some members have more than the \`message\`: \`tokens\` of an \`IdTokenError\`, \`issued\` of a \`TokenError\` and \`credentials\` of a \`RegistrationError\` are \`Redacted\` and not part of the encoded error; \`issues\`, \`entries\`, \`location\`, \`errorDescription\` and \`bodyExcerpt\` of a \`FhirError\` are texts of the server, which may mention a patient: log the \`message\`, not the JSON.

Errors are schemas: \`Schema.encode(TokenError)\` gives JSON for a queue or another process, and decodes to the same error there. A defect (\`Die\`) is a bug of this library: please report it.

## How to handle them

Use \`catchTag\` or \`catchTags\` for the classes that you handle, and a \`switch\` over their reasons; other errors propagate:

\`\`\`ts
${example}
\`\`\`

For operators: the status of the failed span is the message. The metric \`effect_safire_token_requests_total\` counts operations by reason, and \`effect_safire_retries_total\` counts retries. Tolerated deviations are warnings, not errors: see [warnings.md](warnings.md).

## Contents

`

/** What a message must not be. */
const problemOf = (section: Section, reason: string, met: Met): string | undefined => {
  if (met._tag !== section.name || met.reason !== reason) return "another error"
  if (/[\r\n\u2028\u2029]/.test(met.message)) return "more than one line"
  if (/undefined|\[object|NaN/.test(met.message)) return "something that was not to be printed"
  if (!section.names.test(met.message)) return "names no server"
  if (met.message.length > 600) return "too long"
  const json = JSON.stringify(met)
  return secrets.some((secret) => `${met.message} ${json}`.includes(secret)) ? "holds a secret" : undefined
}

describe("docs/errors.md", () => {
  it("has a section for every error class", () => {
    const classes = sources.flatMap(([, text]) =>
      [...text.matchAll(/Schema\.TaggedError<(\w+)>/g)].map(([, name = ""]) => name)
    )
    assert.sameMembers(classes, sections.map(({ name }) => name))
  })

  it("has an entry for every reason", () => {
    for (const section of sections) {
      assert.sameMembers(Object.keys(section.entries), [...section.literals], section.name)
    }
  })

  it.effect("has the messages of the errors", () =>
    Effect.gen(function*() {
      const printed: Array<string> = []
      const problems: Array<string> = []
      for (const section of sections) {
        const examples = new Map<string, Met>()
        for (const reason of section.literals) {
          const where = `${section.name}: ${reason}`
          yield* TestClock.setTime(0)
          const exit = yield* Effect.exit(section.entries[reason]?.example ?? Effect.die("no entry"))
          if (Exit.isFailure(exit)) {
            problems.push(`${where} is not met: ${Cause.pretty(exit.cause)}`)
            continue
          }
          const { value } = exit
          const problem = problemOf(section, reason, value)
          if (problem !== undefined) problems.push(`${where}: ${problem}: ${value.message}`)
          examples.set(reason, value)
        }
        printed.push(print(section, examples))
      }
      assert.deepStrictEqual(problems, [])
      const text = wrap(`${introduction}${contents(sections)}\n\n${printed.join("\n")}`)
      yield* Effect.promise(() => expect(text).toMatchFileSnapshot("../../docs/errors.md"))
    }), 120_000)

  it.effect("its example redirects a user without a session to a new login", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* token(Redacted.make("made-up")), "LogIn")
    }).pipe(Effect.provide(atSandbox())))
})
