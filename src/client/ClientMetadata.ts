/**
 * What a client tells a server about itself when it registers, and what the server tells back (RFC 7591, section 2).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ConfigurationError } from "../base/ConfigurationError.js"
import { JsonMembers } from "../base/JsonMembers.js"
import type { JsonObject } from "../base/JsonReader.js"
import { others, reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { isPrivate } from "./PublicJwk.js"

const Strings = Schema.optional(Schema.Array(Schema.String))
const Text = Schema.optional(Schema.String)

/**
 * Members that RFC 7591 does not define (SMART servers have some, such as `launch_uris`) go into `extensions` under their own names.
 *
 * @since 0.1.0
 * @category models
 */
export class ClientMetadata extends Schema.Class<ClientMetadata>("effect-safire/ClientMetadata")({
  redirectUris: Strings,
  tokenEndpointAuthMethod: Text,
  tokenEndpointAuthSigningAlg: Text,
  grantTypes: Strings,
  responseTypes: Strings,
  clientName: Text,
  clientUri: Text,
  logoUri: Text,
  /** Space separated. */
  scope: Text,
  contacts: Strings,
  tosUri: Text,
  policyUri: Text,
  /** Where the client's public keys are: strongly preferred over `jwks` (requirement 299). */
  jwksUri: Text,
  /** The public keys themselves. Never together with `jwksUri`. */
  jwks: Schema.optional(Schema.Struct({ keys: Schema.Array(Schema.Object) })),
  softwareId: Text,
  softwareVersion: Text,
  softwareStatement: Schema.optional(Schema.Redacted(Schema.String)),
  /** Where an EHR launches the app, in OpenID Connect's words. */
  initiateLoginUri: Text,
  extensions: Schema.optionalWith(JsonMembers, { default: () => ({}) })
}) {}

const WIRE = {
  redirectUris: "redirect_uris",
  tokenEndpointAuthMethod: "token_endpoint_auth_method",
  tokenEndpointAuthSigningAlg: "token_endpoint_auth_signing_alg",
  grantTypes: "grant_types",
  responseTypes: "response_types",
  clientName: "client_name",
  clientUri: "client_uri",
  logoUri: "logo_uri",
  scope: "scope",
  contacts: "contacts",
  tosUri: "tos_uri",
  policyUri: "policy_uri",
  jwksUri: "jwks_uri",
  jwks: "jwks",
  softwareId: "software_id",
  softwareVersion: "software_version",
  softwareStatement: "software_statement",
  initiateLoginUri: "initiate_login_uri"
} as const satisfies Record<Exclude<keyof typeof ClientMetadata.fields, "extensions">, string>

/** What the answer says beside the metadata: not the caller's to send, and not an extension. */
const ANSWER = [
  "client_id",
  "client_secret",
  "client_id_issued_at",
  "client_secret_expires_at",
  "registration_access_token",
  "registration_client_uri"
]

const KNOWN: ReadonlySet<string> = new Set([...Object.values(WIRE), ...ANSWER])

/**
 * As it is sent. What has a name of its own here wins over an extension of that name.
 *
 * @internal
 */
export const toWire = (self: ClientMetadata): Record<string, unknown> => ({
  ...others(self.extensions, KNOWN),
  ...Object.fromEntries(
    Object.entries(WIRE).flatMap(([member, name]) => {
      const value: unknown = self[member as keyof typeof WIRE]
      if (value === undefined) return []
      return [[name, Redacted.isRedacted(value) ? Redacted.value(value) : value]]
    })
  )
})

/**
 * As a server says it: what is malformed counts as absent and is named.
 *
 * @internal
 */
export const fromWire = (
  document: JsonObject,
  refuse: (member: string, expected: string) => void
): ClientMetadata => {
  const { object, string, strings } = reader(document, refuse)
  const keys = object("jwks")?.["keys"]
  const statement = string("software_statement")
  return new ClientMetadata({
    redirectUris: strings("redirect_uris"),
    tokenEndpointAuthMethod: string("token_endpoint_auth_method"),
    tokenEndpointAuthSigningAlg: string("token_endpoint_auth_signing_alg"),
    grantTypes: strings("grant_types"),
    responseTypes: strings("response_types"),
    clientName: string("client_name"),
    clientUri: string("client_uri"),
    logoUri: string("logo_uri"),
    scope: string("scope"),
    contacts: strings("contacts"),
    tosUri: string("tos_uri"),
    policyUri: string("policy_uri"),
    jwksUri: string("jwks_uri"),
    jwks: Array.isArray(keys)
      ? { keys: keys.filter((key): key is object => typeof key === "object" && key !== null) }
      : undefined,
    softwareId: string("software_id"),
    softwareVersion: string("software_version"),
    softwareStatement: statement === undefined ? undefined : Redacted.make(statement),
    initiateLoginUri: string("initiate_login_uri"),
    extensions: others(document, KNOWN)
  })
}

const isWeb = (url: URL): boolean => url.protocol === "https:" || url.protocol === "http:"

/**
 * What must not be sent to any server: keys that are not public, a set and its URL at once (requirement 298), URLs that are not fixed or not
 * https (requirements 20, 21 and 302). Redirect URIs of a native app's own scheme are fine.
 *
 * @internal
 */
export const check = (
  self: ClientMetadata,
  allowInsecureLocalhost: boolean
): Effect.Effect<void, ConfigurationError> => {
  const fail = (reason: ConfigurationError["reason"], fields: ReadonlyArray<string>, detail: string) =>
    new ConfigurationError({ reason, fields, detail })
  if (self.jwks?.keys.some((key) => isPrivate({ ...key }))) {
    return fail("BadKey", ["jwks"], "it holds a private key; register SigningKeys.publicJwks")
  }
  if (self.jwks !== undefined && self.jwksUri !== undefined) {
    return fail("Conflict", ["jwks", "jwksUri"], "a client registers one or the other")
  }
  const urls = [
    ...(self.redirectUris ?? []).map((value, index) => [`redirectUris[${index}]`, value, true] as const),
    ...([["jwksUri", self.jwksUri], ["initiateLoginUri", self.initiateLoginUri]] as const).flatMap(([field, value]) =>
      value === undefined ? [] : [[field, value, false] as const]
    )
  ].map(([field, value, mayBeNative]) => ({ field, value, mayBeNative, url: Url.parse(value) }))
  const unusable = urls.filter(({ url, value }) => url === undefined || value.includes("#") || url.host.includes("*"))
  if (unusable.length > 0) {
    return fail("Invalid", unusable.map(({ field }) => field), "give absolute URLs without fragment or wildcard")
  }
  const insecure = urls.filter(({ mayBeNative, url }) =>
    url !== undefined && !Url.isSecure(url, allowInsecureLocalhost) && !(mayBeNative && !isWeb(url))
  )
  return insecure.length > 0
    ? fail(
      "Insecure",
      insecure.map(({ field }) => field),
      "use https; http needs a loopback host and allowInsecureLocalhost"
    )
    : Effect.void
}

/** Order means nothing in the lists of RFC 7591, nor among the members of an object. Each level is written once, so that nesting does not multiply. */
const normal = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(normal).sort().join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${
    Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => `${JSON.stringify(name)}:${normal(item)}`).join()
  }}`
}

const isEqual = (name: string, a: unknown, b: unknown): boolean =>
  name === WIRE.scope && typeof a === "string" && typeof b === "string"
    ? isEqual("", a.split(" ").filter((scope) => scope !== ""), b.split(" ").filter((scope) => scope !== ""))
    : normal(a) === normal(b)

/**
 * A member that was asked for and came back otherwise, or not at all (`NotEchoed`: it may or may not have been registered).
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
 * @since 0.1.0
 * @category models
 */
export type Change = typeof Change.Type

/**
 * What the server made of the request. A software statement is not compared: servers unpack it.
 *
 * @internal
 */
export const changes = (requested: ClientMetadata, document: JsonObject): ReadonlyArray<Change> =>
  Object.entries(toWire(requested)).flatMap(([member, value]): ReadonlyArray<Change> => {
    if (member === WIRE.softwareStatement) return []
    const registered = Object.hasOwn(document, member) ? document[member] : undefined
    if (registered === undefined || registered === null) {
      return [{ member, kind: "NotEchoed", requested: value, registered: undefined }]
    }
    return isEqual(member, value, registered) ? [] : [{ member, kind: "Changed", requested: value, registered }]
  })
