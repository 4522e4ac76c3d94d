/**
 * The metadata of a client: what it sends to a server when it registers, and what the server returns (RFC 7591,
 * section 2).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { isJsonObject, type JsonReader, others, reader } from "../base/JsonReader.js"
import { JsonMembers } from "../base/SchemaFields.js"
import * as Url from "../base/Url.js"
import { isPrivate } from "./PublicJwk.js"

const text = (name: string) => ({
  name,
  schema: Schema.optional(Schema.String),
  read: ({ string }: JsonReader) => string(name)
})

const texts = (name: string) => ({
  name,
  schema: Schema.optional(Schema.Array(Schema.String)),
  read: ({ strings }: JsonReader) => strings(name)
})

/** Each member once: its field here, its name in JSON, its schema, and how it is read from a server's JSON. */
const MEMBERS = {
  redirectUris: texts("redirect_uris"),
  tokenEndpointAuthMethod: text("token_endpoint_auth_method"),
  tokenEndpointAuthSigningAlg: text("token_endpoint_auth_signing_alg"),
  grantTypes: texts("grant_types"),
  responseTypes: texts("response_types"),
  clientName: text("client_name"),
  clientUri: text("client_uri"),
  logoUri: text("logo_uri"),
  /** Space separated. */
  scope: text("scope"),
  contacts: texts("contacts"),
  tosUri: text("tos_uri"),
  policyUri: text("policy_uri"),
  /** The URL of the client's public keys; preferred over `jwks` (requirement 299). */
  jwksUri: text("jwks_uri"),
  /** The public keys themselves. Not together with `jwksUri` (requirement 298). */
  jwks: {
    name: "jwks",
    schema: Schema.optional(Schema.Struct({ keys: Schema.Array(Schema.Object) })),
    read: ({ object }: JsonReader) => {
      const keys = object("jwks")?.["keys"]
      return Array.isArray(keys) ? { keys: keys.filter(isJsonObject) } : undefined
    }
  },
  softwareId: text("software_id"),
  softwareVersion: text("software_version"),
  softwareStatement: {
    name: "software_statement",
    schema: Schema.optional(Schema.Redacted(Schema.String)),
    read: ({ redacted }: JsonReader) => redacted("software_statement")
  },
  /** The URL at which an EHR launches the app (OpenID Connect's name for it). */
  initiateLoginUri: text("initiate_login_uri")
}

type Members = typeof MEMBERS

const memberEntries = Object.entries(MEMBERS) as ReadonlyArray<[keyof Members, Members[keyof Members]]>

const fields = Object.fromEntries(memberEntries.map(([field, { schema }]) => [field, schema])) as {
  readonly [Field in keyof Members]: Members[Field]["schema"]
}

/**
 * The metadata. Members that RFC 7591 does not define, such as `launch_uris` of some SMART servers, are in
 * `extensions` under their own names.
 *
 * @since 0.1.0
 * @category models
 */
export class ClientMetadata extends Schema.Class<ClientMetadata>("effect-safire/ClientMetadata")({
  ...fields,
  extensions: Schema.optionalWith(JsonMembers, { default: () => ({}) })
}) {}

/**
 * The members of a response that are not metadata (RFC 7591, section 3.2.1): a client does not send them, and they
 * are not extensions.
 */
const RESPONSE_MEMBERS = [
  "client_id",
  "client_secret",
  "client_id_issued_at",
  "client_secret_expires_at",
  "registration_access_token",
  "registration_client_uri"
]

const KNOWN: ReadonlySet<string> = new Set([...memberEntries.map(([, { name }]) => name), ...RESPONSE_MEMBERS])

/**
 * The JSON to send, secrets in clear. A member of RFC 7591 takes precedence over an extension of the same name.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toJson = (self: ClientMetadata): Readonly<Record<string, unknown>> => ({
  ...others(self.extensions, KNOWN),
  ...Object.fromEntries(memberEntries.flatMap(([field, { name }]) => {
    const value: unknown = self[field]
    return value === undefined ? [] : [[name, Redacted.isRedacted(value) ? Redacted.value(value) : value]]
  }))
})

/**
 * The metadata in a server's JSON. A malformed member counts as absent and is reported to `onMalformed`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromJson = (
  document: Readonly<Record<string, unknown>>,
  onMalformed: (member: string, expected: string) => void
): ClientMetadata => {
  const members = reader(document, onMalformed)
  const values: ConstructorParameters<typeof ClientMetadata>[0] = Object.fromEntries(
    memberEntries.map(([field, { read }]) => [field, read(members)])
  )
  return new ClientMetadata({ ...values, extensions: others(document, KNOWN) })
}

/**
 * Fails for metadata that must not be sent: private keys, a key set together with its URL (requirement 298), URLs
 * that are not absolute or not https (requirements 20, 21 and 302). A redirect URI may have the scheme of a native
 * app.
 *
 * @since 0.1.0
 * @category predicates
 */
export const validate = (
  self: ClientMetadata,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): Effect.Effect<void, ConfigurationError> => {
  if (self.jwks?.keys.some((key) => isPrivate({ ...key }))) {
    return configurationError("BadKey", ["jwks"], "it holds a private key; register SigningKeys.publicJwks")
  }
  if (self.jwks !== undefined && self.jwksUri !== undefined) {
    return configurationError("Conflict", ["jwks", "jwksUri"], "a client registers one or the other")
  }
  const urls = [
    ...(self.redirectUris ?? []).map((value, index) => ({ field: `redirectUris[${index}]`, value, mayBeNative: true })),
    ...(["jwksUri", "initiateLoginUri"] as const).flatMap((field) => {
      const value = self[field]
      return value === undefined ? [] : [{ field, value, mayBeNative: false }]
    })
  ].map((entry) => ({ ...entry, url: Url.parse(entry.value) }))
  const unusable = urls.filter(({ url, value }) => url === undefined || value.includes("#") || url.host.includes("*"))
  if (unusable.length > 0) {
    const detail = "give absolute URLs without fragment or wildcard"
    return configurationError("Invalid", unusable.map(({ field }) => field), detail)
  }
  const insecure = urls.filter(({ mayBeNative, url }) =>
    url !== undefined && !Url.isSecure(url, options?.allowInsecureLocalhost ?? false) &&
    !(mayBeNative && url.protocol !== "http:")
  )
  const detail = "use https; http needs a loopback host and allowInsecureLocalhost"
  return insecure.length > 0
    ? configurationError("Insecure", insecure.map(({ field }) => field), detail)
    : Effect.void
}

/**
 * A requested member that the server registered with another value (`Changed`), or did not return (`NotEchoed`: it
 * may or may not be registered).
 *
 * @since 0.1.0
 * @category schemas
 */
export const Change = Schema.Struct({
  member: Schema.String,
  kind: Schema.Literal("Changed", "NotEchoed"),
  requested: Schema.Unknown,
  registered: Schema.Unknown
})

/**
 * A value of the schema `Change`.
 *
 * @since 0.1.0
 * @category models
 */
export type Change = typeof Change.Type
