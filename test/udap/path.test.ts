import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pki from "../../src/testing/internal/pki.js"
import { base, FHIR_BASE, NOW } from "./artefacts.js"
import { validate } from "./paths.js"

const O = ", O=Test community"
const TRUSTED = [`CN=Server${O}`, `CN=Intermediate A${O}`, `CN=Root A${O}`]

const times = <A>(count: number, make: Effect.Effect<A>) => Effect.all(Array.from({ length: count }, () => make))

describe("the search for a path", () => {
  it.effect("finds the issuer by its key identifier among more namesakes than signatures are verified", () =>
    Effect.gen(function*() {
      const { inter, leaf, makeInter, makeLeaf } = yield* base
      const namesakes = yield* times(30, Effect.flatMap(Pki.newKeys("p256"), (keys) => makeInter({ keys })))
      const others = namesakes.map(({ der }) => der)
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [...others, inter.der] }), TRUSTED)
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [inter.der, ...others] }), TRUSTED)
      // Without a key identifier on either side, any namesake may be the issuer.
      const unmarked = yield* makeInter({ keyIdentifiers: false })
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [...others, unmarked.der] }), TRUSTED)
      const plain = yield* makeLeaf({ keyIdentifiers: false })
      assert.deepStrictEqual(yield* validate([plain.der], { intermediates: [inter.der, ...others] }), TRUSTED)
      // More namesakes than signatures: the search ends without the issuer.
      assert.deepStrictEqual(yield* validate([plain.der], { intermediates: [...others, inter.der] }), [
        `BadSignature: CN=Server${O}`
      ])
    }))

  it.effect("finds the issuer that is valid now among more certificates of one key than paths are checked", () =>
    Effect.gen(function*() {
      const { leaf, makeInter } = yield* base
      const found = (others: Parameters<typeof makeInter>[0], valid: Parameters<typeof makeInter>[0]) =>
        Effect.gen(function*() {
          const unusable = yield* times(9, makeInter(others))
          const last = yield* makeInter(valid)
          return yield* validate([leaf.der], { intermediates: [...unusable, last].map(({ der }) => der) })
        })
      assert.deepStrictEqual(yield* found({ to: NOW - 1_000 }, {}), TRUSTED)
      assert.deepStrictEqual(yield* found({ to: NOW - 1_000 }, { to: NOW }), TRUSTED)
      assert.deepStrictEqual(yield* found({ from: NOW + 61_000 }, {}), TRUSTED)
      assert.deepStrictEqual(yield* found({ from: NOW + 61_000 }, { from: NOW + 60_000 }), TRUSTED)
    }))

  it.effect("a key identifier is what stands in its place alone", () =>
    Effect.gen(function*() {
      const { inter, makeInter, makeLeaf } = yield* base
      const unmarked = yield* times(
        25,
        Effect.flatMap(Pki.newKeys("p256"), (keys) => makeInter({ keys, keyIdentifiers: false }))
      )
      // The issuer's serial number.
      const value = new Uint8Array([0x30, 3, 0x82, 1, 5]).buffer
      const leaf = yield* makeLeaf({
        keyIdentifiers: false,
        extensions: [Pki.extension(Pki.Oid.authorityKeyIdentifier, false, value)]
      })
      assert.deepStrictEqual(
        yield* validate([leaf.der], { intermediates: [inter, ...unmarked].map(({ der }) => der) }),
        TRUSTED
      )
    }))

  it.effect("verifies 24 signatures and checks 8 paths at most", () =>
    Effect.gen(function*() {
      const { inter, leaf, makeInter, makeLeaf } = yield* base
      const plain = yield* makeLeaf({ keyIdentifiers: false })
      const namesakes = yield* times(23, Effect.flatMap(Pki.newKeys("p256"), (keys) => makeInter({ keys })))
      // The last signatures are those of the leaf and of the intermediate.
      const behind = (count: number) =>
        validate([plain.der], { intermediates: [...namesakes.slice(0, count), inter].map(({ der }) => der) })
      assert.deepStrictEqual(yield* behind(22), TRUSTED)
      assert.deepStrictEqual(yield* behind(23), [`BadSignature: CN=Intermediate A${O}`])
      const unusable = yield* times(8, makeInter({ keyUsage: 0x82 }))
      const after = (count: number) =>
        validate([leaf.der], { intermediates: [...unusable.slice(0, count), inter].map(({ der }) => der) })
      assert.deepStrictEqual(yield* after(7), TRUSTED)
      assert.deepStrictEqual(yield* after(8), [`KeyUsage: CN=Intermediate A${O}`])
    }))

  /** For each level, certificates that could be issued by each of the next one; the last level leads nowhere. */
  const levels = (sizes: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      const { keys } = yield* base
      const all: Array<Pki.Issued> = []
      let signer: Pki.Signer = { name: Pki.named("Nowhere"), keys: keys.evil }
      for (const [index, size] of [...sizes.entries()].reverse()) {
        const own = index === 0 ? keys.inter : yield* Pki.newKeys("p256")
        const commonName = index === 0 ? "Intermediate A" : `L${index}`
        const by = signer
        const level = yield* times(size, Pki.issue({ commonName, authority: true, keys: own, by }))
        all.unshift(...level)
        signer = { name: Pki.named(commonName), keys: own }
      }
      return all
    })

  /** Authorities of the same name as one of `levels`, with another key. */
  const namesakeOf = (level: number) =>
    Effect.flatMap(
      Pki.newKeys("p256"),
      (keys) => Pki.issue({ commonName: `L${level}`, authority: true, keys })
    )

  it.effect("verifies a signature once, also if it is part of several chains", () =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* base
      const nowhere = yield* levels([3, 3, 3])
      assert.deepStrictEqual(
        yield* validate([leaf.der], { intermediates: [...nowhere, inter].map(({ der }) => der) }),
        TRUSTED
      )
    }))

  it.effect("makes 100 steps at most", () =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* base
      const behind = (...others: ReadonlyArray<Pki.Issued>) =>
        validate([leaf.der], { intermediates: [...others, inter].map(({ der }) => der) })
      // 62 steps; 32 to the namesake of the sixth level and 4 to that of the third; two to the anchor.
      const five = yield* levels([2, 2, 2, 2, 2])
      const sixth = yield* Pki.issue({ commonName: "Nowhere", authority: true })
      assert.deepStrictEqual(yield* behind(...five, sixth, yield* namesakeOf(2)), TRUSTED)
      const six = yield* levels([2, 2, 2, 2, 2, 2])
      assert.deepStrictEqual(yield* behind(...six), [`Untrusted: CN=L5${O}`])
    }))

  it.effect("without a path, the error has the longest chain", () =>
    Effect.gen(function*() {
      const { inter, keys, leaf, makeInter, makeLeaf } = yield* base
      const nowhere: Pki.Signer = { name: Pki.named("Nowhere"), keys: keys.evil }
      const long = yield* levels([1, 1])
      const short = yield* makeInter({}, nowhere)
      const errors = (...others: ReadonlyArray<Pki.Issued>) =>
        validate([leaf.der], { intermediates: others.map(({ der }) => der) })
      assert.deepStrictEqual(yield* errors(...long, short), [`Untrusted: CN=L1${O}`])
      assert.deepStrictEqual(yield* errors(short, ...long), [`Untrusted: CN=L1${O}`])
      // Of chains of one length, the one that was built first.
      const expired = yield* makeInter({ to: NOW - 1_000 }, nowhere)
      assert.deepStrictEqual(yield* errors(short, expired), [`Untrusted: CN=Intermediate A${O}`])
      // A key that is too short is the reason, unless another chain is longer.
      const weak = yield* makeInter({ keys: yield* Pki.newKeys("rsa1024") })
      assert.deepStrictEqual(yield* errors(weak), [`UnsupportedKey: CN=Intermediate A${O}`])
      assert.deepStrictEqual(yield* errors(...long, weak), [`Untrusted: CN=L1${O}`])
      const weaklySigned = yield* makeLeaf({ signature: "SHA-1", to: NOW - 1_000 })
      assert.deepStrictEqual(yield* validate([weaklySigned.der, inter.der]), [
        `Expired: CN=Server${O}`,
        `UnsupportedAlgorithm: CN=Server${O}`
      ])
      const foreign = yield* makeLeaf({ to: NOW - 1_000 }, nowhere)
      assert.deepStrictEqual(yield* validate([foreign.der]), [`Expired: CN=Server${O}`, `Untrusted: CN=Server${O}`])
    }))

  it.effect("of paths that break a rule, the error has the one with the fewest problems, or the first", () =>
    Effect.gen(function*() {
      const { leaf, makeInter } = yield* base
      const two = yield* makeInter({ authority: false, keyUsage: 0x82 })
      const usage = yield* makeInter({ keyUsage: 0x82 })
      const authority = yield* makeInter({ authority: false, keyUsage: 0x06 })
      const errors = (...others: ReadonlyArray<Pki.Issued>) =>
        validate([leaf.der], { intermediates: others.map(({ der }) => der) })
      const name = `CN=Intermediate A${O}`
      assert.deepStrictEqual(yield* errors(two), [`NotAnAuthority: ${name}`, `KeyUsage: ${name}`])
      assert.deepStrictEqual(yield* errors(two, usage), [`KeyUsage: ${name}`])
      assert.deepStrictEqual(yield* errors(usage, two), [`KeyUsage: ${name}`])
      assert.deepStrictEqual(yield* errors(usage, authority), [`KeyUsage: ${name}`])
      assert.deepStrictEqual(yield* errors(authority, usage), [`NotAnAuthority: ${name}`])
    }))

  it.effect("validity has a higher rank than the key identifier", () =>
    Effect.gen(function*() {
      const { leaf, makeInter } = yield* base
      const expired = yield* times(9, makeInter({ to: NOW - 1_000 }))
      const unmarked = yield* makeInter({ keyIdentifiers: false })
      assert.deepStrictEqual(
        yield* validate([leaf.der], { intermediates: [...expired, unmarked].map(({ der }) => der) }),
        TRUSTED
      )
    }))

  it.effect("a self-signed certificate does not count as its own issuer", () =>
    Effect.gen(function*() {
      const { keys } = yield* base
      const { der } = yield* Pki.issue({ commonName: "Server", keys: keys.leaf, names: [Pki.uri(FHIR_BASE)] })
      assert.deepStrictEqual(yield* validate([der, der]), [`Untrusted: CN=Server${O}`])
    }))

  it.effect("a path has ten certificates at most", () =>
    Effect.gen(function*() {
      const { keys, makeLeaf, root } = yield* base
      const authorities: Array<Pki.Issued> = []
      for (let n = 1; n <= 9; n++) {
        authorities.push(
          yield* Pki.issue({
            commonName: `L${n}`,
            authority: true,
            keys: keys.inter,
            by: authorities.at(-1) ?? root
          })
        )
      }
      const [eighth, ninth] = authorities.slice(-2)
      if (eighth === undefined || ninth === undefined) return assert.fail("no authorities")
      const intermediates = authorities.map(({ der }) => der)
      const below = yield* makeLeaf({}, eighth)
      assert.strictEqual((yield* validate([below.der], { intermediates })).length, 10)
      const tooDeep = yield* makeLeaf({}, ninth)
      assert.deepStrictEqual(yield* validate([tooDeep.der], { intermediates }), [`Untrusted: CN=L2${O}`])
    }))
})

describe("the length of a path", () => {
  it.effect("counts the authorities below one, without those that it issued to itself", () =>
    Effect.gen(function*() {
      const { makeInter, makeLeaf } = yield* base
      const below = (pathLength: number, ...names: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const chain = [yield* makeInter({ pathLength })]
          for (const commonName of names) {
            chain.unshift(
              yield* Pki.issue({
                commonName,
                authority: true,
                keys: yield* Pki.newKeys("p256"),
                by: chain[0]
              })
            )
          }
          const leaf = yield* makeLeaf({}, chain[0])
          const found = yield* validate([leaf, ...chain].map(({ der }) => der))
          return found[0] === TRUSTED[0] ? "trusted" : found
        })
      const tooLong = [`PathTooLong: CN=Intermediate A${O}`]
      assert.strictEqual(yield* below(0), "trusted")
      assert.deepStrictEqual(yield* below(0, "A"), tooLong)
      assert.strictEqual(yield* below(1, "A"), "trusted")
      assert.deepStrictEqual(yield* below(1, "A", "B"), tooLong)
      assert.strictEqual(yield* below(2, "A", "B"), "trusted")
      assert.strictEqual(yield* below(0, "Intermediate A"), "trusted")
      assert.deepStrictEqual(yield* below(0, "Intermediate A", "A"), tooLong)
    }))
})

describe("the names of a path", () => {
  const constrained = Effect.gen(function*() {
    const { keys } = yield* base
    return yield* Pki.issue({
      commonName: "Root A",
      authority: true,
      keys: keys.root,
      extensions: [Pki.nameConstraints([Pki.uri(".example.org")])]
    })
  })
  const others = [Pki.uri("https://evil.test")]

  it.effect("constraints do not apply to an authority's certificate for itself, unless it is the leaf", () =>
    Effect.gen(function*() {
      const { keys, makeLeaf } = yield* base
      const root = yield* constrained
      const anchors = [root.der]
      const authority = (name: string) =>
        Pki.issue({ commonName: name, authority: true, keys: keys.inter, by: root, names: others })
      const own = yield* authority("Root A")
      const leaf = yield* makeLeaf({}, own)
      assert.deepStrictEqual(yield* validate([leaf.der, own.der], { anchors }), [
        `CN=Server${O}`,
        `CN=Root A${O}`,
        `CN=Root A${O}`
      ])
      const other = yield* authority("Intermediate A")
      const below = yield* makeLeaf({}, other)
      assert.deepStrictEqual(yield* validate([below.der, other.der], { anchors }), [
        `NameConstraint: CN=Intermediate A${O}`
      ])
      const self = yield* Pki.issue({ commonName: "Root A", keys: keys.leaf, by: root, names: others })
      assert.deepStrictEqual(yield* validate([self.der], { anchors }), [`NameConstraint: CN=Root A${O}`])
    }))

  it.effect("constraints do not apply to the authority that has them", () =>
    Effect.gen(function*() {
      const { makeInter, makeLeaf } = yield* base
      const inter = yield* makeInter({
        names: others,
        extensions: [Pki.nameConstraints([Pki.uri(".example.org")])]
      })
      const leaf = yield* makeLeaf({}, inter)
      assert.deepStrictEqual(yield* validate([leaf.der, inter.der]), TRUSTED)
    }))

  it.effect("an authority whose constraints cannot be processed is refused", () =>
    Effect.gen(function*() {
      const { makeInter, makeLeaf } = yield* base
      const inter = yield* makeInter({
        extensions: [Pki.extension(Pki.Oid.nameConstraints, true, new Uint8Array([0x30, 0]).buffer)]
      })
      const leaf = yield* makeLeaf({}, inter)
      assert.deepStrictEqual(yield* validate([leaf.der, inter.der]), [`NameConstraint: CN=Intermediate A${O}`])
    }))
})
