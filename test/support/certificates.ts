/**
 * Certificates of an authority that exists during a test.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  readonly ca: string
  /** A certificate for a host, or for a client. */
  readonly issue: (name: string) => Pair
}

/** With openssl, because Node can sign but cannot make a certificate. */
export const authority: Effect.Effect<Authority, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "certificates-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) => {
    const file = (name: string) => Path.join(directory, name)
    const openssl = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { stdio: "ignore" })
    const read = (name: string) => Fs.readFileSync(file(name), "utf8")
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
      "req",
      "-x509",
      ...newKey,
      "-keyout",
      file("ca.key"),
      "-out",
      file("ca.pem"),
      "-days",
      "2",
      "-subj",
      "/CN=ca"
    )
    return {
      ca: read("ca.pem"),
      issue: (name) => {
        const san = /^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`
        const common = ["-keyout", file("one.key"), "-out", file("one.pem"), "-days", "2", "-subj", `/CN=${name}`]
        const signed = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-addext", `subjectAltName=${san}`]
        openssl("req", "-x509", ...newKey, ...common, ...signed)
        return { cert: read("one.pem"), key: read("one.key") }
      }
    }
  }
)
