/** The rules of DER, and the structure of certificates, CRLs and names: pure functions, which no server need serve. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Pki from "../../src/testing/internal/pki.js"
import * as certificates from "../../src/udap/internal/certificate.js"
import * as crls from "../../src/udap/internal/crl.js"
import * as der from "../../src/udap/internal/der.js"
import * as names from "../../src/udap/internal/names.js"
import * as pem from "../../src/udap/internal/pem.js"
import { base, CRL_URL, NOW } from "./artefacts.js"
import { type Bytes, encode, text } from "./encode.js"

const NULL = [5, 0]

/** The encodings of the parts of a sequence. */
const partsOf = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const whole = der.single(bytes)
  return (whole === undefined ? undefined : der.children(bytes, whole))?.map((part) => der.encodingOf(bytes, part)) ??
    assert.fail("not a sequence")
}

/** A sequence with another part at `index`: `undefined` removes the part. */
const withPart = (bytes: Uint8Array, index: number, part: Bytes | undefined): Uint8Array => {
  const parts: Array<Bytes> = [...partsOf(bytes)]
  parts.splice(index, 1, ...(part === undefined ? [] : [part]))
  return encode(0x30, ...parts)
}

/** The sequence inside a sequence, changed. */
const withInner = (bytes: Uint8Array, index: number, change: (inner: Uint8Array) => Bytes): Uint8Array =>
  withPart(bytes, index, change(partsOf(bytes)[index] ?? new Uint8Array()))

describe("der", () => {
  const read = (bytes: ReadonlyArray<number>, offset = 0, limit = bytes.length) =>
    der.read(new Uint8Array(bytes), offset, limit)

  it("reads the element at an offset, within a limit", () => {
    assert.deepStrictEqual(read([0x30, 0]), { tag: 0x30, start: 0, content: 2, end: 2 })
    assert.deepStrictEqual(read([9, 9, 4, 1, 7], 2), { tag: 4, start: 2, content: 4, end: 5 })
    const long = (...length: ReadonlyArray<number>) => read([4, ...length, ...new Uint8Array(300)])
    assert.deepStrictEqual(long(0x7f), { tag: 4, start: 0, content: 2, end: 129 })
    assert.deepStrictEqual(long(0x81, 0x80), { tag: 4, start: 0, content: 3, end: 131 })
    assert.deepStrictEqual(long(0x82, 1, 2), { tag: 4, start: 0, content: 4, end: 262 })
    for (
      const bytes of [
        [],
        [4],
        [4, 1],
        [4, 2, 7],
        // Tags of several bytes.
        [0x1f, 0],
        [0x3f, 1, 0],
        [0xbf, 0],
        // Lengths without end, of several bytes without need, or beyond the limit.
        [4, 0x80, 0, 0],
        [4, 0x81, 1, 7],
        [4, 0x81],
        [4, 0x82, 1],
        [4, 0x81, 0x80, 7],
        [4, 0xff, 7]
      ]
    ) assert.isUndefined(read(bytes), String(bytes))
    for (const length of [[0x81, 0x7f], [0x82, 0, 0xff], [0x83, 0, 1, 0]]) assert.isUndefined(long(...length))
    // A length without end, in front of many bytes.
    assert.isUndefined(read([4, 0x80, ...new Uint8Array(200)]))
    assert.isUndefined(read([4, 1, 7], 0, 2))
    assert.isUndefined(read([4, 1, 7], 3))
    assert.isUndefined(read([4, 0, 0], 0, 1))
    assert.isUndefined(read([4, 0x81, 0x80, ...new Uint8Array(128)], 0, 130))
  })

  it("reads a whole value and its parts", () => {
    const bytes = new Uint8Array([0x30, 5, 2, 1, 7, 5, 0])
    const whole = der.single(bytes) ?? assert.fail("not read")
    assert.deepStrictEqual(der.children(bytes, whole)?.map(({ tag }) => tag), [2, 5])
    assert.deepStrictEqual(der.children(bytes, whole, 2)?.length, 2)
    assert.isUndefined(der.children(bytes, whole, 1))
    assert.deepStrictEqual([...der.contentOf(bytes, whole)], [2, 1, 7, 5, 0])
    assert.isUndefined(der.single(new Uint8Array([...bytes, 0])))
    assert.isUndefined(der.single(bytes.slice(0, -1)))
    const broken = new Uint8Array([0x30, 4, 2, 1, 7, 5])
    assert.isUndefined(der.children(broken, der.single(broken) ?? whole))
    assert.deepStrictEqual(der.partsOf(bytes, whole).map(({ tag }) => tag), [2, 5])
    assert.deepStrictEqual(der.partsOf(bytes, { ...whole, tag: 0x31 }), [])
    assert.deepStrictEqual(der.partsOf(broken, der.single(broken)), [])
    assert.deepStrictEqual(der.partsOf(bytes, undefined), [])
    assert.isTrue(der.equal(bytes, bytes.slice()))
    assert.isFalse(der.equal(bytes, bytes.slice(1)))
    assert.isFalse(der.equal(new Uint8Array([1, 2]), new Uint8Array([1, 3])))
    assert.isFalse(der.equal(new Uint8Array([1, 2]), new Uint8Array([1, 2, 3])))
    assert.strictEqual(der.ascii(new Uint8Array([0x20, 0x7e])), " ~")
    assert.isUndefined(der.ascii(new Uint8Array([0x20, 0x7f])))
    assert.isUndefined(der.ascii(new Uint8Array([0x1f, 0x20])))
  })

  it("reads object identifiers and times", () => {
    const oid = (...content: ReadonlyArray<number>) => {
      const bytes = encode(6, content)
      return der.oid(bytes, der.single(bytes) ?? assert.fail("not read"))
    }
    assert.deepStrictEqual(
      [oid(0x2a, 0x86, 0x48), oid(0x27), oid(0x28), oid(0x4f), oid(0x50), oid(0x88, 0x37), oid(0x55, 0x1d, 0x81, 0)],
      ["1.2.840", "0.39", "1.0", "1.39", "2.0", "2.999", "2.5.29.128"]
    )
    const time = (tag: number, value: string) => {
      const bytes = encode(tag, text(value))
      const millis = der.time(bytes, der.single(bytes) ?? assert.fail("not read"))
      return millis === undefined ? undefined : new Date(millis).toISOString()
    }
    assert.strictEqual(time(0x17, "491231235959Z"), "2049-12-31T23:59:59.000Z")
    assert.strictEqual(time(0x17, "500101000000Z"), "1950-01-01T00:00:00.000Z")
    assert.strictEqual(time(0x18, "20240229120000Z"), "2024-02-29T12:00:00.000Z")
    for (
      const value of ["20230229120000Z", "20230001000000Z", "20231301000000Z", "20230100000000Z", "20230132000000Z"]
        .concat("20230101240000Z", "20230101006000Z", "20230101000060Z", "20230101000000", "20230101000000Z ")
        .concat(" 20230101000000Z", "20230101000000.5Z", "2023-01-01T00:00:00.000Z", "2023010100000Z", "")
    ) assert.isUndefined(time(0x18, value), value)
    assert.isUndefined(time(0x17, "20240229120000Z"))
    assert.isUndefined(time(0x18, "240229120000Z"))
    assert.isUndefined(time(0x30, "20240229120000Z"))
    assert.isUndefined(time(0x18, "2024022912000\u0001Z"))
  })

  it("counts elements within limits, also those inside of strings", () => {
    const count = (bytes: Uint8Array, depth = 3, elements = 4) => der.count(bytes, { depth, elements })
    const nested = (tag: number, levels: number): Uint8Array =>
      levels === 0 ? new Uint8Array(NULL) : encode(tag, nested(tag, levels - 1))
    assert.strictEqual(count(encode(0x30)), 1)
    assert.strictEqual(count(encode(0x30, NULL, NULL, NULL)), 4)
    assert.strictEqual(count(encode(0x30, NULL, NULL, NULL, NULL)), "TooLarge")
    assert.strictEqual(count(encode(0x30, encode(0x30, NULL), encode(0x31))), 4)
    assert.strictEqual(count(nested(0x30, 3)), 4)
    assert.strictEqual(count(nested(0x30, 4), 3, 9), "TooLarge")
    assert.strictEqual(count(nested(0x04, 3)), 4)
    assert.strictEqual(count(nested(0x04, 4), 3, 9), "TooLarge")
    assert.strictEqual(count(encode(0x30, encode(0x04, NULL, NULL, NULL))), "TooLarge")
    assert.strictEqual(count(encode(0x03, [0], NULL)), 2)
    assert.strictEqual(count(encode(0x03, [0], encode(0x03, [0], NULL))), 3)
    // Content that is not ASN.1 is allowed in strings, and in other values it is not looked at.
    assert.strictEqual(count(encode(0x04, [0x30, 5])), 1)
    assert.strictEqual(count(encode(0x02, encode(0x30, NULL))), 1)
    assert.strictEqual(count(encode(0x30, [0x30, 5])), "Malformed")
    assert.strictEqual(count(encode(0x30, encode(0x30, [2]), NULL)), "Malformed")
    assert.strictEqual(count(new Uint8Array([...NULL, ...NULL])), "Malformed")
    assert.strictEqual(count(new Uint8Array()), "Malformed")
  })

  it("reads PEM blocks of a kind, and DER", () => {
    const block = (label: string, body: string) => `-----BEGIN ${label}-----\r\n${body}\r\n-----END ${label}-----`
    const input = `# roots\n${block("X509 CRL", "AQ==")}${block("CERTIFICATE", "Ag=\n =")}\n${
      block("CERTIFICATE", "Aw==")
    }`
    const toDer = (text: string, label = "CERTIFICATE") => pem.toDer(text, label)?.map((bytes) => [...bytes])
    assert.deepStrictEqual(toDer(input), [[2], [3]])
    assert.deepStrictEqual(toDer(input, "X509 CRL"), [[1]])
    assert.deepStrictEqual(pem.toDer(new Uint8Array([7]), "CERTIFICATE"), [new Uint8Array([7])])
    const others = [
      "",
      "Ag==",
      block("CERTIFICATE", "A"),
      `${block("CERTIFICATE", "Ag==")}${block("CERTIFICATE", "A")}`
    ]
    for (const other of [...others, "-----BEGIN CERTIFICATE-----Ag==-----END KEY-----"]) {
      assert.isUndefined(toDer(other))
    }
  })
})

describe("names", () => {
  const CN = [6, 3, 0x55, 4, 3]
  const EMAIL = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]
  const attribute = (type: Bytes, value: Bytes) => encode(0x30, type, value)
  const name = (...sets: ReadonlyArray<Bytes>) => {
    const bytes = encode(0x30, ...sets)
    return names.readName(bytes, der.single(bytes) ?? assert.fail("not read"))
  }
  const one = (value: Bytes, type: Bytes = CN) => name(encode(0x31, attribute(type, value)))
  const utf8 = (value: string) => encode(0x0c, text(value))

  it("reads directory names of each string type; case, spacing and type do not matter", () => {
    const full = name(
      encode(0x31, attribute([6, 3, 0x55, 4, 6], encode(0x13, text("US")))),
      encode(
        0x31,
        attribute([6, 3, 0x55, 4, 0x0a], utf8("North  Clinic")),
        attribute([6, 3, 0x55, 4, 0x0b], utf8("IT"))
      ),
      encode(0x31, attribute(EMAIL, encode(0x16, text("It@example.org"))), attribute([6, 1, 0x2a], utf8("x"))),
      encode(0x31, attribute(CN, utf8("App")))
    ) ?? assert.fail("not read")
    assert.strictEqual(full.display, "CN=App, emailAddress=It@example.org, OU=IT, O=North  Clinic, C=US")
    assert.deepStrictEqual(full.emails, ["It@example.org"])
    assert.deepStrictEqual(full.rdns.length, 4)
    const same: ReadonlyArray<Bytes> = [
      utf8("  APP \n one"),
      encode(0x13, text("app  ONE")),
      encode(0x16, text("App One")),
      encode(0x1e, [...text("App One")].flatMap((byte) => [0, byte])),
      utf8("\uff21pp one")
    ]
    const first = one(utf8("app one")) ?? assert.fail("not read")
    for (const value of same) assert.isTrue(names.sameName(first, one(value) ?? assert.fail("not read")))
    for (const value of [utf8("appone"), utf8("app one x"), encode(0x04, text("app one"))]) {
      assert.isFalse(names.sameName(first, one(value) ?? assert.fail("not read")))
    }
    assert.isFalse(names.sameName(first, one(utf8("app one"), EMAIL) ?? assert.fail("not read")))
    assert.isFalse(names.sameName(first, full))
    // Each part must be the same; letters are not replaced by others.
    const two = (...values: ReadonlyArray<string>) =>
      name(...values.map((value) => encode(0x31, attribute(CN, utf8(value))))) ?? assert.fail("not read")
    assert.isTrue(names.sameName(two("a", "b"), two("A", "B")))
    assert.isFalse(names.sameName(two("a", "b"), two("a", "c")))
    assert.isFalse(names.sameName(two("a", "b"), two("c", "b")))
    assert.isFalse(names.sameName(two("stra\u00dfe"), two("strasse")))
    const twice = name(...[1, 2].map(() => encode(0x31, attribute(CN, utf8("app one"))))) ?? assert.fail("not read")
    assert.isFalse(names.sameName(first, twice))
    assert.isFalse(names.sameName(twice, first))
    // The order inside of a set does not matter.
    const [a, b] = [attribute(CN, utf8("a")), attribute(EMAIL, utf8("b"))]
    assert.deepStrictEqual(name(encode(0x31, a, b))?.rdns, name(encode(0x31, b, a))?.rdns)
    assert.deepStrictEqual(name(), { rdns: [], display: "without a name", emails: [] })
    const binary = one(encode(0x04, [1]), EMAIL)
    assert.deepStrictEqual([binary?.display, binary?.emails, binary?.rdns], [
      "without a name",
      [],
      ["2a864886f70d010901=#040101"]
    ])
  })

  it("does not read malformed directory names", () => {
    const good = attribute(CN, utf8("a"))
    assert.isDefined(name(encode(0x31, good)))
    const malformed: ReadonlyArray<Bytes> = [
      encode(0x30, good),
      encode(0x31),
      encode(0x31, encode(0x30, CN)),
      encode(0x31, encode(0x30, utf8("a"), CN)),
      encode(0x31, encode(0x30, CN, utf8("a"), NULL)),
      encode(0x31, encode(0x30)),
      encode(0x31, good, [0x30, 5])
    ]
    for (const set of malformed) assert.isUndefined(name(set), String(set))
    const set = encode(0x31, encode(0x31, good))
    assert.isUndefined(names.readName(set, der.single(set) ?? assert.fail("not read")))
    const broken = encode(0x30, [0x31, 9])
    assert.isUndefined(names.readName(broken, der.single(broken) ?? assert.fail("not read")))
  })

  it("reads general names of each form", () => {
    const general = (...parts: ReadonlyArray<Bytes>) => {
      const bytes = encode(0x30, ...parts)
      return names.readGeneralNames(bytes, der.single(bytes) ?? assert.fail("not read"))
    }
    const directory = encode(0x30, encode(0x31, attribute(CN, utf8("a"))))
    assert.deepStrictEqual(
      general(
        encode(0x81, text("a@b")),
        encode(0x82, text("b")),
        encode(0x86, text("urn:c")),
        encode(0x87, [1, 2, 3, 4]),
        ...[0xa0, 0xa3, 0xa5, 0x88].map((tag) => encode(tag))
      ),
      [
        { form: "email", value: "a@b" },
        { form: "dns", value: "b" },
        { form: "uri", value: "urn:c" },
        { form: "ip", value: new Uint8Array([1, 2, 3, 4]) },
        ...[0xa0, 0xa3, 0xa5, 0x88].map((value) => ({ form: "other", value }) as const)
      ]
    )
    assert.deepStrictEqual(general(encode(0xa4, directory))?.map(({ form }) => form), ["directory"])
    assert.deepStrictEqual(general(), [])
    assert.deepStrictEqual(
      names.uris(general(encode(0x82, text("b")), encode(0x86, text("urn:c")), encode(0x87, [1])) ?? []),
      ["urn:c"]
    )
    const malformed: ReadonlyArray<Bytes> = [
      encode(0x86, text("urn:\u00fc")),
      encode(0x8f),
      NULL,
      encode(0xa4),
      encode(0xa4, directory, NULL),
      encode(0xa4, NULL),
      [0x86, 9]
    ]
    for (const part of malformed) assert.isUndefined(general(encode(0x86, text("urn:a")), part), String(part))
  })
})

describe("the structure of a certificate", () => {
  const reasonOf = (bytes: Uint8Array) =>
    Either.match(certificates.parse(bytes), { onLeft: ({ reason }) => reason, onRight: () => "accepted" })

  it.effect("a part that is missing, of another type or too much makes it malformed", () =>
    Effect.gen(function*() {
      const { leaf } = yield* base
      assert.strictEqual(reasonOf(leaf.der), "accepted")
      const tbs = (change: (tbs: Uint8Array) => Bytes) => withInner(leaf.der, 0, change)
      // Version, serial number, algorithm, issuer, validity, subject, key.
      for (const index of [0, 1, 2, 3, 4, 5, 6]) {
        for (const part of [undefined, NULL, encode(0x31)]) {
          assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, index, part))), "Malformed", String(index))
        }
      }
      for (const version of [[2, 1, 1], [2, 1, 3], [2, 2, 0, 2], NULL]) {
        assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 0, encode(0xa0, version)))), "Malformed")
      }
      assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 0, encode(0xa1, [2, 1, 2])))), "Malformed")
      // The signature has whole bytes.
      for (const [index, parts] of [[0, [NULL]], [1, []], [2, [NULL, encode(0x03, [1, 0xfe])]]] as const) {
        for (const part of [undefined, ...parts]) {
          assert.strictEqual(reasonOf(withPart(leaf.der, index, part)), "Malformed", String(index))
        }
      }
      const parts = partsOf(leaf.der)
      assert.strictEqual(reasonOf(encode(0x30, ...parts, NULL)), "Malformed")
      assert.strictEqual(reasonOf(encode(0x31, ...parts)), "Malformed")
      assert.strictEqual(reasonOf(new Uint8Array([...leaf.der, 0])), "Malformed")
      assert.strictEqual(reasonOf(withPart(leaf.der, 0, encode(0x31, ...partsOf(parts[0] ?? leaf.der)))), "Malformed")
      // An issuer has a name; a subject need not have one.
      assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 3, encode(0x30)))), "Malformed")
      assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 5, encode(0x30)))), "accepted")
      const [from = NULL, to = NULL] = partsOf(partsOf(parts[0] ?? leaf.der)[4] ?? leaf.der)
      const noDate = encode(0x17, text("261301000000Z"))
      for (const validity of [[from], [to, NULL], [NULL, to], [from, noDate], [noDate, to]]) {
        assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 4, encode(0x30, ...validity)))), "Malformed")
      }
      // Names are read strictly, and so is what pkijs also accepts in BER.
      for (const index of [3, 5]) {
        assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, index, encode(0x30, encode(0x31))))), "Malformed")
      }
      const longer = encode(0x30, [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b], [5, 0x81, 0])
      assert.strictEqual(
        reasonOf(withPart(tbs((inner) => withPart(inner, 2, longer)), 1, longer)),
        "Malformed"
      )
      assert.strictEqual(reasonOf(tbs((inner) => withPart(inner, 7, undefined))), "accepted")
      // Another algorithm outside.
      assert.strictEqual(reasonOf(withPart(leaf.der, 1, encode(0x30, [6, 1, 0x2a]))), "AlgorithmMismatch")
    }))

  it.effect("an extension on which a decision is based has one well-formed value", () =>
    Effect.gen(function*() {
      const { makeLeaf } = yield* base
      const withExtension = (oid: string, value: Bytes) =>
        Effect.map(
          makeLeaf({ names: [], extensions: [Pki.extension(oid, false, new Uint8Array(value).buffer)] }),
          (leaf) => Either.mapLeft(certificates.parse(leaf.der), ({ detail, reason }) => `${reason}: ${detail}`)
        )
      const { Oid } = certificates
      for (
        const oid of [Oid.nameConstraints, Oid.policyConstraints, Oid.crlDistributionPoints, Oid.authorityInfoAccess]
      ) {
        assert.deepStrictEqual(
          yield* withExtension(oid, [0x30, 0, 0]),
          Either.left(`Malformed: its extension ${oid} is malformed`)
        )
      }
      assert.isTrue(Either.isRight(yield* withExtension(Oid.ocspNoCheck, [5, 0, 0])))
      assert.isTrue(Either.isRight(yield* withExtension("1.2.3", [5, 0, 0])))
      for (const value of [encode(0x31), encode(0x30, [0x86, 9]), encode(0x30, encode(0x8f)), [0x30, 0, 0]]) {
        assert.deepStrictEqual(
          yield* withExtension(Oid.subjectAltName, value),
          Either.left(`Malformed: its extension ${Oid.subjectAltName} is malformed`)
        )
      }
      const named = Either.getOrThrow(
        yield* withExtension(Oid.subjectAltName, encode(0x30, encode(0x86, text("urn:a"))))
      )
      assert.deepStrictEqual(certificates.uris(named), ["urn:a"])
      const without = Either.getOrThrow(yield* withExtension("1.2.3", NULL))
      assert.deepStrictEqual([...certificates.uris(without), ...without.alternativeNames], [])
    }))

  it.effect("limits end exactly where they say", () =>
    Effect.gen(function*() {
      const { makeLeaf } = yield* base
      const extended = (count: number) =>
        Effect.map(
          makeLeaf({
            extensions: Array.from(
              { length: count },
              (_, i) => Pki.extension(`1.3.6.1.4.1.99999.7.${i}`, false, new Uint8Array(NULL).buffer)
            )
          }),
          ({ der }) => reasonOf(der)
        )
      const { extensions = [] } = (yield* makeLeaf({})).x509
      assert.strictEqual(yield* extended(32 - extensions.length), "accepted")
      assert.strictEqual(yield* extended(33 - extensions.length), "TooLarge")
      assert.strictEqual(reasonOf(new Uint8Array(16_384)), "Malformed")
      assert.strictEqual(reasonOf(new Uint8Array(16_385)), "TooLarge")
      const elements = (count: number) => encode(0x30, ...Array.from({ length: count - 1 }, () => NULL))
      assert.strictEqual(reasonOf(elements(500)), "Malformed")
      assert.strictEqual(reasonOf(elements(501)), "TooLarge")
      const twice = [1, 2].map(() => Pki.extension("1.2.3", false, new Uint8Array(NULL).buffer))
      assert.strictEqual(reasonOf((yield* makeLeaf({ extensions: twice })).der), "DuplicateExtension")
    }))

  it.effect("key usage, basic constraints and purposes", () =>
    Effect.gen(function*() {
      const { makeLeaf } = yield* base
      const of = (change: Parameters<typeof makeLeaf>[0]) =>
        Effect.map(makeLeaf(change), ({ der }) => Either.getOrThrow(certificates.parse(der)))
      const usages = ["digitalSignature", "keyCertSign", "cRLSign"] as const
      const allowed = (certificate: certificates.Certificate) =>
        usages.filter((usage) => certificates.allows(certificate, usage))
      assert.deepStrictEqual(allowed(yield* of({ keyUsage: null })), [...usages])
      assert.deepStrictEqual(allowed(yield* of({ keyUsage: 0x80 })), ["digitalSignature"])
      assert.deepStrictEqual(allowed(yield* of({ keyUsage: 0x06 })), ["keyCertSign", "cRLSign"])
      const withUsage = (value: Bytes) =>
        of({ keyUsage: null, extensions: [Pki.extension(Pki.Oid.keyUsage, true, new Uint8Array(value).buffer)] })
      assert.deepStrictEqual(allowed(yield* withUsage([3, 1, 0])), [])
      assert.deepStrictEqual(allowed(yield* withUsage([4, 2, 0, 0xff])), [])
      const plain = yield* of({ basicConstraints: false })
      assert.deepStrictEqual(certificates.basicConstraints(plain), { ca: false, pathLength: undefined })
      assert.deepStrictEqual(certificates.extendedKeyUsages(plain), [])
      assert.lengthOf(certificates.extensionOf(plain, certificates.Oid.nameConstraints), 0)
      // CA, and a path length of 40 bits.
      const huge = [0x30, 10, 1, 1, 0xff, 2, 5, 1, 0, 0, 0, 0]
      const limited = yield* of({
        basicConstraints: false,
        extensions: [Pki.extension(Pki.Oid.basicConstraints, true, new Uint8Array(huge).buffer)]
      })
      assert.deepStrictEqual(certificates.basicConstraints(limited), { ca: true, pathLength: 0 })
      assert.deepStrictEqual(certificates.basicConstraints(yield* of({ authority: true, pathLength: 3 })), {
        ca: true,
        pathLength: 3
      })
      assert.deepStrictEqual(
        certificates.extendedKeyUsages(yield* of({ extensions: [Pki.extendedKeyUsage("1.2.3")] })),
        ["1.2.3"]
      )
      assert.isFalse(certificates.isSelfIssued(plain))
      const { root } = yield* base
      const authority = Either.getOrThrow(certificates.parse(root.der))
      assert.isTrue(certificates.isSelfIssued(authority))
      assert.isTrue(certificates.same(authority, Either.getOrThrow(certificates.parse(root.der.slice()))))
      assert.isFalse(certificates.same(authority, plain))
    }))
})

describe("the structure of a CRL", () => {
  const ruleOf = (bytes: Uint8Array) =>
    Either.match(crls.parse(bytes), { onLeft: ({ rule }) => rule, onRight: () => "accepted" })

  it.effect("a part that is missing, of another type or too much makes it malformed", () =>
    Effect.gen(function*() {
      const { inter } = yield* base
      const list = yield* Pki.crl(inter, [inter.serial])
      assert.strictEqual(ruleOf(list), "accepted")
      const tbs = (change: (tbs: Uint8Array) => Bytes) => withInner(list, 0, change)
      const malformed = "RFC 5280, 5.1"
      // Version, algorithm, issuer, start.
      for (const index of [0, 1, 2, 3]) {
        for (const part of [...(index === 3 ? [] : [undefined]), ...(index === 1 ? [] : [NULL, encode(0x31)])]) {
          assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, index, part))), malformed, String(index))
        }
      }
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 0, [2, 1, 0]))), malformed)
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 1, encode(0x30, [6, 1, 0x2a])))), `${malformed}.1.2`)
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 4, undefined))), `${malformed}.2.5`)
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 4, encode(0x17, text("x"))))), `${malformed}.2.5`)
      const later = encode(0x18, text("20600101000000Z"))
      const ends = Either.getOrThrow(crls.parse(tbs((inner) => withPart(inner, 4, later)))).nextUpdate
      assert.strictEqual(ends, Date.UTC(2060, 0, 1))
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 5, NULL))), malformed)
      assert.strictEqual(ruleOf(tbs((inner) => encode(0x30, ...partsOf(inner), NULL))), malformed)
      // 21 bytes are not the value.
      const long = (size: number) =>
        encode(0x30, encode(0x31, encode(0x30, [6, 3, 0x55, 4, 3], encode(0x0c, new Uint8Array(size - 21).fill(0x61)))))
      assert.lengthOf(long(4_096), 4_096)
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 2, long(4_096)))), "accepted")
      assert.strictEqual(ruleOf(tbs((inner) => withPart(inner, 2, long(4_097)))), malformed)
      assert.strictEqual(ruleOf(withPart(list, 2, encode(0x03, [0], new Uint8Array(2_043)))), "accepted")
      assert.strictEqual(ruleOf(withPart(list, 2, encode(0x03, [0], new Uint8Array(2_044)))), malformed)
      assert.strictEqual(ruleOf(withPart(list, 2, encode(0x04, [0], new Uint8Array(256)))), malformed)
      const sized = (size: number) => encode(0x30, [6, 1, 0x2a], encode(0x04, new Uint8Array(size - 9)))
      assert.lengthOf(sized(256), 256)
      assert.strictEqual(ruleOf(withPart(list, 1, sized(256))), `${malformed}.1.2`)
      assert.strictEqual(ruleOf(withPart(list, 1, sized(257))), malformed)
      const noAlgorithm = encode(0x30, NULL)
      assert.strictEqual(
        ruleOf(withPart(tbs((inner) => withPart(inner, 1, noAlgorithm)), 1, noAlgorithm)),
        malformed
      )
      // The extensions are one sequence with the tag 0.
      const withExplicit = (explicit: Bytes) =>
        ruleOf(tbs((inner) => encode(0x30, ...partsOf(inner).filter((part) => part[0] !== 0xa0), explicit)))
      const extensions = encode(0x30, encode(0x30, [6, 1, 0x2a], encode(0x04, NULL)))
      assert.strictEqual(withExplicit(encode(0xa0, extensions)), "accepted")
      assert.strictEqual(withExplicit([]), "accepted")
      const others = [
        encode(0xa1, extensions),
        encode(0xa0, extensions, extensions),
        encode(0xa0, encode(0x31)),
        encode(0xa0, [0x30, 9]),
        encode(0xa0)
      ]
      for (const explicit of others) assert.strictEqual(withExplicit(explicit), malformed, String(explicit))
      for (const part of [undefined, NULL, encode(0x03, [1, 0xfe]), encode(0x03, [0], new Uint8Array(2_050))]) {
        assert.strictEqual(ruleOf(withPart(list, 2, part)), malformed)
      }
      assert.strictEqual(ruleOf(withPart(list, 0, NULL)), malformed)
      assert.strictEqual(ruleOf(withPart(list, 1, undefined)), malformed)
      const algorithm = encode(0x30, [6, 1, 0x2a], encode(0x04, new Uint8Array(300)))
      assert.strictEqual(
        ruleOf(withPart(tbs((inner) => withPart(inner, 1, algorithm)), 1, algorithm)),
        malformed
      )
      const parts = partsOf(list)
      assert.strictEqual(ruleOf(encode(0x30, ...parts, NULL)), malformed)
      assert.strictEqual(ruleOf(encode(0x31, ...parts)), malformed)
      const unsupported = encode(0x30, [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], NULL)
      const other = crls.parse(withPart(tbs((inner) => withPart(inner, 1, unsupported)), 1, unsupported))
      assert.deepStrictEqual(
        Either.mapLeft(other, ({ detail }) => detail),
        Either.left("it is signed with SHA-1 with RSA")
      )
    }))

  it.effect("its extensions stand once, are well-formed and are known if they are critical", () =>
    Effect.gen(function*() {
      const { inter } = yield* base
      const list = yield* Pki.crl(inter)
      const OID = [6, 3, 0x55, 0x1d]
      const number = (...extra: ReadonlyArray<Bytes>) => encode(0x30, [6, 3, 0x55, 0x1d, 20], ...extra)
      const value = encode(0x04, [2, 1, 1])
      const withExtensions = (...extensions: ReadonlyArray<Bytes>) =>
        ruleOf(
          withInner(list, 0, (inner) =>
            encode(
              0x30,
              ...partsOf(inner).filter((part) => part[0] !== 0xa0),
              encode(0xa0, encode(0x30, ...extensions))
            ))
        )
      assert.strictEqual(withExtensions(number(value)), "accepted")
      assert.strictEqual(withExtensions(number([1, 1, 0xff], value)), "accepted")
      assert.strictEqual(
        withExtensions(encode(0x30, OID.slice(0, 1), [3, 0x55, 0x1d, 35], [1, 1, 0xff], value)),
        "accepted"
      )
      const unknown = (critical: number) => encode(0x30, [6, 1, 0x2a], [1, 1, critical], value)
      assert.strictEqual(withExtensions(unknown(0)), "accepted")
      assert.strictEqual(withExtensions(unknown(0xff)), "RFC 5280, 5.2")
      assert.strictEqual(withExtensions(encode(0x30, [6, 1, 0x2a], value)), "accepted")
      assert.strictEqual(withExtensions(number(value), number(value)), "RFC 5280, 5.2")
      assert.strictEqual(withExtensions(encode(0x30, [6, 3, 0x55, 0x1d, 27], value)), "RFC 5280, 5.2.4")
      const malformed: ReadonlyArray<Bytes> = [
        number(),
        number(NULL),
        number([1, 1, 0xff], NULL, value),
        number([1, 1, 0xff], value, NULL),
        encode(0x30, NULL, value),
        encode(0x30),
        NULL
      ]
      for (const extension of malformed) assert.strictEqual(withExtensions(number(value), extension), "RFC 5280, 5.1")
      const many = (count: number) => Array.from({ length: count }, (_, i) => encode(0x30, [6, 2, 0x2a, i], value))
      assert.strictEqual(withExtensions(...many(32)), "accepted")
      assert.strictEqual(withExtensions(...many(33)), "RFC 5280, 5.1")
    }))

  it.effect("its scope is of the kinds that are known", () =>
    Effect.gen(function*() {
      const { inter } = yield* base
      const scoped = (value: Bytes) =>
        Effect.map(
          Pki.crl(inter, [], {
            extensions: [Pki.extension(Pki.Oid.issuingDistributionPoint, true, new Uint8Array(value).buffer)]
          }),
          (bytes) => Either.match(crls.parse(bytes), { onLeft: ({ detail }) => detail, onRight: ({ scope }) => scope })
        )
      const point = (...parts: ReadonlyArray<Bytes>) => encode(0x30, encode(0xa0, ...parts))
      const uri = encode(0x86, text(CRL_URL))
      assert.deepStrictEqual(yield* scoped(encode(0x30)), { points: undefined, only: undefined })
      assert.deepStrictEqual(yield* scoped(encode(0x30, [0x81, 1, 0xff])), { points: undefined, only: "Users" })
      assert.deepStrictEqual(yield* scoped(encode(0x30, [0x82, 1, 0xff])), { points: undefined, only: "Authorities" })
      assert.deepStrictEqual(
        yield* scoped(encode(0x30, [0x81, 1, 0], [0x82, 1, 0], [0x84, 1, 0], [0x85, 1, 0])),
        { points: undefined, only: undefined }
      )
      assert.deepStrictEqual(yield* scoped(point(encode(0xa0, uri))), {
        points: [{ form: "uri", value: CRL_URL }],
        only: undefined
      })
      const details: ReadonlyArray<readonly [Bytes, string]> = [
        [encode(0x31), "its scope is malformed"],
        [[0x30, 0, 0], "its scope is malformed"],
        [encode(0x30, [0x84, 1, 0xff]), "it is an indirect CRL"],
        [encode(0x30, [0x85, 1, 0xff]), "it covers attribute certificates only"],
        [encode(0x30, [0x83, 2, 6, 64]), "it covers some reasons only"],
        [point(), "its distribution point has no full name"],
        [point(encode(0xa1, uri)), "its distribution point has no full name"],
        [point(encode(0xa0, uri), encode(0xa0, uri)), "its distribution point has no full name"],
        [point(encode(0xa0, NULL)), "its distribution point has no full name"]
      ]
      for (const [value, detail] of details) assert.strictEqual(yield* scoped(value), detail)
    }))

  it.effect("a list for distribution points covers the certificates that name one of them", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const issuer = Either.getOrThrow(certificates.parse(inter.der))
      const point = (name: Bytes) => encode(0x30, encode(0xa0, encode(0xa0, name)))
      const uri = (value: string) => encode(0x86, text(value))
      const dns = encode(0x82, text(CRL_URL))
      const directory = (name: string) =>
        encode(0xa4, encode(0x30, encode(0x31, encode(0x30, [6, 3, 0x55, 4, 3], encode(0x0c, text(name))))))
      const statusOf = (own: Bytes, ofList: Bytes) =>
        Effect.gen(function*() {
          const leaf = yield* makeLeaf({
            extensions: [Pki.extension(Pki.Oid.crlDistributionPoints, false, new Uint8Array(own).buffer)]
          })
          const list = yield* Pki.crl(inter, [], {
            extensions: [Pki.extension(Pki.Oid.issuingDistributionPoint, true, new Uint8Array(ofList).buffer)]
          })
          const certificate = Either.getOrThrow(certificates.parse(leaf.der))
          const status = yield* crls.status(Either.getOrThrow(crls.parse(list)), certificate, issuer, {
            now: NOW,
            skew: 0
          })
          return status._tag
        })
      assert.strictEqual(yield* statusOf(encode(0x30, point(uri(CRL_URL))), point(uri(CRL_URL))), "Good")
      assert.strictEqual(yield* statusOf(encode(0x30, point(uri("x:")), point(uri("y:"))), point(uri("y:"))), "Good")
      assert.strictEqual(yield* statusOf(encode(0x30, point(directory("a"))), point(directory("A"))), "Good")
      const others: ReadonlyArray<readonly [Bytes, Bytes]> = [
        [point(uri(CRL_URL)), point(uri(`${CRL_URL}x`))],
        [point(uri(CRL_URL)), point(dns)],
        [point(dns), point(uri(CRL_URL))],
        [point(directory("a")), point(directory("b"))],
        [point(directory("a")), point(uri(CRL_URL))],
        [point(uri(CRL_URL)), point(directory("a"))],
        // A point with reasons is not used.
        [encode(0x30, encode(0xa0, encode(0xa0, uri("x:"))), encode(0x81, [6, 64])), point(uri("x:"))],
        [encode(0x30, encode(0xa2, encode(0xa0, uri("x:")))), point(uri("x:"))],
        [encode(0x31), point(uri(CRL_URL))]
      ]
      for (const [own, ofList] of others) {
        assert.strictEqual(yield* statusOf(encode(0x30, own), ofList), "Unusable")
      }
    }))
})
