import * as Fs from "node:fs"
import * as Path from "node:path"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { TrustPolicy } from "effect-safire/udap"
// The parsers: NIST's files are not metadata of a server.
import * as certificates from "../../src/udap/internal/certificate.js"
import * as crls from "../../src/udap/internal/crl.js"

/** NIST's Public Key Interoperability Test Suite, from Debian's python3-cryptography-vectors. */
const DIRECTORY = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data"
const isInstalled = Fs.existsSync(DIRECTORY)

const read = (folder: string) =>
  isInstalled
    ? Fs.readdirSync(Path.join(DIRECTORY, folder)).sort().map((name) =>
      [name, new Uint8Array(Fs.readFileSync(Path.join(DIRECTORY, folder, name)))] as const
    )
    : []

const files = read("certs")
const leaves = files.filter(([name]) => name.endsWith("EE.crt"))

const COMMUNITY = "urn:nist:pkits"

const policy = TrustPolicy.layer({
  communities: {
    [COMMUNITY]: {
      anchors: files.flatMap(([name, der]) => name === "TrustAnchorRootCertificate.crt" ? [der] : []),
      intermediates: files.flatMap(([name, der]) =>
        name !== "TrustAnchorRootCertificate.crt" && !name.endsWith("EE.crt") && Either.isRight(certificates.parse(der))
          ? [der]
          : []
      ),
      crls: read("crls").flatMap(([, der]) => Either.isRight(crls.parse(der)) ? [der] : []),
      fetchRevocation: false
    }
  }
}).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.never))))

/** Paths that demand a policy which they lack; their names do not say it. */
const withoutPolicy: ReadonlySet<string> = new Set(
  ["4", "5", "7", "8", "9", "12"].map((n) => `DifferentPoliciesTest${n}`)
)

const OTHER_KEY = "a CRL counts only if the key that signed the certificate signed it"
const INDIRECT = "indirect CRLs are refused"
const REASONS = "CRLs for some reasons only are refused"
const RELATIVE = "distribution points named relative to the issuer are refused"
const DELTA = "delta CRLs are not read: the complete CRL counts until it ends"
const DSA = "DSA is refused"

const deviations: Readonly<Record<string, string>> = {
  InvaliddeltaCRLTest4: DELTA,
  ValidBasicSelfIssuedCRLSigningKeyTest6: OTHER_KEY,
  ValidBasicSelfIssuedNewWithOldTest4: OTHER_KEY,
  ValidBasicSelfIssuedOldWithNewTest1: OTHER_KEY,
  ValidDNnameConstraintsTest19: OTHER_KEY,
  ValidDSAParameterInheritanceTest5: DSA,
  ValidDSASignaturesTest4: DSA,
  ValidIDPwithindirectCRLTest22: INDIRECT,
  ValidIDPwithindirectCRLTest24: INDIRECT,
  ValidIDPwithindirectCRLTest25: INDIRECT,
  ValidSelfIssuedinhibitAnyPolicyTest7: OTHER_KEY,
  ValidSelfIssuedinhibitAnyPolicyTest9: OTHER_KEY,
  ValidSelfIssuedinhibitPolicyMappingTest7: OTHER_KEY,
  ValidSelfIssuedpathLenConstraintTest15: OTHER_KEY,
  ValidSelfIssuedpathLenConstraintTest17: OTHER_KEY,
  ValidSelfIssuedrequireExplicitPolicyTest6: OTHER_KEY,
  ValidSeparateCertificateandCRLKeysTest19: OTHER_KEY,
  ValidcRLIssuerTest28: INDIRECT,
  ValidcRLIssuerTest29: INDIRECT,
  ValidcRLIssuerTest30: INDIRECT,
  ValidcRLIssuerTest33: INDIRECT,
  ValiddeltaCRLTest5: DELTA,
  ValiddistributionPointTest4: RELATIVE,
  ValiddistributionPointTest5: RELATIVE,
  ValiddistributionPointTest7: RELATIVE,
  ValidonlySomeReasonsTest18: REASONS,
  ValidonlySomeReasonsTest19: REASONS
}

const title = `the verdict on ${leaves.length} paths is NIST's, except where a CRL is of a kind that is refused`

describe(`PKITS${isInstalled ? "" : ", which is not installed (python3-cryptography-vectors)"}`, () => {
  it.effect.skipIf(!isInstalled)(title, () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2020-06-01T00:00:00Z"))
      const { validate } = yield* TrustPolicy.TrustPolicy
      const others: Array<string> = []
      for (const [file, der] of leaves) {
        const name = file.replace(/EE\.crt$/, "")
        const isValid = !name.startsWith("Invalid") && !withoutPolicy.has(name)
        const outcome = yield* Effect.either(validate([der], { subject: name }))
        if (Either.isRight(outcome) !== isValid) others.push(name)
      }
      assert.deepStrictEqual(others.sort(), Object.keys(deviations).sort())
    }).pipe(Effect.provide(policy)))
})
