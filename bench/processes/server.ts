/**
 * The server of all contenders: plain `node:http`, the same bytes for each request, without other work. It prints its
 * port when it listens, and on request the number of token requests.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as IdToken from "../harness/idToken.js"
import * as Setting from "../harness/Setting.js"
import * as Transaction from "../harness/transaction.js"

const server = Http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 })

let setting: Setting.Setting
let tokenRequests = 0

interface Answer {
  readonly headers: ReadonlyArray<string>
  readonly body: Buffer
}

const json = (value: object, type = "application/json"): Answer => {
  const body = Buffer.from(JSON.stringify(value))
  return { headers: ["content-type", type, "content-length", `${body.length}`, "cache-control", "no-store"], body }
}

const smartConfiguration = (base: "" | "/backend"): Answer =>
  json({
    issuer: setting.origin,
    jwks_uri: `${setting.origin}/jwks`,
    authorization_endpoint: setting.authorizationEndpoint,
    token_endpoint: `${setting.origin}${base}/token`,
    introspection_endpoint: `${setting.origin}/introspect`,
    revocation_endpoint: `${setting.origin}/revoke`,
    grant_types_supported: ["authorization_code", "client_credentials"],
    token_endpoint_auth_methods_supported: ["client_secret_basic", "private_key_jwt"],
    token_endpoint_auth_signing_alg_values_supported: ["RS384", "ES384"],
    scopes_supported: ["openid", "fhirUser", "launch", "launch/patient", "patient/*.rs", "user/*.rs", "offline_access"],
    response_types_supported: ["code"],
    code_challenge_methods_supported: ["S256"],
    capabilities: [
      "launch-ehr",
      "launch-standalone",
      "client-public",
      "client-confidential-symmetric",
      "client-confidential-asymmetric",
      "sso-openid-connect",
      "context-ehr-patient",
      "context-standalone-patient",
      "permission-offline",
      "permission-patient",
      "permission-user",
      "permission-v2"
    ]
  })

const answers = () => {
  const tokens = {
    access_token: setting.accessToken,
    token_type: "Bearer",
    expires_in: 3600,
    scope: setting.scopes.join(" ")
  }
  return {
    metadata: smartConfiguration(""),
    backendMetadata: smartConfiguration("/backend"),
    tokens: json({ ...tokens, refresh_token: "refresh-token-0123456789abcdef", patient: setting.patientId }),
    backendTokens: json({ ...tokens, expires_in: 300, scope: "system/*.rs" }),
    patient: json({
      resourceType: "Patient",
      id: setting.patientId,
      meta: { versionId: "1", lastUpdated: "2024-01-01T00:00:00Z" },
      identifier: [{ system: "urn:oid:2.16.840.1.113883.4.1", value: "000-00-0000" }],
      active: true,
      name: [{ use: "official", family: "Example", given: ["Alpha"] }],
      gender: "female",
      birthDate: "1970-01-01",
      address: [{ city: "Springfield", country: "US" }]
    }, "application/fhir+json"),
    pages: Array.from({ length: Setting.PAGES }, (_, page) =>
      json({
        resourceType: "Bundle",
        type: "searchset",
        total: Setting.PAGES * Setting.PAGE_SIZE,
        link: page + 1 < Setting.PAGES
          ? [{ relation: "next", url: `${setting.fhirBaseUrl}/Observation?page=${page + 1}` }]
          : [],
        entry: Array.from({ length: Setting.PAGE_SIZE }, (_, index) => ({
          fullUrl: `${setting.fhirBaseUrl}/Observation/o-${page}-${index}`,
          search: { mode: "match" },
          resource: {
            resourceType: "Observation",
            id: `o-${page}-${index}`,
            meta: { versionId: "1", lastUpdated: "2024-01-01T00:00:00Z" },
            status: "final",
            category: [{
              coding: [{
                system: "http://terminology.hl7.org/CodeSystem/observation-category",
                code: "vital-signs"
              }]
            }],
            code: { coding: [{ system: "http://loinc.org", code: "8867-4", display: "Heart rate" }] },
            subject: { reference: `Patient/${setting.patientId}` },
            effectiveDateTime: "2024-01-01T00:00:00Z",
            valueQuantity: { value: 60 + index, unit: "/min", system: "http://unitsofmeasure.org", code: "/min" }
          }
        }))
      }, "application/fhir+json")),
    transaction: json(Transaction.response(setting), "application/fhir+json"),
    jwks: json(IdToken.jwks(setting), "application/jwk-set+json"),
    unauthorized: json({ error: "invalid_token" })
  }
}

server.on("listening", () => {
  setting = Setting.make(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const given = answers()
  const bearer = `Bearer ${setting.accessToken}`
  const searchPath = "/fhir/Observation"
  const patientPath = `/fhir/Patient/${setting.patientId}`

  server.on("request", (request, response) => {
    const path = request.url ?? ""
    const send = (status: number, { body, headers }: Answer) => {
      response.writeHead(status, [...headers])
      response.end(body)
    }
    if (request.method === "POST" && path.startsWith("/fhir")) {
      request.on("end", () => send(200, given.transaction)).resume()
    } else if (request.method === "POST") {
      tokenRequests++
      request.on("end", () => send(200, path === "/token" ? given.tokens : given.backendTokens)).resume()
    } else if (path === patientPath) {
      if (request.headers.authorization === bearer) send(200, given.patient)
      else send(401, given.unauthorized)
    } else if (path.startsWith(searchPath)) {
      const page = given.pages[Number(path.slice(searchPath.length).replace(/^\?page=/, ""))]
      send(page === undefined ? 404 : 200, page ?? given.unauthorized)
    } else if (path.endsWith("/jwks")) {
      send(200, given.jwks)
    } else {
      send(200, path.startsWith("/backend/") ? given.backendMetadata : given.metadata)
    }
  })
  process.send?.(setting)
})

process.on("message", () => {
  process.send?.({ tokenRequests })
  tokenRequests = 0
})
process.on("disconnect", () => process.exit(0))

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 })
