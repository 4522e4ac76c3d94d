/** RFC 5280, section 4.2.1.10: pure rules about names, which need no certificate. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Pki from "../../src/testing/internal/pki.js"
import * as certificates from "../../src/udap/internal/certificate.js"
import * as nameConstraints from "../../src/udap/internal/nameConstraints.js"
import type { GeneralName, Name } from "../../src/udap/internal/names.js"
import { base } from "./artefacts.js"

const uri = (value: string): GeneralName => ({ form: "uri", value })
const dns = (value: string): GeneralName => ({ form: "dns", value })
const email = (value: string): GeneralName => ({ form: "email", value })
const ip = (...value: ReadonlyArray<number>): GeneralName => ({ form: "ip", value: new Uint8Array(value) })
const named = (...rdns: ReadonlyArray<string>): Name => ({ rdns, display: "", emails: [] })
const directory = (...rdns: ReadonlyArray<string>): GeneralName => ({ form: "directory", value: named(...rdns) })
const other = (value: number): GeneralName => ({ form: "other", value })

const certificateOf = (alternativeNames: ReadonlyArray<GeneralName>, subject: Name = named()) =>
  ({ alternativeNames, subject }) as certificates.Certificate

const isPermitted = (name: GeneralName, ...permitted: ReadonlyArray<GeneralName>) =>
  nameConstraints.satisfies(certificateOf([name]), { permitted, excluded: [] })
const isExcluded = (name: GeneralName, ...excluded: ReadonlyArray<GeneralName>) =>
  !nameConstraints.satisfies(certificateOf([name]), { permitted: [], excluded })

describe("name constraints", () => {
  /** What it is if it is the only constraint: permitted or not, and excluded or not. */
  const verdict = (name: GeneralName, constraint: GeneralName) =>
    isPermitted(name, constraint)
      ? isExcluded(name, constraint) ? "within" : "unconstrained"
      : isExcluded(name, constraint)
      ? "undecidable"
      : "outside"

  it.each<[GeneralName, GeneralName, string]>([
    [uri("https://fhir.example.org/r4"), uri("fhir.example.org"), "within"],
    [uri("HTTPS://FHIR.example.org:8443/r4"), uri("fhir.EXAMPLE.org"), "within"],
    [uri("https://fhir.example.org?x"), uri("fhir.example.org"), "within"],
    [uri("https://fhir.example.org#x"), uri("fhir.example.org"), "within"],
    [uri("x+y-1.z://fhir.example.org"), uri("fhir.example.org"), "within"],
    [uri("https://fhir_1.example-2.org"), uri(".example-2.org"), "within"],
    [uri("https://a.fhir.example.org"), uri("fhir.example.org"), "outside"],
    [uri("https://a.example.org"), uri(".example.org"), "within"],
    [uri("https://example.org"), uri(".example.org"), "outside"],
    [uri("https://badexample.org"), uri(".example.org"), "outside"],
    [uri("https://localhost/r4"), uri("localhost"), "within"],
    [uri("urn:uuid:1"), uri(".example.org"), "undecidable"],
    [uri("see https://a.example.org"), uri(".example.org"), "undecidable"],
    [uri("1https://a.example.org"), uri(".example.org"), "undecidable"],
    [uri("https://user@a.example.org"), uri(".example.org"), "undecidable"],
    [uri("https://a.example.org:x"), uri(".example.org"), "undecidable"],
    [uri("https://a.example.org:80:80"), uri(".example.org"), "undecidable"],
    [uri("https://.example.org"), uri(".example.org"), "undecidable"],
    [uri("https://a.example.org./"), uri(".example.org."), "undecidable"],
    [uri("https:///r4"), uri(".example.org"), "undecidable"],
    [uri("https://node1/r4"), uri("node1"), "within"],
    [uri("https://1st.example.org/r4"), uri("1st.example.org"), "within"],
    [uri("https://10.0.0.1/r4"), uri("10.0.0.1"), "undecidable"],
    [uri("https://[::1]/r4"), uri("[::1]"), "undecidable"],
    [dns("Fhir.Example.org"), dns("example.ORG"), "within"],
    [dns("example.org"), dns("example.org"), "within"],
    [dns("badexample.org"), dns("example.org"), "outside"],
    [dns("example.org"), dns(".example.org"), "outside"],
    [dns("a.example.org"), dns(".example.org"), "within"],
    [dns("anything"), dns(""), "within"],
    [email("it@example.org"), email("example.ORG"), "within"],
    [email("it@EXAMPLE.org"), email("example.org"), "within"],
    [email("it@mail.example.org"), email("example.org"), "outside"],
    [email("it@mail.example.org"), email(".example.org"), "within"],
    [email("it@example.org"), email(".example.org"), "outside"],
    [email("it@example.org"), email("it@Example.org"), "within"],
    [email("IT@example.org"), email("it@example.org"), "outside"],
    [email("it@example.com"), email("it@example.org"), "outside"],
    [email("a@b@example.org"), email("example.org"), "within"],
    [email("a@b@example.org"), email("a@b@example.org"), "within"],
    [email("@example.org"), email("example.org"), "outside"],
    [email("example.org"), email("example.org"), "outside"],
    [ip(10, 1, 2, 3), ip(10, 1, 0, 0, 255, 255, 0, 0), "within"],
    [ip(10, 2, 2, 3), ip(10, 1, 0, 0, 255, 255, 0, 0), "outside"],
    [ip(10, 1, 2, 3), ip(10, 1, 9, 9, 255, 255, 0, 0), "within"],
    [ip(10, 1, 2, 3), ip(...new Uint8Array(32)), "outside"],
    [ip(...new Uint8Array(16)), ip(...new Uint8Array(32)), "within"],
    [directory("c=us", "o=a", "cn=x"), directory("c=us", "o=a"), "within"],
    [directory("c=us", "o=b", "cn=x"), directory("c=us", "o=a"), "outside"],
    [directory("c=us"), directory("c=us", "o=a"), "outside"],
    [directory("c=us"), directory(), "within"],
    [other(0xa0), other(0xa0), "undecidable"],
    [other(0xa0), other(0x88), "unconstrained"],
    [uri("https://a.example.org"), dns("example.com"), "unconstrained"],
    [dns("a.example.org"), uri("example.com"), "unconstrained"],
    [email("it@example.org"), directory("c=us"), "unconstrained"]
  ])("%j under %j is %s", (name, constraint, expected) => {
    assert.strictEqual(verdict(name, constraint), expected)
  })

  it("apply to names of their form alone", () => {
    const names = [
      uri("a.example.org"),
      dns("a.example.org"),
      email("a.example.org"),
      ip(10, 1, 2, 3),
      directory("a.example.org"),
      other(0xa0),
      other(0x88)
    ]
    for (const name of names) {
      for (const constraint of names.filter((one) => one !== name)) {
        assert.strictEqual(verdict(name, constraint), "unconstrained", JSON.stringify([name, constraint]))
      }
    }
  })

  it("apply to each name: one of those permitted, and none of those excluded", () => {
    const [a, b] = [uri("https://a.example.org"), uri("https://b.example.org")]
    const [onlyA, onlyB] = [uri("a.example.org"), uri("b.example.org")]
    const satisfies = (
      alternativeNames: ReadonlyArray<GeneralName>,
      permitted: ReadonlyArray<GeneralName>,
      excluded: ReadonlyArray<GeneralName> = [],
      subject?: Name
    ) => nameConstraints.satisfies(certificateOf(alternativeNames, subject), { permitted, excluded })
    assert.isTrue(satisfies([a, b], [onlyA, onlyB]))
    assert.isFalse(satisfies([a, b], [onlyA]))
    assert.isFalse(satisfies([a, b], [], [onlyB]))
    assert.isFalse(satisfies([a], [onlyA], [onlyB, onlyA]))
    assert.isTrue(satisfies([a], [onlyA], [onlyB]))
    // The subject counts as a directory name, and its e-mail address where no other is among the names.
    assert.isFalse(satisfies([a], [directory("c=us")], [], named("c=de")))
    assert.isTrue(satisfies([a], [directory("c=us")], [], named("c=us", "cn=x")))
    assert.isTrue(satisfies([a], [directory("c=us")]))
    const subject: Name = { rdns: ["cn=x"], display: "", emails: ["it@example.com"] }
    assert.isFalse(satisfies([a], [email("example.org")], [], subject))
    assert.isTrue(satisfies([email("it@example.org")], [email("example.org")], [], subject))
    assert.isTrue(satisfies([a, email("it@example.org")], [email("example.org")], [], subject))
  })

  it.effect("are read from a certificate, or malformed", () =>
    Effect.gen(function*() {
      const { makeInter } = yield* base
      const read = (value: ReadonlyArray<number>) =>
        Effect.map(
          makeInter({
            extensions: [Pki.extension(Pki.Oid.nameConstraints, true, new Uint8Array(value).buffer)]
          }),
          ({ der }) => nameConstraints.constraintsOf(Either.getOrThrow(certificates.parse(der)))
        )
      const plain = yield* makeInter({})
      assert.isUndefined(nameConstraints.constraintsOf(Either.getOrThrow(certificates.parse(plain.der))))
      const subtree = [0x30, 3, 0x82, 1, 0x61]
      const a = dns("a")
      assert.deepStrictEqual(yield* read([0x30, 7, 0xa0, 5, ...subtree]), { permitted: [a], excluded: [] })
      assert.deepStrictEqual(yield* read([0x30, 7, 0xa1, 5, ...subtree]), { permitted: [], excluded: [a] })
      assert.deepStrictEqual(yield* read([0x30, 14, 0xa0, 5, ...subtree, 0xa1, 5, ...subtree]), {
        permitted: [a],
        excluded: [a]
      })
      for (const size of [8, 32]) {
        const zeros = [...new Uint8Array(size)]
        assert.deepStrictEqual(yield* read([0x30, size + 6, 0xa0, size + 4, 0x30, size + 2, 0x87, size, ...zeros]), {
          permitted: [ip(...zeros)],
          excluded: []
        })
      }
      const malformed = [
        [0x30, 0],
        [0x31, 7, 0xa0, 5, ...subtree],
        [0x30, 2, 0xa0, 1],
        [0x30, 4, 0xa0, 2, 0x30, 9],
        [0x30, 6, 0xa0, 4, 0x30, 2, 5, 0],
        [0x30, 9, 0xa0, 5, ...subtree, 0xa2, 0],
        [0x30, 7, 0xa2, 5, ...subtree],
        [0x30, 7, 0xa0, 5, 0x31, 3, 0x82, 1, 0x61],
        [0x30, 4, 0xa0, 2, 0x30, 0],
        [0x30, 4, 0xa1, 2, 0x30, 0],
        // A minimum.
        [0x30, 10, 0xa0, 8, 0x30, 6, 0x82, 1, 0x61, 0x80, 1, 1],
        [0x30, 14, 0xa0, 12, ...subtree, 0x30, 5, 0x87, 3, 1, 2, 3],
        [0x30, 8, 0xa0, 6, 0x30, 4, 0x87, 2, 1, 2]
      ]
      for (const value of malformed) assert.strictEqual(yield* read(value), "Malformed", String(value))
    }))
})
