/**
 * The settings of all contenders, so that all do the same work: one server, one client, one code, one token.
 */
import { readFileSync } from "node:fs"

/** The number of pages of the search, and of resources in a page. */
export const PAGES = 100
export const PAGE_SIZE = 50

export interface Setting {
  readonly origin: string
  readonly fhirBaseUrl: string
  /** The same server, for a client with a key pair. */
  readonly backendBaseUrl: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly backendTokenEndpoint: string
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUri: string
  readonly scopes: ReadonlyArray<string>
  readonly code: string
  readonly accessToken: string
  readonly patientId: string
  readonly keys: Readonly<Record<"RS384" | "ES384", object & { readonly kid: string }>>
  /** The address of the module that logs in at a web app. */
  readonly logins: string
  /** The address of the module with the session that all stores hold. */
  readonly storedSession: string
  readonly stores: Stores
}

/** Where session stores keep what they store; absent if the store is not available here. */
export interface Stores {
  readonly folder?: string | undefined
  readonly hasSqlite?: boolean | undefined
  readonly redisUrl?: string | undefined
  readonly postgresUrl?: string | undefined
}

/** The private example key of the specification. */
const key = (name: string): Setting["keys"]["RS384"] => {
  const vectors = new URL(`../../test/vectors/${name}.private.json`, import.meta.url)
  const { keys }: { readonly keys: ReadonlyArray<Setting["keys"]["RS384"]> } = JSON.parse(readFileSync(vectors, "utf8"))
  const found = keys.find((jwk) => "d" in jwk)
  if (found === undefined) throw new Error(`no private key for ${name}`)
  return found
}

export const make = (origin: string): Setting => ({
  origin,
  fhirBaseUrl: `${origin}/fhir`,
  backendBaseUrl: `${origin}/backend/fhir`,
  authorizationEndpoint: `${origin}/authorize`,
  tokenEndpoint: `${origin}/token`,
  backendTokenEndpoint: `${origin}/backend/token`,
  clientId: "bench-app",
  clientSecret: "a-secret-of-thirty-two-characters",
  redirectUri: "https://app.example.org/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"],
  code: "code-0123456789abcdef",
  accessToken: "access-token-0123456789abcdef0123456789abcdef",
  patientId: "patient-alpha",
  keys: { RS384: key("RS384"), ES384: key("ES384") },
  logins: new URL("./logins.mjs", import.meta.url).href,
  storedSession: new URL("./storedSession.mjs", import.meta.url).href,
  stores: {}
})
