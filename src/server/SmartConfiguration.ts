/**
 * The SMART configuration of a FHIR server: the document at `[base]/.well-known/smart-configuration` (SMART App
 * Launch 2.2, conformance). It is data; `Capabilities` and `Conformance` are functions over it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import { FhirBaseUrl } from "../base/FhirBaseUrl.js"
import { type JsonReader, others, reader, withoutDeepMembers } from "../base/JsonReader.js"
import { construct, JsonMembers } from "../base/SchemaFields.js"
import * as Url from "../base/Url.js"
import { DiscoveryError } from "./DiscoveryError.js"

/**
 * A member that deviates from the specification: a `Malformed` one counts as absent, a `Relative` URL was resolved
 * against the FHIR base URL (requirement 379).
 *
 * @since 0.1.0
 * @category schemas
 */
export const Deviation = Schema.Struct({
  member: Schema.String,
  problem: Schema.Literal("Malformed", "Relative"),
  expected: Schema.String
})

/**
 * A member that was malformed and counts as absent.
 *
 * @since 0.1.0
 * @category models
 */
export type Deviation = typeof Deviation.Type

/**
 * The origin of a configuration other than the server's SMART configuration: the deprecated `oauth-uris` of its
 * CapabilityStatement, or the settings of the program.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Source = Schema.Literal("CapabilityStatement", "Settings")

/**
 * The origin of a configuration.
 *
 * @since 0.1.0
 * @category models
 */
export type Source = typeof Source.Type

/** Reads members of a document. URLs are resolved against the FHIR base URL. */
interface MemberReader extends Pick<JsonReader, "boolean" | "object" | "objects" | "string" | "strings"> {
  readonly resolve: (member: string, value: string | undefined) => string | undefined
  readonly malformed: (member: string, expected: string) => void
}

/** A member of the document: its schema and its reader. */
interface Member<S extends Schema.Schema.Any> {
  readonly schema: Schema.optional<S>
  readonly read: (document: MemberReader, name: string) => Schema.Schema.Type<S> | undefined
}

const member = <S extends Schema.Schema.Any>(schema: S, read: Member<S>["read"]): Member<S> => ({
  schema: Schema.optional(schema),
  read
})

const text = member(Schema.String, ({ string }, name) => string(name))
const texts = member(Schema.Array(Schema.String), ({ strings }, name) => strings(name))
const flag = member(Schema.Boolean, ({ boolean }, name) => boolean(name))
const url = member(Schema.String, ({ resolve, string }, name) => resolve(name, string(name)))

/** A page for a browser, where the scheme of another URL could run code. */
const page = member(Schema.String, ({ malformed, resolve, string }, name) => {
  const value = resolve(name, string(name))
  if (value === undefined || /^https?:/i.test(value)) return value
  malformed(name, "the URL of a web page")
  return undefined
})

const associatedEndpoints = member(
  Schema.Array(Schema.Struct({ url: Schema.String, capabilities: Schema.Array(Schema.String) })),
  ({ malformed, objects, resolve }, name) =>
    objects(name)?.flatMap((endpoint) => {
      const { string, strings } = reader(endpoint, (inner, expected) => malformed(`${name}.${inner}`, expected))
      const value = resolve(`${name}.url`, string("url"))
      return value === undefined ? [] : [{ url: value, capabilities: strings("capabilities") ?? [] }]
    })
)

const brandIdentifier = member(
  Schema.Struct({ system: Schema.optional(Schema.String), value: Schema.optional(Schema.String) }),
  ({ malformed, object }, name) => {
    const identifier = object(name)
    if (identifier === undefined) return undefined
    const { string } = reader(identifier, (inner, expected) => malformed(`${name}.${inner}`, expected))
    return { system: string("system"), value: string("value") }
  }
)

/** The members that SMART defines. Their names in the document are the same words in snake case: see `memberName`. */
const MEMBERS = {
  issuer: text,
  jwksUri: url,
  authorizationEndpoint: url,
  tokenEndpoint: url,
  registrationEndpoint: url,
  introspectionEndpoint: url,
  revocationEndpoint: url,
  /** A page where users can see and revoke grants: to open in a browser, not to call. */
  managementEndpoint: page,
  grantTypesSupported: texts,
  capabilities: texts,
  codeChallengeMethodsSupported: texts,
  scopesSupported: texts,
  responseTypesSupported: texts,
  tokenEndpointAuthMethodsSupported: texts,
  tokenEndpointAuthSigningAlgValuesSupported: texts,
  associatedEndpoints,
  /** Deprecated by SMART 2.2 in favour of `associatedEndpoints`. */
  smartAppStateEndpoint: url,
  userAccessBrandBundle: url,
  userAccessBrandIdentifier: brandIdentifier,
  /** RFC 9207: whether authorization responses have `iss`. */
  authorizationResponseIssParameterSupported: flag
}

/**
 * A member that SMART defines.
 *
 * @internal
 */
export type MemberKey = keyof typeof MEMBERS

type Fields = { readonly [K in MemberKey]: typeof MEMBERS[K]["schema"] }

const fields = Object.fromEntries(Object.entries(MEMBERS).map(([key, { schema }]) => [key, schema])) as Fields

/**
 * The name of a member in the document, such as `token_endpoint`.
 *
 * @internal
 */
export const memberName = (key: MemberKey): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** Name, key and reader of each member. */
const READERS = (Object.keys(MEMBERS) as Array<MemberKey>).map((key) =>
  [memberName(key), key, MEMBERS[key].read] as const
)

const NAMES: ReadonlySet<string> = new Set(READERS.map(([name]) => name))

/**
 * Every member is optional, so that servers that deviate can be used where that is safe; an operation that needs an
 * absent endpoint fails and names it. Endpoints are absolute URLs. `extensions` has the members that SMART does not
 * define.
 *
 * @since 0.1.0
 * @category models
 */
export class SmartConfiguration extends Schema.Class<SmartConfiguration>("effect-safire/SmartConfiguration")({
  fhirBaseUrl: FhirBaseUrl,
  ...fields,
  extensions: JsonMembers,
  deviations: Schema.Array(Deviation),
  /** Absent for the server's own SMART configuration. */
  source: Schema.optional(Source)
}) {}

/**
 * Reads a document. Every JSON object is valid; a malformed member counts as absent and is listed in `deviations`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromDocument = (
  fhirBaseUrl: FhirBaseUrl,
  received: Readonly<Record<string, unknown>>,
  source?: Source | undefined
): SmartConfiguration => {
  // A list of many malformed items makes one deviation.
  const deviations = new Map<string, Deviation>()
  const deviate = (deviation: Deviation) => {
    deviations.set(`${deviation.problem} ${deviation.member}`, deviation)
  }
  const malformed = (member: string, expected: string) => deviate({ member, problem: "Malformed", expected })
  const resolve = (member: string, value: string | undefined): string | undefined => {
    if (value === undefined || Url.parse(value) !== undefined) return value
    const resolved = Url.parse(value, fhirBaseUrl)
    if (resolved === undefined) malformed(member, "a URL")
    else deviate({ member, problem: "Relative", expected: "an absolute URL" })
    return resolved?.href
  }
  const document = withoutDeepMembers(received, malformed)
  const { boolean, object, objects, string, strings } = reader(document, malformed)
  const members: MemberReader = { resolve, malformed, boolean, object, objects, string, strings }
  const values = Object.fromEntries(READERS.map(([name, key, read]) => [key, read(members, name)])) as StaticMetadata
  return construct(SmartConfiguration, {
    fhirBaseUrl,
    extensions: others(document, NAMES),
    deviations: [...deviations.values()],
    source,
    ...values
  })
}

/**
 * Metadata from the settings of a program, instead of those of the server. URLs are absolute.
 *
 * @since 0.1.0
 * @category models
 */
export type StaticMetadata = { readonly [K in MemberKey]?: SmartConfiguration[K] }

/**
 * A configuration from settings. Without `codeChallengeMethodsSupported` it supports S256, which is always sent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromSettings = (fhirBaseUrl: FhirBaseUrl, metadata: StaticMetadata): SmartConfiguration =>
  new SmartConfiguration({
    codeChallengeMethodsSupported: ["S256"],
    ...metadata,
    fhirBaseUrl,
    extensions: {},
    deviations: [],
    source: "Settings"
  })

/**
 * The endpoints to which a client sends secrets or users, and the keys by which it identifies users.
 *
 * @since 0.1.0
 * @category models
 */
export type Endpoint =
  | "authorizationEndpoint"
  | "tokenEndpoint"
  | "registrationEndpoint"
  | "introspectionEndpoint"
  | "revocationEndpoint"
  | "jwksUri"

/**
 * The URL of an endpoint, before its use. It must exist and be secure (requirements 1, 230, 232 and 318): otherwise a
 * `DiscoveryError` with reason `EndpointMissing` or `InsecureEndpoint`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const endpoint: {
  (
    member: Endpoint,
    options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
  ): (self: SmartConfiguration) => Effect.Effect<string, DiscoveryError>
  (
    self: SmartConfiguration,
    member: Endpoint,
    options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
  ): Effect.Effect<string, DiscoveryError>
} = dual(
  (args) => typeof args[0] !== "string",
  (
    self: SmartConfiguration,
    key: Endpoint,
    options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
  ): Effect.Effect<string, DiscoveryError> => {
    const { [key]: value, fhirBaseUrl } = self
    const parsed = value === undefined ? undefined : Url.parse(value)
    if (value !== undefined && parsed !== undefined && Url.isSecure(parsed, options?.allowInsecureLocalhost ?? false)) {
      return Effect.succeed(value)
    }
    const member = memberName(key)
    return value === undefined
      ? new DiscoveryError({
        reason: "EndpointMissing",
        fhirBaseUrl,
        url: fhirBaseUrl,
        member,
        detail: `its SMART configuration has no usable ${member}`
      })
      : new DiscoveryError({
        reason: "InsecureEndpoint",
        fhirBaseUrl,
        url: Url.forDisplay(value),
        member,
        detail: `its SMART configuration has a ${member} that is not https`
      })
  }
)
