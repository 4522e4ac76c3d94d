import { execFile, execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { Artefact } from "./artefacts.js"
import { definitions, NOW } from "./artefacts.js"

/** Stated in the title where it is missing. */
const version = (() => {
  try {
    return execFileSync("openssl", ["version"], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
})()

const pem = (label: string, ders: ReadonlyArray<Uint8Array>): string =>
  ders.map((der) =>
    `-----BEGIN ${label}-----\n${
      (Encoding.encodeBase64(der).match(/.{1,64}/g) ?? []).join("\n")
    }\n-----END ${label}-----\n`
  ).join("")

const openssl = (args: ReadonlyArray<string>) =>
  Effect.async<{ readonly succeeded: boolean; readonly text: string }>((resume) => {
    execFile(
      "openssl",
      args,
      { timeout: 20_000 },
      (error, out, err) => resume(Effect.succeed({ succeeded: error === null, text: `${out}${err}` }))
    )
  })

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "udap-openssl-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Whether openssl accepts the path and, where there is an OCSP response, what that says. */
const accepts = ({ anchors, crls, ocsp, served, x5c }: Artefact) =>
  Effect.gen(function*() {
    const path = yield* directory
    const file = (name: string, content: string | Uint8Array) => {
      Fs.writeFileSync(Path.join(path, name), content)
      return Path.join(path, name)
    }
    const at = String(NOW / 1000)
    const leaf = file("leaf.pem", pem("CERTIFICATE", x5c.slice(0, 1)))
    const others = file("others.pem", pem("CERTIFICATE", x5c.slice(1)))
    const trusted = file("anchors.pem", pem("CERTIFICATE", anchors))
    const lists = [...crls, ...(served === undefined ? [] : [served])]
    const chain = yield* openssl([
      "verify",
      "-attime",
      at,
      "-x509_strict",
      "-auth_level",
      "2",
      "-policy",
      "2.5.29.32.0",
      "-partial_chain",
      "-trusted",
      trusted,
      ...(x5c.length > 1 ? ["-untrusted", others] : []),
      // With a response for the leaf, the CRLs of the authorities alone are asked for by hand below.
      ...(ocsp === undefined ? [x5c.length > 1 ? "-crl_check_all" : "-crl_check"] : []),
      ...(lists.length > 0 ? ["-CRLfile", file("crls.pem", pem("X509 CRL", lists))] : []),
      leaf
    ])
    if (ocsp === undefined || !chain.succeeded) return chain
    const response = yield* openssl([
      "ocsp",
      "-attime",
      at,
      "-respin",
      file("ocsp.der", ocsp),
      "-issuer",
      file("issuer.pem", pem("CERTIFICATE", x5c.slice(1, 2))),
      "-cert",
      leaf,
      "-CAfile",
      trusted,
      "-verify_other",
      others,
      "-no_nonce"
    ])
    const { text } = response
    return { text, succeeded: /verify OK/i.test(text) && /: good/.test(text) && !/expired|not yet valid/i.test(text) }
  }).pipe(Effect.scoped)

describe(`the result compared with that of ${version ?? "openssl, which is not installed"}`, () => {
  for (const { deviation, make, name, problems } of definitions) {
    const title = deviation === undefined ? `is the same for ${name}` : `differs for ${name}: ${deviation}`
    it.effect.skipIf(version === undefined)(title, () =>
      Effect.gen(function*() {
        const { succeeded, text } = yield* Effect.flatMap(make, accepts)
        assert.strictEqual(succeeded, (problems.length === 0) === (deviation === undefined), text)
      }))
  }
})
