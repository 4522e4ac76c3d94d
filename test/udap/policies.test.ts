import { assert, describe, it } from "@effect/vitest"
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import { base } from "./artefacts.js"
import { validate } from "./paths.js"

const ANY = "2.5.29.32.0"
const [ONE, TWO, THREE] = ["1.2.3.1", "1.2.3.2", "1.2.3.3"] as const

const O = ", O=Test community"
const required = (certificate: string) => [`PolicyRequired: CN=${certificate}${O}`]

const constraints = (value: pki.PolicyConstraintsParameters): pki.Extension =>
  Pki.extension(Pki.Oid.policyConstraints, true, new pki.PolicyConstraints(value).toSchema().toBER())

/** `requireExplicitPolicy`: how many certificates later a policy is required. */
const explicit = (after: number): pki.Extension => constraints({ requireExplicitPolicy: after })

const inhibitAny = (after: number): pki.Extension =>
  Pki.extension("2.5.29.54", true, new asn1.Integer({ value: after }).toBER())

const mapping = (...pairs: ReadonlyArray<readonly [from: string, to: string]>): pki.Extension =>
  Pki.extension(
    Pki.Oid.policyMappings,
    true,
    new pki.PolicyMappings({
      mappings: pairs.map(([issuerDomainPolicy, subjectDomainPolicy]) =>
        new pki.PolicyMapping({ issuerDomainPolicy, subjectDomainPolicy })
      )
    }).toSchema().toBER()
  )

type Extensions = ReadonlyArray<pki.Extension>
type Authority = readonly [name: string, extensions: Extensions]

/** Whether a leaf below authorities is trusted; or the problems. The first authority is below the root. */
const outcome = (authorities: ReadonlyArray<Authority>, leafExtensions: Extensions) =>
  Effect.gen(function*() {
    const { makeLeaf, root } = yield* base
    const chain: Array<Pki.Issued> = []
    for (const [commonName, extensions] of authorities) {
      chain.unshift(
        yield* Pki.issue({
          commonName,
          authority: true,
          keys: yield* Pki.newKeys("p256"),
          by: chain[0] ?? root,
          extensions
        })
      )
    }
    const leaf = yield* makeLeaf({ extensions: leafExtensions }, chain[0] ?? root)
    const found = yield* validate([leaf, ...chain].map(({ der }) => der))
    return found[0] === `CN=Server${O}` ? "trusted" : found
  })

const only = (...extensions: Extensions): ReadonlyArray<Authority> => [["A", extensions]]

describe("certificate policies", () => {
  it.effect("a policy is required from where an authority says on", () =>
    Effect.gen(function*() {
      const policy = Pki.policies(ONE)
      assert.strictEqual(yield* outcome(only(policy, explicit(0)), [policy]), "trusted")
      assert.deepStrictEqual(yield* outcome(only(policy, explicit(0)), []), required("Server"))
      assert.deepStrictEqual(yield* outcome(only(policy, explicit(1)), []), required("Server"))
      assert.strictEqual(yield* outcome(only(policy, explicit(2)), []), "trusted")
      assert.strictEqual(yield* outcome(only(policy, explicit(256)), []), "trusted")
      assert.strictEqual(yield* outcome([["A", [policy, explicit(0)]], ["B", [policy]]], [policy]), "trusted")
      // The authority that lacks it is named.
      assert.deepStrictEqual(
        yield* outcome([["A", [policy, explicit(0)]], ["B", []]], [policy]),
        required("B")
      )
      assert.deepStrictEqual(yield* outcome([["A", []]], [explicit(0)]), required("Server"))
      assert.strictEqual(yield* outcome([["A", [policy]]], [explicit(0), policy]), "trusted")
      assert.deepStrictEqual(yield* outcome([["A", [policy]]], [explicit(0), Pki.policies(TWO)]), required("Server"))
      assert.strictEqual(yield* outcome([["A", []]], [explicit(1)]), "trusted")
    }))

  it.effect("an authority's certificate for itself does not count", () =>
    Effect.gen(function*() {
      // The second one has the name of its issuer.
      assert.strictEqual(yield* outcome([["A", [explicit(2)]], ["A", []]], []), "trusted")
      assert.deepStrictEqual(yield* outcome([["A", [explicit(2)]], ["B", []]], []), required("Server"))
    }))

  it.effect("a policy is valid below its mapping only if the mapped policy was valid above it", () =>
    Effect.gen(function*() {
      const above = Pki.policies(ONE)
      const mapped = only(above, explicit(0), mapping([ONE, TWO]))
      assert.strictEqual(yield* outcome(mapped, [Pki.policies(TWO)]), "trusted")
      assert.deepStrictEqual(yield* outcome(mapped, [Pki.policies(ONE)]), required("Server"))
      assert.deepStrictEqual(
        yield* outcome(only(above, explicit(0), mapping([THREE, TWO])), [Pki.policies(TWO)]),
        required("Server")
      )
      assert.strictEqual(
        yield* outcome(only(Pki.policies(ANY), explicit(0), mapping([ONE, TWO])), [Pki.policies(TWO)]),
        "trusted"
      )
      assert.deepStrictEqual(
        yield* outcome([["A", [constraints({ inhibitPolicyMapping: 0 }), above]], [
          "B",
          [above, explicit(0), mapping([ONE, TWO])]
        ]], [Pki.policies(TWO)]),
        required("Server")
      )
      const second = (...authorities: ReadonlyArray<Authority>) =>
        outcome([...authorities, ["C", [above, explicit(0), mapping([ONE, TWO])]]], [Pki.policies(TWO)])
      assert.strictEqual(yield* second(["A", [above]]), "trusted")
      const inhibiting: Authority = ["A", [constraints({ inhibitPolicyMapping: 1 }), above]]
      assert.strictEqual(yield* second(inhibiting), "trusted")
      assert.deepStrictEqual(yield* second(inhibiting, ["B", [above]]), required("Server"))
      for (const pair of [[ANY, ONE], [ONE, ANY]] as const) {
        assert.deepStrictEqual(yield* outcome(only(above, mapping(pair)), []), required("A"))
      }
    }))

  it.effect("anyPolicy stands for the policies above it, until an authority inhibits it", () =>
    Effect.gen(function*() {
      const any = Pki.policies(ANY)
      assert.strictEqual(yield* outcome(only(any, explicit(0)), [any]), "trusted")
      assert.deepStrictEqual(yield* outcome(only(any, explicit(0), inhibitAny(0)), [any]), required("Server"))
      assert.strictEqual(yield* outcome(only(any, explicit(0), inhibitAny(1)), [any]), "trusted")
      assert.strictEqual(yield* outcome(only(any, explicit(0), inhibitAny(0)), [Pki.policies(ONE)]), "trusted")
      assert.deepStrictEqual(
        yield* outcome([["A", [any, explicit(0), inhibitAny(1)]], ["B", [any]]], [any]),
        required("Server")
      )
      const one = Pki.policies(ONE)
      const below = (name: string) => outcome([["A", [any, explicit(0), inhibitAny(0)]], [name, [any]]], [one])
      // An authority's certificate for itself may still have it.
      assert.strictEqual(yield* below("A"), "trusted")
      assert.deepStrictEqual(yield* below("B"), required("B"))
    }))
})
