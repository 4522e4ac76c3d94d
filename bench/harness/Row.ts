/**
 * A row of the benchmark: one kind of work, the libraries that do it, and the reference of their ratios.
 */
import type { Name } from "./Contender.js"

export interface Row {
  readonly id: string
  readonly title: string
  readonly work: string
  readonly concurrency: number
  readonly millis: number
  readonly contenders: ReadonlyArray<Name>
  readonly reference: Name
}

const row = (
  id: string,
  title: string,
  concurrency: number,
  reference: Name,
  contenders: ReadonlyArray<Name>,
  { millis = 250, work = id }: { readonly millis?: number; readonly work?: string } = {}
): Row => ({ id, title, work, concurrency, millis, reference, contenders })

const OURS = "effect-safire"
const UNTRACED = "effect-safire, tracing off"
const UDAP = "effect-safire, UDAP"
const PEERS: ReadonlyArray<Name> = ["openid-client", "oauth4webapi", "fhirclient"]

const STORE = "SessionStore"
const BY_HAND = "the driver by hand"
const STORES = [
  ["memory", "memory"],
  ["files", "files"],
  ["sqlite", "SQLite"],
  ["postgres", "PostgreSQL"],
  ["redis", "Redis"]
] as const

/** The store of a row, if it is about one. */
export const storeOf = ({ id }: Row): (typeof STORES)[number][0] | undefined =>
  STORES.map(([store]) => store).find((store) => id.startsWith("store-") && id.endsWith(`-${store}`))

const everyTransport: ReadonlyArray<Name> = [
  OURS,
  UNTRACED,
  "effect-safire on stock undici layer",
  "effect-safire on stock fetch layer",
  ...PEERS,
  "NodeTransport used bare",
  "stock undici layer used bare",
  "stock fetch layer used bare",
  "raw fetch",
  "raw undici"
]

const signing: ReadonlyArray<Name> = [OURS, "openid-client", "oauth4webapi", "bare jose"]

const few: ReadonlyArray<Name> = [OURS, ...PEERS]

export const rows: ReadonlyArray<Row> = [
  row("authorization-url", "Authorization URL with PKCE", 32, "bare WebCrypto", [...few, "bare WebCrypto"]),
  row("discovery-cold", "Discovery, nothing cached", 32, "openid-client", [
    ...few,
    "NodeTransport used bare",
    "raw fetch"
  ]),
  row("discovery-warm", "Discovery, cached", 1, "openid-client", [OURS, "openid-client", "fhirclient"], {
    millis: 200
  }),
  row("exchange-public", "Code exchange, public client", 32, "openid-client", [
    ...everyTransport,
    "an exchange by hand over NodeTransport"
  ]),
  row("exchange-public-1", "Code exchange, public client, one at a time", 1, "openid-client", few, {
    work: "exchange-public"
  }),
  row("exchange-public-256", "Code exchange, public client, 256 at once", 256, "openid-client", few, {
    work: "exchange-public"
  }),
  row("exchange-basic", "Code exchange, client secret", 32, "openid-client", [...few, UNTRACED]),
  row("exchange-basic-1", "Code exchange, client secret, one at a time", 1, "openid-client", few, {
    work: "exchange-basic"
  }),
  row("exchange-basic-256", "Code exchange, client secret, 256 at once", 256, "openid-client", few, {
    work: "exchange-basic"
  }),
  row("assertion-RS384", "Client assertion, RS384", 32, "bare jose", signing),
  row("assertion-ES384", "Client assertion, ES384", 32, "bare jose", signing),
  row("client-credentials", "Client credentials, RS384", 32, "bare jose", signing),
  row("jwks-cold", "A key set, fetched, and a key of it", 32, "bare jose", [OURS, "bare jose"]),
  row("id-token", "An id_token verified, keys cached", 32, "bare jose", [OURS, "bare jose"]),
  row("login", "Login over HTTP: launch and callback", 32, "routes of @effect/platform by hand", [
    "effect-safire/web",
    "openid-client in node:http",
    "routes by hand over SmartClient and SessionStore",
    "routes of @effect/platform by hand"
  ], { millis: 500 }),
  ...STORES.flatMap(([store, title]) => {
    const bare: ReadonlyArray<Name> = store === "sqlite" || store === "postgres" ? ["@effect/sql used bare"] : []
    const contenders: ReadonlyArray<Name> = [STORE, ...bare, BY_HAND]
    return [
      row(`store-read-${store}`, `A session read from ${title}`, 16, BY_HAND, contenders),
      row(`store-modify-${store}`, `A session changed under its lock in ${title}`, 16, BY_HAND, contenders)
    ]
  }),
  row("fresh-token", "A token from a session that has one", 1, "fhirclient", [OURS, UNTRACED, "fhirclient"], {
    millis: 200
  }),
  row("fhir-get", "FHIR read", 32, "openid-client", everyTransport),
  row("fhir-get-1", "FHIR read, one at a time", 1, "openid-client", [...few, UNTRACED, "NodeTransport used bare"], {
    work: "fhir-get"
  }),
  row("fhir-search", "FHIR search, 100 pages of 50", 1, "raw undici", [OURS, UNTRACED, "raw fetch", "raw undici"], {
    millis: 1500
  }),
  row(
    "fhir-transaction",
    "FHIR transaction, 500 entries",
    1,
    "raw undici",
    [OURS, UNTRACED, "NodeTransport used bare", "raw fetch", "raw undici"],
    { millis: 1000 }
  ),
  row("udap-chain", "UDAP: a chain with two CRLs, validated anew", 1, "pkijs's engine", [UDAP, "pkijs's engine"]),
  row("udap-verify", "UDAP: metadata, verified anew", 1, UDAP, [UDAP]),
  row("udap-cached", "UDAP: metadata, cached and still trusted", 1, UDAP, [UDAP], { millis: 200 }),
  row("udap-hostile", "UDAP: the worst chain within the limits, refused", 1, UDAP, [UDAP])
]
