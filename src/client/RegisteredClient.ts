/**
 * A registered client: what the server returned when the client registered (RFC 7591, section 3.2.1). Encoded, it
 * holds the client's secret in clear: store it as you store secrets.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { type JsonObject, reader, withoutDeepMembers } from "../base/JsonReader.js"
import * as ClientAuthentication from "./ClientAuthentication.js"
import * as ClientMetadata from "./ClientMetadata.js"
import * as SigningKeys from "./SigningKeys.js"

const Secret = Schema.optional(Schema.Redacted(Schema.String))

/**
 * The client id, the credentials and the metadata that a server registered.
 *
 * @since 0.1.0
 * @category models
 */
export class RegisteredClient extends Schema.Class<RegisteredClient>("effect-safire/RegisteredClient")({
  clientId: Schema.NonEmptyString,
  clientSecret: Secret,
  /** Milliseconds since 1970. */
  clientIdIssuedAt: Schema.optional(Schema.Number),
  /** Milliseconds since 1970. Absent for a secret that does not expire, and where the server does not say. */
  clientSecretExpiresAt: Schema.optional(Schema.Number),
  /** The token with which `Registration` reads, updates and removes this registration at `registrationClientUri`. */
  registrationAccessToken: Secret,
  registrationClientUri: Schema.optional(Schema.String),
  metadata: ClientMetadata.ClientMetadata,
  /** The requested members that the server changed or did not return. */
  changed: Schema.Array(ClientMetadata.Change),
  /** Members of the response that are malformed and count as absent. */
  deviations: Schema.Array(Schema.Struct({ member: Schema.String, expected: Schema.String }))
}) {}

/** Accepts a number that is written as a string. */
const seconds = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined
}

/**
 * A text that is equal for equal values: neither the lists of RFC 7591 nor the members of an object have an order.
 * Each level is written once, so that nesting does not multiply the work.
 */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).sort().join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${
    Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join()
  }}`
}

const comparable = (member: string, value: unknown): string =>
  canonical(member === "scope" && typeof value === "string" ? value.split(" ").filter((scope) => scope !== "") : value)

/**
 * How the response to a registration differs from the request. Servers unpack a software statement: it is not
 * compared.
 */
const metadataChanges = (request: JsonObject, response: JsonObject): ReadonlyArray<ClientMetadata.Change> =>
  Object.entries(request).flatMap(([member, requested]): ReadonlyArray<ClientMetadata.Change> => {
    if (member === "software_statement") return []
    const registered = Object.hasOwn(response, member) ? response[member] ?? undefined : undefined
    if (registered === undefined) return [{ member, kind: "NotEchoed", requested, registered }]
    return comparable(member, requested) === comparable(member, registered)
      ? []
      : [{ member, kind: "Changed", requested, registered }]
  })

/**
 * The client in the response to a registration request. Nothing if the response has no usable `client_id`, or another
 * one than `previous`. What the response to a read or an update does not repeat is taken from `previous`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromResponse = (
  response: Readonly<Record<string, unknown>>,
  options?: {
    /** The metadata that was sent. */
    readonly requested?: ClientMetadata.ClientMetadata | undefined
    readonly previous?: RegisteredClient | undefined
  } | undefined
): RegisteredClient | undefined => {
  const { previous, requested } = options ?? {}
  const deviations: Array<{ readonly member: string; readonly expected: string }> = []
  const onMalformed = (member: string, expected: string) => {
    deviations.push({ member, expected })
  }
  const document = withoutDeepMembers(response, onMalformed)
  const { redacted, string } = reader(document, onMalformed)
  const time = (member: string): number | undefined => {
    const value = Object.hasOwn(document, member) ? document[member] : undefined
    const number = seconds(value)
    if (number === undefined && value !== undefined && value !== null) onMalformed(member, "a number of seconds")
    // The latest time that a date can hold.
    return number === undefined ? undefined : Math.min(number * 1000, 8.64e15)
  }
  const clientId = string("client_id")
  if (clientId === undefined || clientId.trim() === "" || clientId !== (previous?.clientId ?? clientId)) {
    return undefined
  }
  const clientSecret = redacted("client_secret")
  const expiresAt = time("client_secret_expires_at")
  return new RegisteredClient({
    clientId,
    clientSecret: clientSecret ?? previous?.clientSecret,
    clientIdIssuedAt: time("client_id_issued_at") ?? previous?.clientIdIssuedAt,
    // RFC 7591: zero means never.
    clientSecretExpiresAt: expiresAt === 0
      ? undefined
      : expiresAt ?? (clientSecret === undefined ? previous?.clientSecretExpiresAt : undefined),
    registrationAccessToken: redacted("registration_access_token") ?? previous?.registrationAccessToken,
    registrationClientUri: string("registration_client_uri") ?? previous?.registrationClientUri,
    metadata: ClientMetadata.fromJson(document, onMalformed),
    changed: requested === undefined ? [] : metadataChanges(ClientMetadata.toJson(requested), document),
    deviations
  })
}

/**
 * The part of a client's configuration that a registration determines.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly clientId: string
  readonly authentication: ClientAuthentication.Service
}

/**
 * Options of the client that a registration gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions extends ClientAuthentication.PrivateKeyJwtOptions {
  /** The keys of a `private_key_jwt` client. */
  readonly signingKeys?: SigningKeys.Service | undefined
  readonly encoding?: ClientAuthentication.BasicOptions["encoding"]
}

const methodOf = ({ clientSecret, metadata }: RegisteredClient, { signingKeys }: ClientOptions): string =>
  metadata.tokenEndpointAuthMethod ??
    (clientSecret !== undefined ? "client_secret_basic" : signingKeys !== undefined ? "private_key_jwt" : "none")

/**
 * The client id and the authentication for a client's configuration. Where the server does not return
 * `token_endpoint_auth_method`, a secret means `client_secret_basic` (the default of RFC 7591), signing keys mean
 * `private_key_jwt`, and neither means a public client.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toClient = (
  self: RegisteredClient,
  options: ClientOptions = {}
): Effect.Effect<Client, ConfigurationError> => {
  const { clientId, clientSecret } = self
  const { encoding, signingKeys } = options
  const client = (authentication: ClientAuthentication.Service): Client => ({ clientId, authentication })
  const withSecret = (make: (secret: Redacted.Redacted) => ClientAuthentication.Service) =>
    clientSecret === undefined
      ? configurationError(
        "Missing",
        ["clientSecret"],
        "the registered method needs a secret; the server returned none"
      )
      : Effect.succeed(client(make(clientSecret)))
  switch (methodOf(self, options)) {
    case "none":
      return Effect.succeed(client(ClientAuthentication.makePublic))
    case "client_secret_basic":
      return withSecret((clientSecret) => ClientAuthentication.makeClientSecretBasic({ clientSecret, encoding }))
    case "client_secret_post":
      return withSecret((clientSecret) => ClientAuthentication.makeClientSecretPost({ clientSecret }))
    case "private_key_jwt":
      return signingKeys === undefined
        ? configurationError(
          "Missing",
          ["signingKeys"],
          "the server registered private_key_jwt: give the keys to sign with"
        )
        : ClientAuthentication.makePrivateKeyJwt(options).pipe(
          Effect.provideService(SigningKeys.SigningKeys, signingKeys),
          Effect.map(client)
        )
    default:
      return configurationError(
        "Invalid",
        ["tokenEndpointAuthMethod"],
        "the server registered a method that this library does not support; request private_key_jwt or client_secret_basic"
      )
  }
}
