import { readFileSync } from "node:fs"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { FhirBaseUrl } from "../../src/base/FhirBaseUrl.js"
import * as HttpLimits from "../../src/http/HttpLimits.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as Brands from "../../src/server/Brands.js"
import { fromDocument as configurationFrom } from "../../src/server/SmartConfiguration.js"

const source = "https://ehr.example.com/brands.json"
const vector = (index: number): unknown =>
  JSON.parse(readFileSync(new URL(`../vectors/Bundle-example${index}.json`, import.meta.url), "utf8"))

const read = (document: unknown, from = source): Brands.BrandBundle => {
  const bundle = Brands.fromDocument(from, document)
  assert(Option.isSome(bundle))
  return bundle.value
}
const example = (index: number) => read(vector(index))
const named = (bundle: Brands.BrandCollection, name: string): Brands.Brand => {
  const brand = [...bundle.brands.values()].find((one) => one.name === name)
  assert(brand !== undefined, name)
  return brand
}
const bases = (portals: ReadonlyArray<Brands.Portal>): ReadonlyArray<ReadonlyArray<unknown>> =>
  portals.map(({ endpoints, name }) => [name, endpoints.map(({ fhirBaseUrl }) => fhirBaseUrl)])

const website = { system: "url", value: "https://example.org" }
const identifier = { system: "urn:ietf:rfc:3986", value: "https://example.org" }
const organization = (id: string, members: Readonly<Record<string, unknown>> = {}) => ({
  fullUrl: `https://ehr.example.com/Organization/${id}`,
  resource: {
    resourceType: "Organization",
    id,
    name: id,
    telecom: [website],
    identifier: [identifier],
    endpoint: [{ reference: "Endpoint/r4" }],
    ...members
  }
})
const endpoint = (id: string, members: Readonly<Record<string, unknown>> = {}) => ({
  fullUrl: `https://ehr.example.com/Endpoint/${id}`,
  resource: {
    resourceType: "Endpoint",
    id,
    status: "active",
    address: `https://ehr.example.com/${id}`,
    connectionType: { code: "hl7-fhir-rest" },
    contact: [website],
    extension: [{ url: "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version", valueCode: "4.0.1" }],
    ...members
  }
})
const bundleOf = (...entry: ReadonlyArray<unknown>) => ({
  resourceType: "Bundle",
  type: "collection",
  timestamp: "2024-01-01T00:00:00Z",
  entry
})
const portal = (...extension: ReadonlyArray<unknown>) => ({
  extension: [{ url: "http://hl7.org/fhir/StructureDefinition/organization-portal", extension }]
})
const codes = (document: unknown) => read(document).findings.map(({ code }) => code)

describe("the specification's examples", () => {
  it.each([1, 2, 3, 4])("example %i has nothing wrong with it, although it leaves out meta and more", (index) => {
    deepStrictEqual(example(index).findings, [])
  })

  it("example 1: one brand, one portal, one endpoint", () => {
    const bundle = example(1)
    strictEqual(bundle.timestamp, "2023-09-05T20:00:43.241070-07:00")
    strictEqual(bundle.source, source)
    const brand = named(bundle, "ExampleLabs")
    deepStrictEqual([brand.website, brand.categories, brand.active], ["https://labs.example.com", ["laboratory"], true])
    deepStrictEqual(brand.identifiers, [{ system: "urn:ietf:rfc:3986", value: "https://examplelabs.org" }])
    assert(brand.logos[0]?.startsWith("data:image/svg+xml"))
    deepStrictEqual(brand.addresses[1], {
      lines: [],
      city: undefined,
      state: "...(more here)...",
      postalCode: undefined,
      country: "US"
    })
    deepStrictEqual(bases(Brands.portalsOf(bundle, brand)), [
      ["Example Labs HealthCentral Portal", ["https://fhir.labs.example.com/r4"]]
    ])
    const [only] = brand.endpoints
    deepStrictEqual([only?.fhirVersions, only?.developerPortals, only?.status], [
      ["4.0.1"],
      ["https://dev-portal.labs.example.com"],
      "active"
    ])
  })

  it("example 2: one portal, two endpoints; affiliates connect where the brand they are part of does", () => {
    const bundle = example(2)
    const expected = [["My ExampleHealth Portal", [
      "https://ehr.example.com/ProdFHIR/api/FHIR/R4",
      "https://ehr.example.com/ProdFHIR/api/FHIR/R2"
    ]]]
    for (const name of ["ExampleHealth", "ExampleHealth Community Hospital", "ExampleHealth Physicians of Madison"]) {
      deepStrictEqual(bases(Brands.portalsOf(bundle, named(bundle, name))), expected)
    }
    deepStrictEqual(named(bundle, "ExampleHealth Community Hospital").portals, [])
    strictEqual(named(bundle, "ExampleHealth Community Hospital").partOf, named(bundle, "ExampleHealth").key)
  })

  it("example 3: two portals, each with its own endpoint, referred to by full URL", () => {
    const bundle = example(3)
    const portals = Brands.portalsOf(bundle, named(bundle, "ExampleHospital"))
    deepStrictEqual(bases(portals), [
      ["ExampleHospital Patient Gateway", ["https://ehr1.example.org/ExampleHospital/api/FHIR/R4"]],
      ["ExampleHospital Pediatric Portal", ["https://ehr2.example.org/ExampleHospital/api/FHIR/R4"]]
    ])
    strictEqual(portals[1]?.description, "Pediatric Portal is the entrypoint for pediatric patients.")
    strictEqual(portals[1]?.url, "https://pediatrics.examplehospital.ehr2.example.org")
  })

  it("example 4: two brands share an endpoint, which is one server", () => {
    const bundle = example(4)
    deepStrictEqual([...bundle.brands.values()].map(({ name }) => name), ["Brand1", "Brand2"])
    deepStrictEqual(Brands.servers(bundle), [{
      name: "Brand1",
      fhirBaseUrl: Schema.decodeSync(FhirBaseUrl)("https://example.org/brand1.org/ProdFHIR/api/FHIR/R4"),
      fhirVersions: ["4.0.1"]
    }])
  })
})

describe("reading", () => {
  it("a document that is not a Bundle gives none", () => {
    for (const document of [undefined, null, [], "x", {}, { resourceType: "Organization" }]) {
      assertNone(Brands.fromDocument(source, document))
    }
  })

  it("[SMART-405] a missing website is allowed with one of the two allowed data-absent-reasons", () => {
    const absent = (valueCode: string) => ({
      extension: [{ url: "http://hl7.org/fhir/StructureDefinition/data-absent-reason", valueCode }]
    })
    const excused = (valueCode: string) =>
      codes(bundleOf(organization("a", { telecom: [{ system: "url", _value: absent(valueCode) }] }), endpoint("r4")))
    deepStrictEqual(excused("asked-declined"), [])
    deepStrictEqual(excused("asked-unknown"), [])
    deepStrictEqual(excused("masked"), ["DataAbsentReasonOther"])
    const nameless = portal({ url: "portalName", _valueString: absent("asked-unknown") }, {
      url: "portalUrl",
      ...absent("asked-declined")
    })
    const bundle = read(bundleOf(organization("a", nameless), endpoint("r4")))
    deepStrictEqual(bundle.findings, [])
    const [first] = named(bundle, "a").portals
    deepStrictEqual([first?.name, first?.url], [undefined, undefined])
  })

  it("endpoints without a portal are in a portal without a name", () => {
    const bundle = read(bundleOf(organization("a"), endpoint("r4")))
    deepStrictEqual(bases(Brands.portalsOf(bundle, named(bundle, "a"))), [[undefined, ["https://ehr.example.com/r4"]]])
  })

  it("`portalsOf` ends if affiliates form a cycle", () => {
    const bundle = read(bundleOf(
      organization("a", { endpoint: [], partOf: { reference: "Organization/b" } }),
      organization("b", { endpoint: [], partOf: { reference: "Organization/a" } })
    ))
    deepStrictEqual(Brands.portalsOf(bundle, named(bundle, "a")), [])
  })

  it("URLs that could run code in a page are ignored", () => {
    const script = "javascript:alert(1)"
    const bundle = read(bundleOf(
      organization("a", {
        telecom: [{ system: "url", value: script }],
        extension: [
          {
            url: "http://hl7.org/fhir/StructureDefinition/organization-brand",
            extension: [
              { url: "brandLogo", valueUrl: "data:text/html,<script>" },
              { url: "brandLogo", valueUrl: script },
              { url: "brandLogo", valueUrl: "https://example.org/logo.svg" }
            ]
          },
          {
            url: "http://hl7.org/fhir/StructureDefinition/organization-portal",
            extension: [{ url: "portalUrl", valueUrl: script }]
          }
        ]
      }),
      endpoint("r4")
    ))
    const brand = named(bundle, "a")
    deepStrictEqual([brand.website, brand.logos, brand.portals[0]?.url], [
      undefined,
      ["https://example.org/logo.svg"],
      undefined
    ])
    deepStrictEqual(
      bundle.findings.filter(({ code }) => code === "UrlUnfit").map(({ member, severity }) => [member, severity])
        .sort(),
      [["brandLogo", "error"], ["portalUrl", "error"], ["telecom", "error"]]
    )
  })

  it("resolves references relative to the entry, by full URL, with a version, and by a unique type and id", () => {
    const resolves = (reference: string, ...entries: ReadonlyArray<unknown>) =>
      named(read(bundleOf(organization("a", { endpoint: [{ reference }] }), ...entries)), "a").endpoints.length === 1
    assert(resolves("Endpoint/r4", endpoint("r4")))
    assert(resolves("https://ehr.example.com/Endpoint/r4", endpoint("r4")))
    assert(resolves("Endpoint/r4/_history/3", endpoint("r4")))
    assert(resolves("Endpoint/r4", { ...endpoint("r4"), fullUrl: undefined }))
    assert(resolves("https://ehr.example.com/Endpoint/r4", { ...endpoint("r4"), fullUrl: undefined }))
    assert(resolves("urn:uuid:1", { ...endpoint("r4"), fullUrl: "urn:uuid:1" }))
    assert(resolves("Endpoint/r4", { ...endpoint("r4"), fullUrl: "https://elsewhere.example/Endpoint/r4" }))
    assert(!resolves("https://elsewhere.example/Endpoint/r4", endpoint("r4")))
    assert(
      !resolves(
        "Endpoint/r4",
        { ...endpoint("r4"), fullUrl: "https://one.example/Endpoint/r4" },
        { ...endpoint("r4"), fullUrl: "https://two.example/Endpoint/r4" }
      )
    )
  })

  const rows: ReadonlyArray<readonly [Brands.BrandCode, string | undefined, unknown]> = [
    ["BundleTypeWrong", undefined, { ...bundleOf(organization("a"), endpoint("r4")), type: "searchset" }],
    ["TimestampMissing", "398", { ...bundleOf(organization("a"), endpoint("r4")), timestamp: undefined }],
    ["EntryMalformed", undefined, bundleOf(organization("a"), endpoint("r4"), {})],
    [
      "ResourceUnexpected",
      undefined,
      bundleOf(organization("a"), endpoint("r4"), { resource: { resourceType: "Patient" } })
    ],
    ["MemberMalformed", undefined, bundleOf(organization("a", { alias: "A" }), endpoint("r4"))],
    ["NameMissing", undefined, bundleOf(organization("a", { name: "", _name: {} }), endpoint("r4"))],
    ["WebsiteMissing", undefined, bundleOf(organization("a", { telecom: [] }), endpoint("r4"))],
    ["WebsiteRepeated", undefined, bundleOf(organization("a", { telecom: [website, website] }), endpoint("r4"))],
    [
      "CategoryUnknown",
      undefined,
      bundleOf(organization("a", { type: [{ coding: [{ code: "bank" }] }] }), endpoint("r4"))
    ],
    [
      "IdentifierUnrecommended",
      "395",
      bundleOf(
        organization("a", { identifier: [{ ...identifier, value: "https://www.example.org" }] }),
        endpoint("r4")
      )
    ],
    [
      "ReferenceUnresolved",
      undefined,
      bundleOf(
        organization("a", { endpoint: [{ reference: "Endpoint/r4" }, { reference: "Endpoint/none" }] }),
        endpoint("r4")
      )
    ],
    [
      "ReferenceUnresolved",
      undefined,
      bundleOf(organization("a", { partOf: { reference: "Endpoint/r4" } }), endpoint("r4"))
    ],
    [
      "PortalEndpointUnlisted",
      undefined,
      bundleOf(
        organization("a", portal({ url: "portalEndpoint", valueReference: { reference: "Endpoint/r2" } })),
        endpoint("r4"),
        endpoint("r2")
      )
    ],
    ["EndpointUnreferenced", "396", bundleOf(organization("a"), endpoint("r4"), endpoint("r2"))],
    [
      "EndpointAddressUnfit",
      undefined,
      bundleOf(organization("a"), endpoint("r4", { address: "http://ehr.example.com/r4" }))
    ],
    ["EndpointStatusMissing", undefined, bundleOf(organization("a"), endpoint("r4", { status: null }))],
    ["EndpointContactMissing", undefined, bundleOf(organization("a"), endpoint("r4", { contact: [] }))],
    [
      "ConnectionTypeOther",
      undefined,
      bundleOf(organization("a"), endpoint("r4", { connectionType: { code: "direct-project" } }))
    ],
    ["FhirVersionMissing", undefined, bundleOf(organization("a"), endpoint("r4", { extension: [] }))]
  ]
  it.each(rows)("%s [SMART-%s] is found, once", (code, requirement, document) => {
    const found = read(document).findings.filter((finding) => finding.code === code)
    strictEqual(found.length, 1)
    strictEqual(found[0]?.requirement, requirement)
    assert(found[0]?.message !== "" && found[0]?.advice !== "")
  })

  it("any JSON gives a bundle or none, without a defect", () => {
    const resource = FastCheck.dictionary(
      FastCheck.constantFrom(
        "resourceType",
        "id",
        "name",
        "telecom",
        "identifier",
        "endpoint",
        "extension",
        "partOf",
        "type",
        "address"
      ),
      FastCheck.oneof(
        FastCheck.jsonValue(),
        FastCheck.constantFrom("Organization", "Endpoint", [{ extension: [null] }], [{
          url: "http://hl7.org/fhir/StructureDefinition/organization-portal",
          extension: [{ url: "portalEndpoint", valueReference: { reference: "Endpoint/r4" } }]
        }])
      )
    )
    const entry = FastCheck.oneof(
      FastCheck.jsonValue(),
      FastCheck.record({ fullUrl: FastCheck.jsonValue(), resource }),
      FastCheck.record({ resource: resource.map((members) => ({ ...organization("a").resource, ...members })) })
    )
    FastCheck.assert(FastCheck.property(
      FastCheck.oneof(FastCheck.jsonValue(), FastCheck.array(entry).map((entries) => bundleOf(...entries))),
      (json) => {
        const document: unknown = JSON.parse(JSON.stringify(json))
        Option.match(Brands.fromDocument(source, document), {
          onNone: () => assert(!JSON.stringify(document).includes("\"resourceType\":\"Bundle\"")),
          onSome: (bundle) => {
            for (const brand of bundle.brands.values()) assert(Array.isArray(Brands.portalsOf(bundle, brand)))
            const merged = Brands.merge([{ bundle, linked: true }, { bundle, linked: false }])
            deepStrictEqual(Brands.servers(merged), Brands.servers(bundle))
          }
        })
      }
    ))
  })
})

describe("the primary brand", () => {
  const reason = (document: unknown, wanted: Parameters<typeof Brands.primary>[1]) =>
    Either.match(Brands.primary(read(document), wanted), {
      onLeft: ({ code, requirement }) => [code, requirement],
      onRight: ({ name }) => name
    })

  it("[SMART-412] has the identifier's value, and its system if the server gives one", () => {
    const document = vector(4)
    strictEqual(reason(document, { system: "urn:ietf:rfc:3986", value: "https://brand2.example.com" }), "Brand2")
    strictEqual(reason(document, { value: "https://brand2.example.com" }), "Brand2")
    deepStrictEqual(reason(document, { system: "urn:other", value: "https://brand2.example.com" }), [
      "PrimaryBrandUnmatched",
      "412"
    ])
    deepStrictEqual(reason(bundleOf(organization("a"), organization("b"), endpoint("r4")), identifier), [
      "PrimaryBrandAmbiguous",
      "412"
    ])
  })

  it("[SMART-409] needs no identifier if the bundle has one brand", () => {
    strictEqual(reason(vector(1), undefined), "ExampleLabs")
    deepStrictEqual(reason(vector(4), undefined), ["PrimaryBrandUnnamed", "409"])
    deepStrictEqual(reason(bundleOf(), undefined), ["PrimaryBrandUnmatched", "412"])
  })
})

describe("servers for a registry", () => {
  it("omits endpoints that are inactive, not FHIR or not https", () => {
    const bundle = read(bundleOf(
      organization("a", {
        endpoint: ["off", "direct", "plain", "local", "r4"].map((id) => ({ reference: `Endpoint/${id}` }))
      }),
      endpoint("off", { status: "off" }),
      endpoint("direct", { connectionType: { code: "direct-project" } }),
      endpoint("plain", { address: "http://ehr.example.com/r4" }),
      endpoint("local", { address: "http://localhost:8080/r4" }),
      endpoint("r4")
    ))
    const addresses = (allowInsecureLocalhost: boolean) =>
      Brands.servers(bundle, { allowInsecureLocalhost }).map(({ fhirBaseUrl }) => fhirBaseUrl)
    deepStrictEqual(addresses(false), ["https://ehr.example.com/r4"])
    deepStrictEqual(addresses(true), ["http://localhost:8080/r4", "https://ehr.example.com/r4"])
  })

  it("a server without a brand has the name of its endpoint, or its host", () => {
    const bundle = read(bundleOf(endpoint("r4", { name: "R4" }), endpoint("r2")))
    deepStrictEqual(Brands.servers(bundle).map(({ name }) => name), ["R4", "ehr.example.com"])
  })
})

describe("hostile bundles", () => {
  const each = <A>(count: number, make: (index: number) => A) =>
    Array.from({ length: count }, (_, index) => make(index))
  const version = (valueCode: string) => [{
    url: "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version",
    valueCode
  }]

  it("reads references to an id that 30,000 entries have in linear time", () => {
    const bundle = read(bundleOf(
      organization("a", { endpoint: each(30_000, () => ({ reference: "https://other.example/Endpoint/r4" })) }),
      ...each(30_000, (index) => ({ ...endpoint("r4"), fullUrl: `https://ehr.example.com/${index}/Endpoint/r4` }))
    ))
    deepStrictEqual(named(bundle, "a").endpoints, [])
  }, 15_000)

  it("a full URL of 5 MB is not copied for each of 10,000 references", () => {
    const long = `https://ehr.example.com/${"x".repeat(5_000_000)}/Organization/a`
    const bundle = read(bundleOf(
      { ...organization("a", { endpoint: each(10_000, () => ({ reference: "Endpoint/r4" })) }), fullUrl: long },
      endpoint("r4")
    ))
    strictEqual(named(bundle, "a").endpoints.length, 1)
  }, 15_000)

  it("lists 20,000 versions of one server in linear time", () => {
    const bundle = read(bundleOf(
      ...each(
        20_000,
        (index) => endpoint(`e${index}`, { address: "https://ehr.example.com/r4", extension: version(`v${index}`) })
      )
    ))
    strictEqual(Brands.servers(bundle)[0]?.fhirVersions.length, 20_000)
  }, 15_000)

  it("limits the levels of brands when it looks for portals", () => {
    const bundle = read(bundleOf(
      organization("b0", { endpoint: [], ...portal({ url: "portalName", valueString: "Top" }) }),
      ...each(
        20_000,
        (index) => organization(`b${index + 1}`, { endpoint: [], partOf: { reference: `Organization/b${index}` } })
      )
    ))
    const portals = [...bundle.brands.values()].map((brand) => Brands.portalsOf(bundle, brand).length)
    deepStrictEqual([portals.length, portals[0], portals[100], portals[20_000]], [20_001, 1, 1, 0])
  }, 15_000)

  it("merges 10,000 brands that share an identifier with a brand of another publication in linear time", () => {
    const first = read(bundleOf(organization("a"), endpoint("r4")))
    const second = read(
      bundleOf(...each(10_000, (index) => ({
        ...organization(`b${index}`, { endpoint: [], alias: [`alias ${index}`], partOf: undefined }),
        fullUrl: `https://vendor.example/Organization/b${index}`
      }))),
      "https://vendor.example/list"
    )
    const merged = Brands.merge([{ bundle: first, linked: false }, { bundle: second, linked: false }])
    strictEqual(merged.brands.size, 1)
    deepStrictEqual(named(merged, "a").aliases.length, 10_000)
  }, 15_000)
})

describe("merging publications", () => {
  const other = (id: string, address: string) => endpoint(id, { address })

  it("[SMART-415] [SMART-416] linked resources override a consolidated list in either order", () => {
    const linked = read(
      bundleOf(organization("a", { name: "New" }), other("r4", "https://new.example.com/r4")),
      "https://a.example/l"
    )
    const list = read(
      bundleOf(
        { ...organization("x", { name: "Old" }), fullUrl: "https://vendor.example/Organization/x" },
        other("r4", "https://old.example.com/r4"),
        { ...organization("y", { name: "Else", identifier: [{ value: "1" }], endpoint: [] }), fullUrl: undefined }
      ),
      "https://vendor.example/list"
    )
    for (
      const merged of [
        Brands.merge([{ bundle: linked, linked: true }, { bundle: list, linked: false }]),
        Brands.merge([{ bundle: list, linked: false }, { bundle: linked, linked: true }])
      ]
    ) {
      deepStrictEqual([...merged.brands.values()].map(({ name }) => name), ["New", "Else"])
      deepStrictEqual(Brands.servers(merged).map(({ fhirBaseUrl }) => fhirBaseUrl), ["https://new.example.com/r4"])
    }
  })

  it("[SMART-416] a linked endpoint replaces other endpoints of the same server", () => {
    const linked = read(bundleOf(organization("a"), endpoint("r4")))
    const list = read(
      bundleOf(
        { ...organization("z", { identifier: [{ value: "1" }] }), fullUrl: "https://vendor.example/Organization/z" },
        {
          ...endpoint("r4", { address: "https://ehr.example.com/r4/", status: "off" }),
          fullUrl: "https://vendor.example/Endpoint/r4"
        }
      ),
      "https://vendor.example/list"
    )
    const merged = Brands.merge([{ bundle: list, linked: false }, { bundle: linked, linked: true }])
    deepStrictEqual(named(merged, "z").endpoints.map(({ status }) => status), ["active"])
    strictEqual(merged.endpoints.size, 1)
  })

  it("[SMART-420] brands of equal publications with the same identifier become one brand with all portals", () => {
    const from = (host: string, name: string) =>
      read(
        bundleOf(
          {
            ...organization("a", {
              name,
              alias: [name],
              ...portal({ url: "portalName", valueString: name }, {
                url: "portalEndpoint",
                valueReference: { reference: "Endpoint/r4" }
              })
            }),
            fullUrl: `https://${host}/Organization/a`
          },
          {
            ...organization("b", {
              name: `${name} West`,
              identifier: [],
              endpoint: [],
              partOf: { reference: "Organization/a" }
            }),
            fullUrl: `https://${host}/Organization/b`
          },
          { ...other("r4", `https://${host}/r4`), fullUrl: `https://${host}/Endpoint/r4` }
        ),
        `https://${host}/brands`
      )
    for (const linked of [true, false]) {
      const merged = Brands.merge([
        { bundle: from("one.example", "One"), linked },
        { bundle: from("two.example", "Two"), linked }
      ])
      const brand = named(merged, "One")
      deepStrictEqual(brand.aliases, ["One", "Two"])
      const portals = [["One", ["https://one.example/r4"]], ["Two", ["https://two.example/r4"]]]
      deepStrictEqual(bases(Brands.portalsOf(merged, brand)), portals)
      // An affiliate of the brand that became part of another follows it.
      deepStrictEqual(bases(Brands.portalsOf(merged, named(merged, "Two West"))), portals)
    }
  })
})

interface Step {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** A publisher that answers by the book it is given, and remembers what it was asked. */
const publisher = (...steps: ReadonlyArray<Step | "refuse">) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) => {
    const step = steps[Math.min(requests.length, steps.length - 1)] ?? {}
    requests.push(request)
    if (step === "refuse") return new HttpClientError.RequestError({ request, reason: "Transport" })
    const { body, headers, status = 200 } = step
    const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body)
    return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(text, { status, headers: headers ?? {} })))
  })
  return { requests, client, make: Brands.make().pipe(Effect.provideService(HttpClient.HttpClient, client)) }
}
const conditions = (requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>) =>
  requests.map(({ headers }) => headers["if-none-match"])
const reasonOf = <A>(effect: Effect.Effect<A, Brands.BrandsError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("fetching", () => {
  it.effect("[SMART-413] [SMART-414] [SMART-426] revalidates with the unchanged ETag, weak or strong", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher(
        { body: vector(1), headers: { etag: "W/\"3141\"" } },
        { status: 304 },
        { body: vector(2), headers: { etag: "\"new\"" } },
        { status: 304, headers: { etag: "\"newer\"" } },
        { status: 304 }
      )
      const brands = yield* make
      const first = yield* brands.bundle(source)
      strictEqual(yield* brands.bundle(source), first)
      const second = yield* brands.bundle(source)
      strictEqual(second.brands.size, 3)
      strictEqual(yield* brands.bundle(source), second)
      strictEqual(yield* brands.bundle(source), second)
      deepStrictEqual(conditions(requests), [undefined, "W/\"3141\"", "W/\"3141\"", "\"new\"", "\"newer\""])
      deepStrictEqual(
        requests.map(({ headers }) => headers["accept"]),
        Array(5).fill("application/fhir+json, application/json;q=0.9")
      )
    }))

  it.effect("[SMART-425] without an ETag the next request is unconditional", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher(
        { body: vector(1), headers: { etag: "\"1\"" } },
        { body: vector(1) },
        { body: vector(1) }
      )
      const brands = yield* make
      yield* Effect.repeatN(brands.bundle(source), 2)
      deepStrictEqual(conditions(requests), [undefined, "\"1\"", undefined])
    }))

  it.effect("a 304 response to an unconditional request is an error", () =>
    Effect.gen(function*() {
      const brands = yield* publisher({ status: 304 }).make
      strictEqual(yield* reasonOf(brands.bundle(source)), "Status")
    }))

  it.effect("a failure leaves the cached bundle", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher(
        { body: vector(1), headers: { etag: "\"1\"" } },
        { status: 500 },
        { status: 304 }
      )
      const brands = yield* make
      const first = yield* brands.bundle(source)
      strictEqual(yield* reasonOf(brands.bundle(source)), "Status")
      strictEqual(yield* brands.bundle(source), first)
      deepStrictEqual(conditions(requests), [undefined, "\"1\"", "\"1\""])
    }))

  it.effect("caches `capacity` bundles, the last used ones", () =>
    Effect.gen(function*() {
      const { client, requests } = publisher({ body: vector(1), headers: { etag: "\"1\"" } })
      const brands = yield* Brands.make({ capacity: 2 }).pipe(Effect.provideService(HttpClient.HttpClient, client))
      const ask = (name: string) => brands.bundle(`https://ehr.example.com/${name}`)
      for (const name of ["a", "b", "a", "c", "a", "b"]) yield* ask(name)
      deepStrictEqual(conditions(requests), [undefined, undefined, "\"1\"", undefined, "\"1\"", undefined])
    }))

  it.effect("concurrent calls share one request", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher({ body: vector(1) })
      const brands = yield* make
      const all = yield* Effect.all(Array.from({ length: 20 }, () => brands.bundle(source)), {
        concurrency: "unbounded"
      })
      strictEqual(requests.length, 1)
      strictEqual(new Set(all).size, 1)
    }))

  it.effect("a response that is not a bundle fails with a reason", () =>
    Effect.gen(function*() {
      const refused = (step: Step) => Effect.flatMap(publisher(step).make, (brands) => reasonOf(brands.bundle(source)))
      strictEqual(yield* refused({ status: 404 }), "NotFound")
      strictEqual(yield* refused({ status: 403 }), "Status")
      strictEqual(yield* refused({ body: "<html></html>" }), "NotJson")
      strictEqual(yield* refused({ body: [] }), "NotBundle")
      strictEqual(yield* refused({ body: { resourceType: "Organization" } }), "NotBundle")
      strictEqual(yield* refused({ status: 302, headers: { location: "http://evil.example/" } }), "RedirectRefused")
    }))

  it.effect("[SMART-1] sends requests over https only", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher({ body: vector(1) })
      const brands = yield* make
      strictEqual(yield* reasonOf(brands.bundle("http://ehr.example.com/brands")), "InsecureEndpoint")
      strictEqual(yield* reasonOf(brands.bundle("http://localhost/brands")), "InsecureEndpoint")
      strictEqual(yield* reasonOf(brands.bundle("brands.json")), "InvalidUrl")
      strictEqual(yield* reasonOf(brands.bundle("https://me:secret@ehr.example.com/brands")), "InvalidUrl")
      strictEqual(requests.length, 0)
      yield* brands.bundle("http://localhost/brands", { allowInsecureLocalhost: true })
      strictEqual(requests.length, 1)
    }))

  it.effect("errors show no query, credentials or body", () =>
    Effect.gen(function*() {
      const brands = yield* publisher({ body: "canary in the body" }).make
      const error = yield* Effect.flip(brands.bundle("https://ehr.example.com/brands?key=canary"))
      assert(!`${error.message} ${JSON.stringify(error)}`.includes("canary"))
      assert(!error.isRetryable)
    }))

  it.effect("repeats transient failures by the policy of the call", () =>
    Effect.gen(function*() {
      const { make, requests } = publisher("refuse", { status: 503, headers: { "retry-after": "5" } }, {
        body: vector(1)
      })
      const brands = yield* make
      const fiber = yield* Effect.fork(brands.bundle(source))
      yield* TestClock.adjust("1 second")
      strictEqual(requests.length, 2)
      yield* TestClock.adjust("5 seconds")
      strictEqual((yield* Fiber.join(fiber)).brands.size, 1)
      const once = publisher("refuse")
      const error = yield* Effect.flip(
        Effect.flatMap(once.make, (brands) => brands.bundle(source)).pipe(RetryPolicy.withPolicy(RetryPolicy.none))
      )
      deepStrictEqual([error.reason, error.isRetryable, once.requests.length], ["Unreachable", true, 1])
    }))

  it.effect("reads no more than `maxFhirResponseBytes`", () =>
    Effect.gen(function*() {
      const { client } = publisher({ body: vector(1) })
      const brands = yield* Brands.make().pipe(
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.provide(HttpLimits.layer({ maxFhirResponseBytes: 100 }))
      )
      strictEqual(yield* reasonOf(brands.bundle(source)), "TooLarge")
    }))

  it.effect("[SMART-412] the bundle a server links to, with the server's own brand", () =>
    Effect.gen(function*() {
      const base = Schema.decodeSync(FhirBaseUrl)("https://ehr.example.com/fhir")
      const brands = yield* publisher({ body: vector(4) }).make
      const linked = (identifier: unknown) =>
        brands.linked(
          configurationFrom(base, { user_access_brand_bundle: source, user_access_brand_identifier: identifier })
        )
      const good = yield* linked({ value: "https://brand1.example.com" })
      assertSome(Option.map(good.primary, ({ name }) => name), "Brand1")
      deepStrictEqual(good.findings, [])
      const none = yield* linked({ value: "https://brand9.example.com" })
      assertNone(none.primary)
      deepStrictEqual(none.findings.map(({ code }) => code), ["PrimaryBrandUnmatched"])
      strictEqual(yield* reasonOf(brands.linked(configurationFrom(base, {}))), "NotPublished")
    }))

  it.effect("the layer needs no options", () =>
    Effect.gen(function*() {
      const { client, requests } = publisher({ body: vector(1) })
      yield* Effect.flatMap(Brands.Brands, (brands) => brands.bundle(source)).pipe(
        Effect.provide(Brands.layer()),
        Effect.provideService(HttpClient.HttpClient, client)
      )
      strictEqual(requests.length, 1)
    }))
})
