import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Scopes from "../../src/launch/Scopes.js"

const { parse, parseScope, print } = Scopes

const normal = (text: string) => print(Scopes.normalize(parse(text)))
const covers = (granted: string, needed: string) => Scopes.covers(parse(granted), parse(needed))
const diff = (requested: string, granted: string) => {
  const result = Scopes.diff(parse(requested), parse(granted))
  return { granted: print(result.granted), missing: print(result.missing), extra: print(result.extra) }
}
const toV1 = (text: string, options?: Scopes.ConversionOptions) => {
  const result = Scopes.toV1(parse(text), options)
  return {
    scopes: print(result.scopes),
    unconvertible: print(result.unconvertible),
    widened: result.widened.map(({ from, to }) => `${Scopes.printScope(from)} -> ${print(to)}`)
  }
}

const all31 = Array.from(
  { length: 31 },
  (_, index) => Array.from("cruds").filter((_, bit) => ((index + 1) & (1 << bit)) !== 0).join("")
).filter(Scopes.isPermissions)

describe("grammar", () => {
  it("[SMART-135] a resource scope is context, type, letters and constraints", () => {
    deepStrictEqual(parseScope("patient/Observation.rs?category=a|b&code=c"), {
      _tag: "Resource",
      prefix: "",
      context: "patient",
      resourceType: "Observation",
      syntax: "v2",
      permissions: "rs",
      constraints: [["category", "a|b"], ["code", "c"]]
    })
  })

  it("[SMART-120] [SMART-122] [SMART-124] [SMART-135] each of the 31 ordered subsets of cruds is a permission", () => {
    strictEqual(all31.length, 31)
    for (const letters of all31) {
      const scope = parseScope(`user/Basic.${letters}`)
      assert(scope._tag === "Resource" && scope.syntax === "v2")
      strictEqual(scope.permissions, letters)
    }
  })

  it.each([["patient", 137], ["user", 141], ["system", 143]])("reads %s/ scopes [SMART-%i]", (context) => {
    const scope = parseScope(`${context}/*.cruds`)
    assert(scope._tag === "Resource")
    strictEqual(scope.context, context)
    strictEqual(scope.resourceType, "*") // [SMART-146]
  })

  it.each([
    "patient/Observation.dus",
    "patient/Observation.sr",
    "patient/Observation.rc",
    "patient/Observation.rr",
    "patient/Observation.Rs",
    "patient/Observation.",
    "patient/Observation.?a=b",
    "patient/Observation",
    "patient/Observation.rs?",
    "patient/Observation.rs?category",
    "patient/Observation.rs?a=b&",
    "patient/observation.rs",
    "Patient/Observation.rs",
    "patient/.rs",
    "patient/Obser vation.rs",
    "patient/Observation.rs?a=b c",
    "patient/constructor.__proto__",
    "patient.Observation.rs",
    "encounter/Observation.rs",
    "launch/",
    "launch/Patient",
    "launch/patient?",
    "launch/patient?role=",
    "launch/patient?role=a&role=b",
    "launch/patient?purpose=a",
    "http://smarthealthit.org/fhir/scopes/patient/Observation.sr",
    "http://openid.net/specs/openid-connect-core-1_0#patient/Observation.rs",
    "Launch",
    "user_impersonation"
  ])("[SMART-129] [SMART-157] keeps %s as an unknown scope", (text) => {
    deepStrictEqual(parseScope(text), { _tag: "Unknown", value: text })
  })

  it("[SMART-132] constraints split at the first ?, each & and the first =", () => {
    const scope = parseScope("patient/Observation.rs?code=http://a.example/x?y=z|1#2&date=ge2020&q=")
    assert(scope._tag === "Resource")
    deepStrictEqual(scope.constraints, [["code", "http://a.example/x?y=z|1#2"], ["date", "ge2020"], ["q", ""]])
  })

  it.each([
    "patient/Observation.rs?code:in=http://valueset.example.org/ValueSet/diabetes-codes",
    "patient/Observation.rs?patient.birthdate=1990",
    "patient/Observation.rs?_filter=code%20eq%20\"x\"",
    "user/Basic.cuds",
    "patient/Basic.cuds?code=https://app.example|x"
  ])("[SMART-132] reads %s and prints it unchanged", (text) => {
    strictEqual(parseScope(text)._tag, "Resource")
    strictEqual(Scopes.printScope(parseScope(text)), text)
  })

  it("[SMART-132] `constraintsOf` returns decoded constraints", () => {
    const scope = parseScope("patient/Observation.rs?a=x%20y%26z&b=100%&c=%FF")
    assert(scope._tag === "Resource")
    deepStrictEqual(Scopes.constraintsOf(scope), [["a", "x y&z"], ["b", "100%"], ["c", "%FF"]])
  })

  it.each([
    ["launch", "Launch"],
    ["openid", "OpenId"],
    ["fhirUser", "FhirUser"],
    ["offline_access", "OfflineAccess"],
    ["online_access", "OnlineAccess"]
  ])("[SMART-161] [SMART-195] [SMART-196] [SMART-215] [SMART-216] %s has its own type", (text, tag) => {
    deepStrictEqual(Object.entries(parseScope(text)), [["_tag", tag], ["prefix", ""]])
  })

  it("[SMART-155] [SMART-156] reads launch context scopes with and without a role", () => {
    deepStrictEqual(parse("launch/patient launch/imagingstudy launch/list?role=https://a.example/r#1"), [
      { _tag: "LaunchContext", prefix: "", resourceType: "patient" },
      { _tag: "LaunchContext", prefix: "", resourceType: "imagingstudy" },
      { _tag: "LaunchContext", prefix: "", resourceType: "list", role: "https://a.example/r#1" }
    ])
  })

  it("[SMART-217] keeps extensions unchanged", () => {
    deepStrictEqual(parse("__x urn:a:b https://a.example/Scope?x=\"1\""), [
      { _tag: "Extension", value: "__x" },
      { _tag: "Extension", value: "urn:a:b" },
      { _tag: "Extension", value: "https://a.example/Scope?x=\"1\"" }
    ])
  })

  it("reads other OpenID scopes by their name", () => {
    deepStrictEqual(parse("profile"), [{ _tag: "Other", prefix: "", name: "profile" }])
  })

  it.each([
    ["http://smarthealthit.org/fhir/scopes/patient/*.r", "patient/*.r"],
    ["http://smarthealthit.org/fhir/scopes/patient/A.read", "patient/A.read"],
    ["http://smarthealthit.org/fhir/scopes/launch", "launch"],
    ["http://smarthealthit.org/fhir/scopes/launch/list?role=x", "launch/list?role=x"],
    ["http://smarthealthit.org/fhir/scopes/fhirUser", "fhirUser"],
    ["http://openid.net/specs/openid-connect-core-1_0#openid", "openid"],
    ["http://openid.net/specs/openid-connect-core-1_0#profile", "profile"]
  ])("[SMART-219] [SMART-220] %s equals %s and is printed unchanged", (uri, short) => {
    strictEqual(Scopes.printScope(parseScope(uri)), uri)
    strictEqual(Scopes.printScope(Scopes.toUri(parseScope(short))), uri)
    assert(covers(uri, short) && covers(short, uri))
  })

  it("[SMART-219] extensions and unknown scopes have no other URI form", () => {
    strictEqual(print(parse("__x y").map(Scopes.toUri)), "__x y")
  })

  it("[SMART-145] reads lists, additional white space and empty text", () => {
    strictEqual(print(parse(["launch openid", "", "fhirUser"])), "launch openid fhirUser")
    strictEqual(print(parse("  launch\n\topenid  ")), "launch openid")
    deepStrictEqual(parse(""), [])
    strictEqual(print([]), "")
  })

  it("the schema decodes and encodes", () => {
    const decoded = Schema.decodeSync(Scopes.FromString)("patient/A.read openid")
    deepStrictEqual(decoded, parse("patient/A.read openid"))
    strictEqual(Schema.encodeSync(Scopes.FromString)(decoded), "patient/A.read openid")
    assert(Either.isLeft(Schema.decodeUnknownEither(Scopes.FromString)(1)))
    assert(!Scopes.isScope({ _tag: "Nothing" }) && !Scopes.isScope(null) && Scopes.isScope(Scopes.launch))
  })
})

describe("constructors", () => {
  it("[SMART-137] [SMART-141] [SMART-143] [SMART-146] [SMART-151] [SMART-152] [SMART-153] print the scope of the specification", () => {
    strictEqual(
      print([
        Scopes.launch,
        Scopes.launchPatient,
        Scopes.launchEncounter,
        Scopes.openid,
        Scopes.fhirUser,
        Scopes.offlineAccess,
        Scopes.onlineAccess,
        Scopes.patient("Observation", "rs"),
        Scopes.user("Appointment", "cruds"),
        Scopes.system("*", "rs")
      ]),
      "launch launch/patient launch/encounter openid fhirUser offline_access online_access " +
        "patient/Observation.rs user/Appointment.cruds system/*.rs"
    )
  })

  it("[SMART-132] constraints are escaped where they cannot stand in a scope", () => {
    const scope = Scopes.patient("Observation", "rs", {
      constraints: { category: "http://a.example/b?c#d|e", "co de&=": " \"\\\n&%+é,x=" }
    })
    strictEqual(
      Scopes.printScope(scope),
      "patient/Observation.rs?category=http://a.example/b?c#d|e&co%20de%26%3D=%20%22%5C%0A%26%25%2B%C3%A9,x="
    )
    deepStrictEqual(Scopes.constraintsOf(scope)[1], ["co de&=", " \"\\\n&%+é,x="])
  })

  it("[SMART-132] pairs may repeat a parameter", () => {
    const constraints = [["code", "a"], ["code", "b"]] as const
    strictEqual(print([Scopes.user("Observation", "r", { constraints })]), "user/Observation.r?code=a&code=b")
  })

  it("[SMART-155] [SMART-158] launch context names are written in lower case", () => {
    strictEqual(print([Scopes.launchContext(Scopes.ResourceType("ImagingStudy"))]), "launch/imagingstudy")
    strictEqual(print([Scopes.launchContext("list", { role: "at home" })]), "launch/list?role=at%20home")
    strictEqual(print([Scopes.launchContext("list", { role: "" })]), "launch/list")
  })

  it("the types reject scopes that the grammar does not have", () => {
    // @ts-expect-error letters out of order
    Scopes.patient("Observation", "sr")
    // @ts-expect-error no letters
    Scopes.patient("Observation", "")
    // @ts-expect-error v1 words are not letters
    Scopes.patient("Observation", "read")
    // @ts-expect-error not capitalised
    Scopes.patient("observation", "rs")
    // @ts-expect-error not a name
    Scopes.patient("Observation patient/*", "rs")
    // @ts-expect-error a string that was not validated
    Scopes.patient("Observation" as string, "rs")
    // @ts-expect-error one of several is wrong
    Scopes.patient("Observation" as "Observation" | "patient", "rs")
    // @ts-expect-error empty
    Scopes.system("", "rs")
    // @ts-expect-error upper case
    Scopes.launchContext("Patient")
    // @ts-expect-error not a name
    Scopes.launchContext("*")
    assertSome(Scopes.ResourceType.option("Observation"), Scopes.ResourceType("Observation"))
    assertNone(Scopes.ResourceType.option("observation"))
    strictEqual(print([Scopes.patient(Scopes.ResourceType("MedicationRequest"), "c")]), "patient/MedicationRequest.c")
    strictEqual(
      print([Scopes.patient("Observation" as "Observation" | "Patient", "rs")]),
      "patient/Observation.rs"
    )
  })

  it("a resource type with a space does not become a second scope", () => {
    // @ts-expect-error what a program without types may do
    const scope = Scopes.patient("A.r user/*", "r")
    strictEqual(parse(print([scope])).length, 1)
    strictEqual(parseScope(print([scope]))._tag, "Unknown")
  })
})

describe("normal form", () => {
  it.each([
    ["patient/A.r patient/A.s", "patient/A.rs"],
    ["patient/A.rs patient/A.cud", "patient/A.cruds"],
    ["patient/A.s patient/A.r patient/A.s", "patient/A.rs"],
    ["patient/A.read patient/A.write", "patient/A.cruds"],
    ["patient/A.read", "patient/A.rs"],
    ["patient/*.rs patient/A.rs", "patient/*.rs"],
    ["patient/*.rs patient/A.cruds", "patient/*.rs patient/A.cud"],
    ["user/*.rs patient/A.rs", "patient/A.rs user/*.rs"],
    ["patient/A.rs patient/A.rs?x=1", "patient/A.rs"],
    ["patient/A.r patient/A.rs?x=1", "patient/A.r patient/A.s?x=1"],
    ["patient/A.rs?x=1 patient/*.rs?y=2&x=1", "patient/*.rs?x=1&y=2 patient/A.rs?x=1"],
    ["patient/A.rs?x=1&y=2 patient/*.rs?x=1", "patient/*.rs?x=1"],
    ["patient/A.r?x=1&y=2 patient/A.s?y=2&x=1&x=1", "patient/A.rs?x=1&y=2"],
    ["patient/A.r?x=a%7cb patient/A.s?x=a|b", "patient/A.rs?x=a|b"],
    ["http://smarthealthit.org/fhir/scopes/patient/A.r patient/A.s", "patient/A.rs"],
    [
      "zzz __e system/B.r user/A.r patient/B.r patient/A.r online_access offline_access profile fhirUser openid " +
      "launch/patient launch/encounter launch launch",
      "launch launch/encounter launch/patient openid fhirUser profile offline_access online_access " +
      "patient/A.r patient/B.r system/B.r user/A.r __e zzz"
    ],
    ["patient/A.sr patient/A.rs", "patient/A.rs patient/A.sr"],
    ["", ""]
  ])("[SMART-131] the normal form of %s is %s", (text, expected) => {
    strictEqual(normal(text), expected)
  })

  it("[SMART-131] `union` merges permissions", () => {
    strictEqual(print(Scopes.union(parse("patient/A.r openid"), parse("patient/A.s openid"))), "openid patient/A.rs")
  })

  it.each(["a=", "a=1&b=", "b=1&a="])(
    "normalizes a hostile grant of 20,000 scopes with ?%s in bounded time",
    (query) => {
      const hostile = parse(Array.from({ length: 20_000 }, (_, index) => `patient/A.r?${query}${index}`))
      strictEqual(Scopes.normalize(hostile).length, 20_000)
      assert(Scopes.covers(hostile, hostile))
    }
  )

  it("normalizes a hostile grant of all combinations of constraints in bounded time", () => {
    const choices = Array.from(
      { length: 1 << 16 },
      (_, bits) => Array.from({ length: 16 }, (_, bit) => bit).filter((bit) => (bits & (1 << bit)) !== 0)
    ).filter((choice) => choice.length === 7)
    const hostile = parse(choices.map((choice) => `patient/A.r?${choice.map((bit) => `a=${bit}`).join("&")}`))
    strictEqual(Scopes.normalize(hostile).length, 11_440)
  })

  it("accepts a scope with very many constraints", () => {
    const long = parse(`patient/A.r?${Array.from({ length: 50_000 }, (_, index) => `a=${index}`).join("&")}`)
    assert(Scopes.covers(long, long) && Scopes.covers(parse("patient/A.r?a=7"), long))
    deepStrictEqual(Scopes.intersection(long, parse("patient/*.r")), Scopes.normalize(long))
  })

  // 3,000 scopes on both sides make 9 million pairs: minutes of work, where one step for each scope needs a fraction
  // of a second.
  const queries = (name: string, count: number) =>
    parse(Array.from({ length: count }, (_, index) => `patient/Observation.rs?${name}=${index}`))

  it("`diff`, `union`, `intersection` and `covers` take time in proportion to the number of scopes", () => {
    const requested = queries("category", 3_000)
    const granted = queries("code", 3_000)
    const { extra, granted: usable, missing } = Scopes.diff(requested, granted)
    deepStrictEqual([usable.length, missing.length, extra.length], [0, 3_000, 3_000])
    deepStrictEqual(Scopes.intersection(requested, [...granted, ...requested]), Scopes.normalize(requested))
    strictEqual(Scopes.union(requested, granted).length, 6_000)
    strictEqual(Scopes.covers(granted, requested), false)
  }, 15_000)

  it("wildcards with constraints take time in proportion to the number of scopes", () => {
    const wild = Array.from({ length: 3_000 }, (_, index) => `patient/*.r?code=${index}`)
    const types = Array.from({ length: 3_000 }, (_, index) => `patient/A${index}.r`)
    deepStrictEqual(Scopes.intersection(parse(wild), parse(types)), [])
    strictEqual(Scopes.toV1(parse([...wild, ...types]), { widen: true }).widened.length, 6_000)
  }, 15_000)

  it("the result of `intersection` does not grow with the product of the two sides", () => {
    strictEqual(Scopes.intersection(queries("category", 100), queries("code", 100)).length, 10_000)
    strictEqual(Scopes.intersection(queries("category", 101), queries("code", 100)).length, 0)
    // Scopes without constraints have one result each, however many there are.
    const types = (letters: string) => parse(Array.from({ length: 500 }, (_, index) => `patient/A${index}.${letters}`))
    strictEqual(Scopes.intersection(types("rs"), types("cruds")).length, 500)
  })

  it("a search for a wider scope ends after all subsets of eight constraints", () => {
    const subsetsOf = (names: ReadonlyArray<string>) =>
      Array.from({ length: 1 << names.length }, (_, bits) => names.filter((_, bit) => (bits & (1 << bit)) !== 0))
    const scope = (type: string, letters: string, constraints: ReadonlyArray<string>) =>
      `patient/${type}.${letters}?${constraints.join("&")}`
    const grantOf = (names: ReadonlyArray<string>) =>
      subsetsOf(names).slice(1).map((some) => scope("*", some.length === names.length ? "r" : "c", some))
    const [eight, ten] = [8, 10].map((count) => Array.from({ length: count }, (_, bit) => `a=${bit}`))
    assert(eight !== undefined && ten !== undefined)
    assert(Scopes.covers(parse(grantOf(eight)), parse(scope("A", "r", eight))))
    // One scope more to visit.
    const nine = [...eight, "b=0"]
    assert(!Scopes.covers(parse([...grantOf(eight), scope("*", "c", ["b=0"])]), parse(scope("A", "r", nine))))
    assert(!Scopes.covers(parse(grantOf(ten)), parse(scope("A", "r", ten))))
    // A scope covers itself, however many others are wider.
    const own = parse(scope("A", "r", ten))
    assert(Scopes.covers([...parse(grantOf(ten)), ...own], own))
  })

  it("scopes without constraints do not count as pairs whose constraints are combined", () => {
    const types = Array.from({ length: 6_000 }, (_, index) => `patient/T${index}.r`)
    const result = Scopes.intersection(
      parse([...types, "patient/A.r?a=1"]),
      parse([...types, "patient/*.c", "patient/A.r?b=1"])
    )
    strictEqual(result.length, 6_001)
    assert(Scopes.covers(result, parse("patient/A.r?a=1&b=1")))
  })

  it("`covers` does not search all subsets of the constraints of a scope", () => {
    const names = Array.from({ length: 13 }, (_, bit) => `a=${bit}`)
    const subsets = Array.from({ length: 1 << 13 }, (_, bits) => names.filter((_, bit) => (bits & (1 << bit)) !== 0))
    const granted = parse(subsets.slice(1).map((some) => `patient/A.r?${some.join("&")}`))
    const needed = parse(Array.from({ length: 1 << 13 }, (_, index) => `patient/A.cr?${names.join("&")}&z=${index}`))
    strictEqual(Scopes.missing(granted, needed).length, 1 << 13)
    assert(Scopes.covers([...granted, ...needed], needed))
    // One constraint of many, or none at all, is found as before.
    assert(Scopes.covers(parse("patient/A.cr?a=7"), needed) && Scopes.covers(parse("patient/*.cr"), needed))
  }, 15_000)
})

describe("coverage", () => {
  it.each([
    ["patient/A.rs", "patient/A.r", true],
    ["patient/A.r", "patient/A.rs", false],
    ["patient/A.r patient/A.s", "patient/A.rs", true],
    ["patient/A.r patient/*.s", "patient/A.rs", true],
    ["patient/*.rs", "patient/A.rs", true],
    ["patient/A.rs patient/B.rs", "patient/*.rs", false],
    ["patient/A.rs", "user/A.rs", false],
    ["user/A.rs", "patient/A.rs", false],
    ["system/A.rs", "patient/A.rs", false],
    ["patient/A.rs", "patient/A.rs?x=1", true],
    ["patient/A.rs?x=1", "patient/A.rs", false],
    ["patient/A.rs?x=1", "patient/A.rs?x=1&y=2", true],
    ["patient/A.rs?y=2&x=1", "patient/A.rs?x=1&y=2", true],
    ["patient/A.rs?x=1", "patient/A.rs?x=2", false],
    ["patient/A.r?x=1 patient/A.s?x=2", "patient/A.rs?x=1", false],
    ["patient/A.r?x=1 patient/*.s?y=2", "patient/A.rs?x=1&y=2", true],
    ["patient/A.r?x=%31", "patient/A.r?x=1", true],
    ["patient/A.read", "patient/A.rs", true],
    ["patient/A.rs", "patient/A.read", true],
    ["patient/A.*", "patient/A.cruds", true],
    ["patient/*.*", "patient/A.write", true],
    ["patient/A.read", "patient/A.c", false],
    ["launch", "launch/patient", false],
    ["launch/patient", "launch/patient", true],
    ["launch/list?role=a", "launch/list?role=b", false],
    ["launch/list?role=%61", "launch/list?role=a", true],
    ["offline_access", "online_access", false],
    ["patient/A.sr", "patient/A.sr", true],
    ["patient/A.sr", "patient/A.rs", false],
    ["", "openid", false],
    ["", "", true],
    ["openid", "", true]
  ])("%s covers %s: %s", (granted, needed, expected) => {
    strictEqual(covers(granted, needed), expected)
  })

  it("`missing` returns the missing permissions", () => {
    strictEqual(
      print(Scopes.missing(parse("patient/*.rs openid"), parse("openid launch patient/A.cruds"))),
      "launch patient/A.cud"
    )
  })

  it("[SMART-108] a refresh may request granted scopes only", () => {
    assert(covers("patient/*.rs launch/patient offline_access", "patient/Observation.r"))
    assert(!covers("patient/*.rs launch/patient offline_access", "patient/Observation.c"))
  })
})

describe("grants", () => {
  const requested = "patient/AllergyIntolerance.cruds"
  it.each([
    ["exactly the request", requested, { granted: requested, missing: "", extra: "" }],
    [
      "the request in two scopes",
      "patient/AllergyIntolerance.rs patient/AllergyIntolerance.cud",
      { granted: requested, missing: "", extra: "" }
    ],
    ["read access only", "patient/AllergyIntolerance.rs", {
      granted: "patient/AllergyIntolerance.rs",
      missing: "patient/AllergyIntolerance.cud",
      extra: ""
    }],
    ["write access only", "patient/AllergyIntolerance.cud", {
      granted: "patient/AllergyIntolerance.cud",
      missing: "patient/AllergyIntolerance.rs",
      extra: ""
    }],
    ["read access to everything", "patient/*.rs", {
      granted: "patient/AllergyIntolerance.rs",
      missing: "patient/AllergyIntolerance.cud",
      extra: "patient/*.rs"
    }],
    ["all access to everything", "patient/*.cruds", { granted: requested, missing: "", extra: "patient/*.cruds" }],
    ["something else", "patient/Observation.rs", { granted: "", missing: requested, extra: "patient/Observation.rs" }],
    ["nothing", "", { granted: "", missing: requested, extra: "" }]
  ])("[SMART-147] `diff` of a request for AllergyIntolerance.cruds and a grant of %s", (_, granted, expected) => {
    deepStrictEqual(diff(requested, granted), expected)
  })

  it.each([
    ["patient/*.rs", "patient/A.rs patient/B.r", {
      granted: "patient/A.rs patient/B.r",
      missing: "patient/*.rs",
      extra: ""
    }],
    ["patient/A.rs", "patient/A.rs?x=1", { granted: "patient/A.rs?x=1", missing: "patient/A.rs", extra: "" }],
    ["patient/*.rs?x=1", "patient/A.r?y=2", {
      granted: "patient/A.r?x=1&y=2",
      missing: "patient/*.rs?x=1",
      extra: "patient/A.r?y=2"
    }],
    ["patient/A.rs", "patient/A.read", { granted: "patient/A.rs", missing: "", extra: "" }],
    ["launch openid x", "openid x y", { granted: "openid x", missing: "launch", extra: "y" }]
  ])("[SMART-147] `diff` of a request for %s and a grant of %s", (asked, granted, expected) => {
    deepStrictEqual(diff(asked, granted), expected)
  })
})

describe("syntax", () => {
  it.each([["read", "rs"], ["write", "cud"], ["*", "cruds"]])(
    "[SMART-126] converts v1 .%s to v2 .%s and back",
    (v1, v2) => {
      for (const type of ["Observation", "*"]) {
        strictEqual(print(Scopes.toV2(parse(`patient/${type}.${v1}`))), `patient/${type}.${v2}`)
        deepStrictEqual(toV1(`patient/${type}.${v2}`), {
          scopes: `patient/${type}.${v1}`,
          unconvertible: "",
          widened: []
        })
      }
    }
  )

  it.each([
    ["patient/A.r patient/A.s", "patient/A.read", ""],
    ["patient/A.crs", "patient/A.read", "patient/A.c"],
    ["patient/A.cr patient/A.uds", "patient/A.*", ""],
    ["patient/A.rs patient/A.c patient/A.ud", "patient/A.read patient/A.write", ""],
    ["patient/A.cruds patient/A.r", "patient/A.*", ""],
    ["patient/*.read patient/A.r", "patient/*.read", ""],
    ["patient/A.read patient/A.crs", "patient/A.read", "patient/A.c"],
    ["patient/*.read patient/A.crs", "patient/*.read", "patient/A.c"],
    ["patient/*.r patient/A.s", "", "patient/*.r patient/A.s"],
    ["patient/*.r patient/A.r patient/A.s", "patient/A.read", "patient/*.r"],
    ["patient/A.rs?x=1", "", "patient/A.rs?x=1"],
    ["patient/A.read?x=1", "", "patient/A.rs?x=1"],
    ["patient/A.rs patient/A.rs?x=1", "patient/A.read", ""],
    ["launch patient/A.sr __x patient/A.read openid", "launch patient/A.sr __x patient/A.read openid", ""]
  ])("`toV1` converts %s to %s, without %s", (text, scopes, unconvertible) => {
    deepStrictEqual(toV1(text), { scopes, unconvertible, widened: [] })
  })

  it("widens a scope only with the option for it", () => {
    deepStrictEqual(toV1("openid patient/A.r patient/B.cs patient/C.rs?x=1 patient/C.r?x=2", { widen: true }), {
      scopes: "openid patient/A.read patient/B.* patient/C.read",
      unconvertible: "",
      widened: [
        "patient/A.r -> patient/A.read",
        "patient/B.cs -> patient/B.*",
        "patient/C.r?x=2 -> patient/C.read",
        "patient/C.rs?x=1 -> patient/C.read"
      ]
    })
  })

  it("`forServer` uses the syntax that the server supports", () => {
    const scopes = parse("openid patient/A.read patient/B.rs patient/C.r")
    const of = (server: Scopes.ServerSyntaxes, options?: Scopes.ConversionOptions) => {
      const result = Scopes.forServer(scopes, server, options)
      return [result.syntax, print(result.scopes), print(result.unconvertible), result.widened.length]
    }
    deepStrictEqual(of({ v2: true }), ["v2", "openid patient/A.rs patient/B.rs patient/C.r", "", 0])
    deepStrictEqual(of({ v1: true, v2: true }), ["v2", "openid patient/A.rs patient/B.rs patient/C.r", "", 0])
    deepStrictEqual(of({ v1: true }), ["v1", "openid patient/A.read patient/B.read", "patient/C.r", 0])
    deepStrictEqual(of({ v1: true }, { widen: true }), [
      "v1",
      "openid patient/A.read patient/B.read patient/C.read",
      "",
      1
    ])
    deepStrictEqual(of({}), ["AsWritten", print(scopes), "", 0])
  })
})

describe("findings", () => {
  const reasons = (text: string) => Scopes.validate(text).map(({ reason, scope }) => `${reason} ${scope}`)

  it.each([
    ["launch openid patient/*.rs __x user_impersonation https://a.example/x,y", []],
    ["patient/Observation.rs?code=a,b&category=laboratory", []],
    ["", ["Empty "]],
    ["launch  openid", ["Spacing launch  openid"]],
    [" launch", ["Spacing  launch"]],
    ["launch\topenid", ["NotScopeToken launch\topenid"]],
    ["a\"b c\\d é", ["NotScopeToken a\"b", "NotScopeToken c\\d", "NotScopeToken é"]],
    ["launch,openid,patient/A.rs", ["CommaSeparated launch,openid,patient/A.rs"]],
    ["patient/A.rs?x=1,patient/B.rs", ["CommaSeparated patient/A.rs?x=1,patient/B.rs"]],
    ["launch, openid", ["CommaSeparated launch,"]],
    ["profile,email", ["CommaSeparated profile,email"]],
    ["patient/A.sr launch/Patient", ["Misspelled patient/A.sr", "Misspelled launch/Patient"]],
    ["patient/A.rs?x=", ["EmptyConstraint patient/A.rs?x="]],
    ["patient/A.rs?=x", ["EmptyConstraint patient/A.rs?=x"]],
    ["patient/A.read?x=1", ["ConstrainedV1 patient/A.read?x=1"]]
  ])("[SMART-37] `validate` finds the problems of %s", (text, expected) => {
    deepStrictEqual(reasons(text), expected)
  })

  it("[SMART-129] the advice has the permissions in the right order", () => {
    const advice = (text: string) => Scopes.validate(text).map((finding) => finding.advice).join()
    assert.include(advice("patient/A.srs?x=1"), "patient/A.rs?x=1")
    assert.notInclude(advice("patient/A.rx"), "patient/A.r")
    assert.include(advice("launch/Patient"), "lower case")
  })

  const lint = (text: string, options?: Scopes.LintOptions) =>
    Scopes.lint(parse(text), options).map(({ reason, scope }) => `${reason} ${scope}`)

  it("[SMART-46] [SMART-148] `lint` finds wildcards", () => {
    deepStrictEqual(lint("patient/*.rs patient/A.cruds openid"), ["Wildcard patient/*.rs"])
  })

  it("[SMART-239] [SMART-242] `lint` finds backend scopes other than system/", () => {
    deepStrictEqual(lint("user/A.rs patient/A.rs system/A.rs", { backend: true }), [
      "BackendContext user/A.rs",
      "BackendContext patient/A.rs"
    ])
    deepStrictEqual(lint("user/A.rs patient/A.rs"), [])
  })

  it("[SMART-196] `lint` finds fhirUser without openid, and mixed syntaxes", () => {
    deepStrictEqual(lint("fhirUser patient/A.r patient/B.read"), [
      "MixedSyntax patient/B.read",
      "FhirUserWithoutOpenId fhirUser"
    ])
    deepStrictEqual(lint("fhirUser openid patient/B.read"), [])
  })
})

// ---- laws

// few names, so that scopes meet
const constraint = FastCheck.tuple(FastCheck.constantFrom("x", "y"), FastCheck.constantFrom("1", "2", "%31", "a|b"))
const access = FastCheck.constantFrom<string>(...all31, "read", "write", "*")
const resource = FastCheck.tuple(
  FastCheck.constantFrom("", "http://smarthealthit.org/fhir/scopes/"),
  FastCheck.constantFrom("patient", "user"),
  FastCheck.constantFrom("*", "A", "B"),
  access,
  FastCheck.array(constraint, { maxLength: 2 })
).map(([prefix, context, type, letters, constraints]) =>
  `${prefix}${context}/${type}.${letters}${constraints.length === 0 ? "" : "?"}${
    constraints.map(([name, value]) => `${name}=${value}`).join("&")
  }`
)
const others = [
  "launch",
  "launch/patient",
  "launch/list?role=a",
  "launch/list?role=%61",
  "openid",
  "http://openid.net/specs/openid-connect-core-1_0#openid",
  "fhirUser",
  "profile",
  "offline_access",
  "__x",
  "urn:x:y",
  "patient/A.sr",
  "mystery"
]
const scopes = FastCheck.array(
  FastCheck.oneof({ weight: 4, arbitrary: resource }, { weight: 1, arbitrary: FastCheck.constantFrom(...others) }),
  { maxLength: 6 }
).map(parse)
const unconstrainedV1 = FastCheck.array(
  FastCheck.tuple(
    FastCheck.constantFrom("patient", "user", "system"),
    FastCheck.constantFrom("*", "A", "B"),
    FastCheck.constantFrom("read", "write", "*")
  ).map(([context, type, word]) => `${context}/${type}.${word}`)
).map(parse)
const fastCheck = { numRuns: 1000 }

describe("scopes that look like others", () => {
  const reasons = (text: string) => Scopes.validate(text).map(({ reason }) => reason)

  it("a name that only contains a SMART scope is unknown, and not misspelled", () => {
    for (const text of ["xpatient/Patient.rs", "xlaunch/patient", "x/user/Patient.rs", "1user/Patient.rs"]) {
      deepStrictEqual(parse(text), [{ _tag: "Unknown", value: text }])
      deepStrictEqual(reasons(text), [])
    }
    deepStrictEqual(print(parse([" a \t\n b ", "c  d"])), "a b c d")
    for (const value of [{ _tag: ["Launch"] }, { _tag: "toString" }, { _tag: 1 }, undefined, "Launch"]) {
      assert.isFalse(Scopes.isScope(value))
    }
  })

  it("alternatives of a constraint may look like scopes that SMART does not define", () => {
    const alternatives = ["http://loinc.org|1,http://loinc.org|2", "a,__b", "a,email", "a,b"]
    for (const value of alternatives) deepStrictEqual(Scopes.unsendable(`user/Patient.rs?code=${value}`), [])
    for (const text of ["user/Patient.rs?code=a,openid", "openid,email", "email,openid", "a,b", "a,user/Patient.rs"]) {
      deepStrictEqual(Scopes.unsendable(text).map(({ reason }) => reason), ["CommaSeparated"], text)
    }
    for (const text of ["", " ", "  "]) {
      deepStrictEqual(Scopes.unsendable(text).map(({ reason }) => reason), ["Empty"])
    }
  })

  it("letters in another order cause the advice to use the right one, with the rest as it was", () => {
    const advice = (text: string) => Scopes.validate(text).map(({ advice }) => advice)
    deepStrictEqual(advice("user/Patient.sr"), ["letters go once each in the order cruds: user/Patient.rs"])
    deepStrictEqual(advice("user/Patient.srr?a=b"), ["letters go once each in the order cruds: user/Patient.rs?a=b"])
    deepStrictEqual(advice("user/*.dusrc"), ["letters go once each in the order cruds: user/*.cruds"])
    for (const text of ["patient/x.y/Patient.sr", "user/Patient.sx", "user/Patient"]) {
      deepStrictEqual(advice(text).map((one) => one.slice(0, 14)), ["write patient/"])
    }
    deepStrictEqual(advice("launch/Patient").map((one) => one.slice(0, 13)), ["write launch/"])
    deepStrictEqual(reasons("user/Patient.read"), [])
    deepStrictEqual(reasons("user/Patient.rs?a=1&b="), ["EmptyConstraint"])
    deepStrictEqual(reasons("user/Patient.read?a=1"), ["ConstrainedV1"])
    deepStrictEqual(Scopes.lint(parse("openid launch __x"), { backend: true }), [])
  })

  it("a wider grant is found behind constraints that the needed scope lacks, and among many grants", () => {
    const need = "user/Observation.rs?a=1&b=2&c=3"
    const of = (...constraints: ReadonlyArray<string>) =>
      constraints.map((one) => `user/Observation.rs?${one}`).join(" ")
    for (const granted of [of("b=2"), of("c=3"), of("a=1&z=9", "b=2"), of("x=1", "y=1", "z=1", "w=1", "c=3")]) {
      assert.isTrue(covers(granted, need), granted)
    }
    for (const granted of [of("a=1&z=9"), of("x=1", "y=1", "z=1", "w=1"), of("a=1&b=2&c=3&d=4")]) {
      assert.isFalse(covers(granted, need), granted)
    }
  })

  it("extensions and unknown scopes stay as they are", () => {
    for (const text of ["__vendor", "urn:example:scope", "unknown"]) {
      deepStrictEqual(Scopes.toUri(parseScope(text)), parseScope(text))
      deepStrictEqual(Scopes.normalize(parse(text)), parse(text))
    }
    for (const text of ["Patient", "MedicationRequest", "A1"]) assertSome(Scopes.ResourceType.option(text), text)
    for (const text of ["patient", "xPatient", "Patient!", "!Patient", "", "1A"]) {
      assertNone(Scopes.ResourceType.option(text))
    }
    strictEqual(
      print([Scopes.patient("Observation", "rs", { constraints: { "a=b": "\u007f~\u0021 \u00e9" } })]),
      "patient/Observation.rs?a%3Db=%7F~!%20%C3%A9"
    )
  })
})

describe("laws", () => {
  it.prop("[SMART-131] the normal form is idempotent", [scopes], ([a]) => {
    const once = Scopes.normalize(a)
    deepStrictEqual(Scopes.normalize(once), once)
  }, { fastCheck })

  it.prop("[SMART-131] the normal form does not depend on order or splitting", [
    scopes.chain((a) =>
      FastCheck.tuple(FastCheck.constant(a), FastCheck.shuffledSubarray([...a], { minLength: a.length }))
    )
  ], ([[a, shuffled]]) => {
    const split = shuffled.flatMap((scope): ReadonlyArray<Scopes.Scope> =>
      scope._tag === "Resource"
        ? Array.from(scope.permissions).filter(Scopes.isPermissions).map((permissions) => ({
          ...scope,
          syntax: "v2",
          permissions
        }))
        : [scope]
    )
    deepStrictEqual(Scopes.normalize(split), Scopes.normalize(a))
  }, { fastCheck })

  it.prop("[SMART-131] normalizing preserves coverage", [scopes, scopes], ([a, b]) => {
    assert(Scopes.covers(a, Scopes.normalize(a)) && Scopes.covers(Scopes.normalize(a), a))
    strictEqual(Scopes.covers(Scopes.normalize(a), b), Scopes.covers(a, b))
    strictEqual(Scopes.covers(b, Scopes.normalize(a)), Scopes.covers(b, a))
  }, { fastCheck })

  it.prop("[SMART-131] the normal form is not longer", [scopes], ([a]) => {
    assert(Scopes.normalize(a).length <= a.length)
  }, { fastCheck })

  it.prop("`union` covers both sides and nothing more", [scopes, scopes, scopes], ([a, b, c]) => {
    const both = Scopes.union(a, b)
    assert(Scopes.covers(both, a) && Scopes.covers(both, b))
    strictEqual(Scopes.covers(c, both), Scopes.covers(c, a) && Scopes.covers(c, b))
    deepStrictEqual(Scopes.union(b, a), both)
  }, { fastCheck })

  it.prop("`intersection` is the largest set that both sides cover", [scopes, scopes, scopes], ([a, b, c]) => {
    const common = Scopes.intersection(a, b)
    assert(Scopes.covers(a, common) && Scopes.covers(b, common))
    strictEqual(Scopes.covers(common, c), Scopes.covers(a, c) && Scopes.covers(b, c))
    deepStrictEqual(Scopes.intersection(b, a), common)
  }, { fastCheck })

  it.prop("coverage is reflexive and transitive", [scopes, scopes, scopes], ([a, b, c]) => {
    assert(Scopes.covers(a, a))
    // intersections make chains, which three random sets rarely are
    const less = Scopes.intersection(a, b)
    const least = Scopes.intersection(less, c)
    assert(Scopes.covers(a, less) && Scopes.covers(less, least) && Scopes.covers(a, least))
    assert(!(Scopes.covers(a, b) && Scopes.covers(b, c)) || Scopes.covers(a, c))
  }, { fastCheck })

  it.prop(
    "`notGranted` is `missing` without normal form, in the order of the needed scopes",
    [scopes, scopes],
    ([a, b]) => {
      deepStrictEqual(Scopes.normalize(Scopes.notGranted(a, b)), Scopes.missing(a, b))
      deepStrictEqual(Scopes.normalize(Scopes.missing(a, b)), Scopes.missing(a, b))
      strictEqual(print(Scopes.notGranted(a, b)), print(b.flatMap((scope) => Scopes.missing(a, [scope]))))
    },
    { fastCheck }
  )

  it.prop("scopes that cover each other have one normal form", [scopes, scopes], ([a, b]) => {
    const same = JSON.stringify(Scopes.normalize(a)) === JSON.stringify(Scopes.normalize(b))
    strictEqual(Scopes.covers(a, b) && Scopes.covers(b, a), same)
    // and a redundant spelling of the same
    deepStrictEqual(Scopes.normalize([...a, ...Scopes.intersection(a, b)]), Scopes.normalize(a))
  }, { fastCheck })

  it.prop("coverage agrees with its definition, letter by letter", [scopes, scopes], ([a, b]) => {
    const pairs = (scope: Scopes.Resource) =>
      new Set(Scopes.constraintsOf(scope).map(([name, value]) => `${name}=${value}`))
    const expected = b.every((need) =>
      need._tag === "Resource"
        ? Array.from(need.permissions).every((letter) =>
          a.some((grant) =>
            grant._tag === "Resource" && grant.context === need.context && grant.permissions.includes(letter) &&
            (grant.resourceType === need.resourceType || grant.resourceType === "*") &&
            Array.from(pairs(grant)).every((pair) => pairs(need).has(pair))
          )
        )
        : Scopes.normalize(a).some((grant) => Scopes.printScope(grant) === print(Scopes.normalize([need])))
    )
    strictEqual(Scopes.covers(a, b), expected)
  }, { fastCheck })

  it.prop(
    "[SMART-147] the granted and the missing scopes together are the request",
    [scopes, scopes],
    ([requested, granted]) => {
      const { extra, granted: both, missing } = Scopes.diff(requested, granted)
      deepStrictEqual(Scopes.union(both, missing), Scopes.normalize(requested))
      deepStrictEqual(Scopes.union(both, extra), Scopes.normalize(granted))
      assert(Scopes.covers([...granted, ...missing], requested))
      strictEqual(missing.length === 0, Scopes.covers(granted, requested))
    },
    { fastCheck }
  )

  it.prop("[SMART-135] parsing and printing are inverse", [scopes], ([a]) => {
    deepStrictEqual(parse(print(a)), a)
  }, { fastCheck })

  it.prop("[SMART-129] `parse` keeps any text and does not fail", [FastCheck.string({ unit: "binary" })], ([text]) => {
    strictEqual(print(parse(text)), text.split(/\s+/).filter((part) => part !== "").join(" "))
    assert(Scopes.covers(parse(text), parse(text)))
    assert(Array.isArray(Scopes.validate(text)) && Array.isArray(Scopes.lint(parse(text))))
    deepStrictEqual(Scopes.normalize(Scopes.normalize(parse(text))), Scopes.normalize(parse(text)))
  }, { fastCheck })

  it.prop("[SMART-132] a scope with any constraint is valid, and its constraint is read again", [
    FastCheck.array(FastCheck.tuple(FastCheck.string({ unit: "grapheme" }), FastCheck.string({ unit: "grapheme" })))
  ], ([constraints]) => {
    const scope = Scopes.patient("Observation", "rs", { constraints })
    deepStrictEqual(parse(print([scope])), [scope])
    deepStrictEqual(Scopes.constraintsOf(scope), constraints)
    deepStrictEqual(Scopes.validate(print([scope])).filter(({ reason }) => reason !== "EmptyConstraint"), [])
  }, { fastCheck })

  it.prop("[SMART-126] `toV1` is the inverse of `toV2`", [unconstrainedV1], ([a]) => {
    const v2 = Scopes.toV2(a)
    assert(v2.every((scope) => scope._tag === "Resource" && scope.syntax === "v2"))
    deepStrictEqual(Scopes.toV1(v2), { scopes: a, unconvertible: [], widened: [] })
    deepStrictEqual(Scopes.normalize(v2), Scopes.normalize(a))
  }, { fastCheck })

  it.prop("the v1 scopes and the unconvertible ones together are the input", [scopes], ([a]) => {
    const narrow = Scopes.toV1(a)
    deepStrictEqual(Scopes.union(narrow.scopes, narrow.unconvertible), Scopes.normalize(a))
    const wide = Scopes.toV1(a, { widen: true })
    assert(Scopes.covers(wide.scopes, a))
    for (const { scopes } of [narrow, wide]) {
      assert(
        scopes.every((scope) => scope._tag !== "Resource" || scope.syntax === "v1" && scope.constraints.length === 0)
      )
    }
    strictEqual(wide.widened.length, narrow.unconvertible.length)
  }, { fastCheck })
})
