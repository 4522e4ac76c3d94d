/**
 * A client as a server knows it (RFC 7591, section 3.2.1). Keep it where secrets are kept: encoded, it holds the client's secret in clear.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ConfigurationError } from "../base/ConfigurationError.js"
import type { JsonObject } from "../base/JsonReader.js"
import { reader, withoutDeepMembers } from "../base/JsonReader.js"
import * as ClientAuthentication from "./ClientAuthentication.js"
import type { ClientMetadata as Metadata } from "./ClientMetadata.js"
import * as ClientMetadata from "./ClientMetadata.js"
import * as SigningKeys from "./SigningKeys.js"

const Secret = Schema.optional(Schema.Redacted(Schema.String))

/**
 * @since 0.1.0
 * @category models
 */
export class RegisteredClient extends Schema.Class<RegisteredClient>("effect-safire/Registered")({
  clientId: Schema.NonEmptyString,
  clientSecret: Secret,
  /** Milliseconds since 1970. */
  clientIdIssuedAt: Schema.optional(Schema.Number),
  /** Milliseconds since 1970. Absent where the secret does not expire, or the server does not say. */
  clientSecretExpiresAt: Schema.optional(Schema.Number),
  /** With `registrationClientUri`, what reads, updates and removes this registration. */
  registrationAccessToken: Secret,
  registrationClientUri: Schema.optional(Schema.String),
  metadata: ClientMetadata.ClientMetadata,
  /** What the server made of the request, member by member. */
  changed: Schema.Array(ClientMetadata.Change),
  /** Members of the answer that were malformed and count as absent. */
  deviations: Schema.Array(Schema.Struct({ member: Schema.String, expected: Schema.String }))
}) {}

/** A number, or one written as a string. */
const seconds = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined
}

/**
 * What an answer says, or nothing if it names no client. What an update or a read does not repeat stays as it was.
 *
 * @internal
 */
export const fromAnswer = (
  answer: JsonObject,
  requested: Metadata | undefined,
  before: RegisteredClient | undefined
): RegisteredClient | undefined => {
  const deviations: Array<{ readonly member: string; readonly expected: string }> = []
  const refuse = (member: string, expected: string) => {
    deviations.push({ member, expected })
  }
  const document = withoutDeepMembers(answer, refuse)
  const { string } = reader(document, refuse)
  const time = (member: string): number | undefined => {
    const value = Object.hasOwn(document, member) ? document[member] : undefined
    const number = seconds(value)
    if (number === undefined && value !== undefined && value !== null) refuse(member, "a number of seconds")
    // Beyond what a date can say, a number is no time.
    return number === undefined ? undefined : Math.min(number * 1000, 8.64e15)
  }
  const secret = (member: string): Redacted.Redacted | undefined => {
    const value = string(member)
    return value === undefined ? undefined : Redacted.make(value)
  }
  const clientId = string("client_id")
  if (clientId === undefined || clientId.trim() === "" || (before !== undefined && clientId !== before.clientId)) {
    return undefined
  }
  const clientSecret = secret("client_secret")
  const expiresAt = time("client_secret_expires_at")
  return new RegisteredClient({
    clientId,
    clientSecret: clientSecret ?? before?.clientSecret,
    clientIdIssuedAt: time("client_id_issued_at") ?? before?.clientIdIssuedAt,
    // RFC 7591: zero means never.
    clientSecretExpiresAt: expiresAt === 0
      ? undefined
      : expiresAt ?? (clientSecret === undefined ? before?.clientSecretExpiresAt : undefined),
    registrationAccessToken: secret("registration_access_token") ?? before?.registrationAccessToken,
    registrationClientUri: string("registration_client_uri") ?? before?.registrationClientUri,
    metadata: ClientMetadata.fromWire(document, refuse),
    changed: requested === undefined ? [] : ClientMetadata.changes(requested, document),
    deviations
  })
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly clientId: string
  readonly authentication: ClientAuthentication.Service
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions extends ClientAuthentication.PrivateKeyJwtOptions {
  /** What a `private_key_jwt` client signs with. */
  readonly signingKeys?: SigningKeys.Service | undefined
  readonly encoding?: ClientAuthentication.BasicOptions["encoding"]
}

const methodOf = (self: RegisteredClient, options: ClientOptions): string =>
  self.metadata.tokenEndpointAuthMethod ??
    (self.clientSecret !== undefined
      ? "client_secret_basic"
      : options.signingKeys !== undefined
      ? "private_key_jwt"
      : "none")

/**
 * What a registration comes to: the client id and the authentication to put into a client's configuration. Where the server does not say which
 * method it registered, a secret means Basic (RFC 7591's default), keys mean `private_key_jwt`, and neither a public client.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toClient = (
  self: RegisteredClient,
  options: ClientOptions = {}
): Effect.Effect<Client, ConfigurationError> => {
  const fail = (reason: ConfigurationError["reason"], field: string, detail: string) =>
    new ConfigurationError({ reason, fields: [field], detail })
  const { clientId, clientSecret } = self
  const { signingKeys } = options
  const client = (authentication: ClientAuthentication.Service): Client => ({ clientId, authentication })
  const withSecret = (make: (secret: Redacted.Redacted) => ClientAuthentication.Service) =>
    clientSecret === undefined
      ? fail("Missing", "clientSecret", "the server registered a method that needs a secret, and gave none")
      : Effect.succeed(client(make(clientSecret)))
  switch (methodOf(self, options)) {
    case "none":
      return Effect.succeed(client(ClientAuthentication.makePublic))
    case "client_secret_basic":
      return withSecret((clientSecret) =>
        ClientAuthentication.makeClientSecretBasic({ clientSecret, encoding: options.encoding })
      )
    case "client_secret_post":
      return withSecret((clientSecret) => ClientAuthentication.makeClientSecretPost({ clientSecret }))
    case "private_key_jwt":
      return signingKeys === undefined
        ? fail("Missing", "signingKeys", "the server registered private_key_jwt, which needs keys to sign with")
        : ClientAuthentication.makePrivateKeyJwt(options).pipe(
          Effect.provideService(SigningKeys.SigningKeys, signingKeys),
          Effect.map(client)
        )
    default:
      return fail(
        "Invalid",
        "tokenEndpointAuthMethod",
        "the server registered a method that this library does not speak; ask for private_key_jwt or client_secret_basic"
      )
  }
}
