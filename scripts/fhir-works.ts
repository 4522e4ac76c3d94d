// Runs the interactions of `FhirClient` against FHIR Works on AWS (npm: fhir-works-on-aws-routing), whose router,
// validation, bundles and CapabilityStatement others wrote, over a store in memory: `npm run fhir-works`. It installs
// the router into a temporary folder: with the AWS SDK it is too large for a development dependency.
import { execFileSync } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { createServer, type RequestListener } from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Chunk from "effect/Chunk"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import {
  CapabilityStatements,
  ClientAuthentication,
  FhirClient,
  type FhirError,
  LaunchContext,
  SmartClient,
  TokenSet
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"

const PACKAGE = "fhir-works-on-aws-routing@6.6.2"
const TOKEN = "the-token"
const TYPES = ["Patient", "Observation", "Basic"]

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const equal = (title: string, actual: unknown, expected: unknown) =>
  JSON.stringify(actual) === JSON.stringify(expected)
    ? Console.log(`✓ ${title}`)
    : new Failed({ message: `${title}: ${JSON.stringify(actual)} in place of ${JSON.stringify(expected)}` })

interface Stored {
  readonly resourceType: string
  readonly id: string
  readonly meta: { readonly versionId: string; readonly lastUpdated: string }
}

/** The store behind the router: versions of resources, searches by page, and a batch without conditions. */
const makeStore = (
  { InvalidResourceError, ResourceNotFoundError }: Record<string, new(...args: ReadonlyArray<unknown>) => Error>,
  url: string
) => {
  const versions = new Map<string, Array<Stored>>()
  let made = 0
  const current = (resourceType: string, id: string): Stored => {
    const found = versions.get(`${resourceType}/${id}`)?.at(-1)
    if (found === undefined) throw new ResourceNotFoundError!(resourceType, id)
    return found
  }
  const write = (resourceType: string, id: string, resource: object): Stored => {
    const before = versions.get(`${resourceType}/${id}`) ?? []
    const meta = { versionId: String(before.length + 1), lastUpdated: new Date().toISOString() }
    const stored = { ...resource, resourceType, id, meta }
    versions.set(`${resourceType}/${id}`, [...before, stored])
    return stored
  }
  const done = (resource?: object) => ({ message: "done", resource })
  const all = (resourceType: string) =>
    [...versions.values()].flatMap((list) => list.at(-1) ?? []).filter((one) => one.resourceType === resourceType)
  const unsupported = async () => {
    throw new InvalidResourceError!("this store has no conditional writes")
  }
  const persistence = {
    updateCreateSupported: false,
    createResource: async ({ resource, resourceType }: { resource: object; resourceType: string }) =>
      done(write(resourceType, `new-${made += 1}`, resource)),
    readResource: async ({ id, resourceType }: Stored) => done(current(resourceType, id)),
    vReadResource: async ({ id, resourceType, vid }: Stored & { vid: string }) => {
      const found = versions.get(`${resourceType}/${id}`)?.[Number(vid) - 1]
      if (found === undefined) throw new ResourceNotFoundError!(resourceType, id)
      return done(found)
    },
    updateResource: async ({ id, resource, resourceType }: Stored & { resource: object }) => {
      current(resourceType, id)
      return done(write(resourceType, id, resource))
    },
    patchResource: async ({ id, resource, resourceType }: Stored & { resource: object }) =>
      done(write(resourceType, id, { ...current(resourceType, id), ...resource })),
    deleteResource: async ({ id, resourceType }: Stored) => {
      current(resourceType, id)
      versions.delete(`${resourceType}/${id}`)
      return done()
    },
    conditionalCreateResource: unsupported,
    conditionalUpdateResource: unsupported,
    conditionalPatchResource: unsupported,
    conditionalDeleteResource: unsupported,
    getActiveSubscriptions: async () => []
  }
  const typeSearch = async (
    { baseUrl, queryParams, resourceType }: {
      baseUrl: string
      queryParams: Record<string, string>
      resourceType: string
    }
  ) => {
    const count = Number(queryParams["_count"] ?? 10)
    const offset = Number(queryParams["_getpagesoffset"] ?? 0)
    const found = all(resourceType)
    const next = offset + count
    return {
      result: {
        numberOfResults: found.length,
        message: "",
        entries: found.slice(offset, next).map((resource) => ({
          fullUrl: `${url}/${resourceType}/${resource.id}`,
          resource,
          search: { mode: "match" }
        })),
        ...(next < found.length
          ? { nextResultUrl: `${baseUrl}/${resourceType}?_count=${count}&_getpagesoffset=${next}` }
          : {})
      }
    }
  }
  const run = async (
    requests: ReadonlyArray<{ operation: string; resourceType: string; id: string; resource: object }>
  ) => ({
    success: true,
    message: "done",
    batchReadWriteResponses: requests.map(({ id, operation, resource, resourceType }) => {
      const stored = operation === "create"
        ? write(resourceType, `new-${made += 1}`, resource)
        : operation === "update"
        ? write(resourceType, id, resource)
        : current(resourceType, id)
      const { lastUpdated, versionId } = stored.meta
      return { id: stored.id, vid: versionId, resourceType, operation, resource: stored, lastModified: lastUpdated }
    })
  })
  const bundle = {
    batch: async ({ requests }: { requests: Parameters<typeof run>[0] }) => run(requests),
    transaction: async ({ requests }: { requests: Parameters<typeof run>[0] }) => run(requests)
  }
  return { persistence, bundle, typeSearch }
}

const install = (folder: string) => {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "fhir-works", private: true }))
  const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", PACKAGE]
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] })
}

const startServer = (folder: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      // The router prints each error of a request.
      Object.assign(console, { error: () => undefined })
      const load = createRequire(join(folder, "index.js"))
      const { generateServerlessRouter } = load("fhir-works-on-aws-routing")
      const { stubs, UnauthorizedError, ...others } = load("fhir-works-on-aws-interface")
      let listener: RequestListener = (_, response) => response.writeHead(503).end()
      const server = createServer((request, response) => listener(request, response))
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const { bundle, persistence, typeSearch } = makeStore(others, url)
      const search = {
        ...stubs.search,
        typeSearch,
        getCapabilities: async () =>
          Object.fromEntries(
            TYPES.map((type) => [type, {
              searchParam: [{ name: "name", type: "string" }],
              searchInclude: [],
              searchRevInclude: []
            }])
          )
      }
      const operations = ["create", "read", "vread", "update", "delete", "patch", "search-type"]
      listener = generateServerlessRouter({
        configVersion: 1,
        productInfo: { orgName: "test" },
        server: { url },
        logging: { level: "error" },
        auth: {
          strategy: {
            service: "SMART-on-FHIR",
            oauthPolicy: { authorizationEndpoint: `${url}/a`, tokenEndpoint: `${url}/t` }
          },
          authorization: {
            ...stubs.passThroughAuthz,
            verifyAccessToken: async ({ accessToken }: { accessToken: string }) => {
              if (accessToken !== TOKEN) throw new UnauthorizedError("the token is not known")
              return {}
            },
            getAllowedResourceTypesForOperation: async () => TYPES
          }
        },
        validators: [],
        profile: {
          fhirVersion: "4.0.1",
          systemOperations: ["transaction", "batch"],
          bundle,
          systemSearch: search,
          systemHistory: stubs.history,
          genericResource: {
            operations,
            fhirVersions: ["4.0.1"],
            persistence,
            typeSearch: search,
            typeHistory: stubs.history
          }
        }
      }, TYPES)
      return { server, url }
    }),
    ({ server }) =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<void>((resolve) => server.close(() => resolve()))
      })
  )

const clientOf = (fhirBaseUrl: string, token: string) =>
  Effect.gen(function*() {
    const smart = yield* SmartClient.make({ fhirBaseUrl, clientId: "app", allowInsecureLocalhost: true })
    const fhir = yield* FhirClient.FhirClient
    return fhir.forTokens(
      smart,
      new TokenSet.TokenSet({
        version: 1,
        fhirBaseUrl,
        accessToken: Redacted.make(token),
        receivedAt: yield* DateTime.now,
        scopes: ["user/*.cruds"],
        context: new LaunchContext.LaunchContext({}),
        extensions: Redacted.make({})
      })
    )
  })

const reasonOf = <A>(call: Effect.Effect<A, FhirError>) =>
  Effect.map(Effect.flip(call), ({ reason, status }) => [reason, status])

const ids = (resources: Iterable<{ readonly id?: string | undefined }>) => [...resources].map(({ id }) => id)

const interactions = (fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const fhir = yield* clientOf(fhirBaseUrl, TOKEN)
    const patient = { resourceType: "Patient", name: [{ family: "One" }] } as const

    const created = yield* fhir.create(patient)
    yield* equal("create", [created.status, created.etag, created.resource?.id], [201, "W/\"1\"", "new-1"])
    const stored = yield* fhir.readStored("Patient", "new-1")
    yield* equal("read", [stored.resource.name?.[0]?.family, stored.versionId], ["One", "1"])
    const updated = yield* fhir.update({ ...patient, id: "new-1", active: true }, { ifMatch: stored.etag })
    yield* equal("update", [updated.status, updated.versionId, updated.resource?.active], [200, "2", true])
    yield* equal("vread", (yield* fhir.vread("Patient", "new-1", "1")).active, undefined)
    const unchanged = yield* fhir.conditionalRead("Patient", "new-1", { ifNoneMatch: updated.etag })
    yield* equal("conditional read", unchanged instanceof FhirClient.NotModified && unchanged.etag, "W/\"2\"")

    yield* equal("read without a resource", yield* reasonOf(fhir.read("Patient", "absent")), ["NotFound", 404])
    const { issues } = yield* Effect.flip(fhir.read("Patient", "absent"))
    yield* equal("the OperationOutcome", issues.map(({ code, severity }) => [severity, code]), [["error", "not-found"]])
    yield* equal(
      "update of another id",
      yield* reasonOf(fhir.request({
        interaction: "update Patient",
        method: "PUT",
        url: "Patient/new-1",
        body: { json: { ...patient, id: "other" } }
      })),
      ["Refused", 400]
    )
    yield* equal("a type that is not served", yield* reasonOf(fhir.read("Account", "1")), ["NotFound", 404])
    const stranger = yield* clientOf(fhirBaseUrl, "another")
    yield* equal("another token", yield* reasonOf(stranger.read("Patient", "new-1")), ["Unauthorized", 401])

    for (const index of [2, 3, 4, 5]) yield* fhir.create({ ...patient, name: [{ family: `${index}` }] })
    const found = Chunk.toReadonlyArray(yield* Stream.runCollect(fhir.search("Patient", { _count: 2 })))
    yield* equal("search over three pages", ids(found), ["new-1", "new-2", "new-3", "new-4", "new-5"])
    const posted = Chunk.toReadonlyArray(
      yield* Stream.runCollect(fhir.search("Patient", { _count: 2 }, { method: "POST" }))
    )
    yield* equal("search by POST", posted.length, 5)
    const pages = Chunk.toReadonlyArray(yield* Stream.runCollect(fhir.searchPages("Patient", { _count: 3 })))
    yield* equal("the total of each page", pages.map(({ matches, total }) => [matches.length, total]), [[3, 5], [2, 5]])

    const requests = [
      { method: "POST", url: "Patient", resource: patient },
      { method: "PUT", url: "Patient/new-1", resource: { ...patient, id: "new-1" } }
    ] as const
    const transaction = yield* fhir.transaction(requests)
    yield* equal("transaction", transaction.map(({ index, status }) => [index, status]), [[0, 201], [1, 200]])
    const search = { method: "GET", url: "Patient?name=One" } as const
    const refused = yield* Effect.either(fhir.transaction([requests[0], search]))
    const total = yield* fhir.searchTotal("Patient")
    yield* equal("a transaction that the server refuses", [Either.isLeft(refused) && refused.left.reason, total], [
      "Refused",
      6
    ])
    const batch = yield* fhir.batch(requests).pipe(Effect.either)
    yield* equal(
      "batch",
      Either.isRight(batch)
        ? batch.right.map((one) => Either.isRight(one) ? one.right.status : one.left.reason)
        : batch.left.message,
      [201, 200]
    )

    yield* equal("delete", (yield* fhir.delete("Patient", "new-2")).status, 200)
    yield* equal("read after delete", yield* reasonOf(fhir.read("Patient", "new-2")), ["NotFound", 404])

    const { capabilities } = yield* CapabilityStatements.CapabilityStatements
    const statement = yield* capabilities(fhirBaseUrl, { allowInsecureLocalhost: true })
    yield* equal("the CapabilityStatement", [...statement.resources.keys()].sort(), [...TYPES].sort())
  })

const layers = Layer.mergeAll(
  FhirClient.layer,
  CapabilityStatements.layer(),
  SmartClient.layerDependencies(),
  ClientAuthentication.layerPublic
).pipe(Layer.provide(NodeTransport.layer()))

NodeRuntime.runMain(
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-fhir-works-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    yield* Effect.sync(() => install(folder))
    const { url } = yield* startServer(folder)
    yield* interactions(url)
  }).pipe(Effect.provide(layers), Effect.scoped)
)
