/**
 * What an issuer says about itself for OpenID Connect: the document at `[issuer]/.well-known/openid-configuration` (OpenID Connect Discovery 1.0,
 * section 4; where there is none, RFC 8414, section 3). Needed for `openid` only, and fetched no earlier.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { JsonObject } from "../base/JsonReader.js"
import { reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as documents from "./documents.js"
import { MetadataError } from "./MetadataError.js"

const Text = Schema.optional(Schema.String)

/**
 * The members that a SMART client has a use for. What is malformed counts as absent, except for `issuer`.
 *
 * @since 0.1.0
 * @category models
 */
export class Metadata extends Schema.Class<Metadata>("effect-safire/OpenIdConfiguration/Metadata")({
  issuer: Schema.String,
  jwksUri: Text,
  userinfoEndpoint: Text,
  endSessionEndpoint: Text,
  idTokenSigningAlgValuesSupported: Schema.optional(Schema.Array(Schema.String))
}) {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The document of an issuer, from memory while it is fresh. One that names another issuer is refused: they are compared to the letter. */
  readonly metadata: (issuer: string, request?: Request) => Effect.Effect<Metadata, MetadataError>
  /** Forgets the document: whoever asks next fetches it anew. */
  readonly invalidate: (issuer: string) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class OpenIdConfiguration
  extends Context.Tag("effect-safire/OpenIdConfiguration")<OpenIdConfiguration, Service>()
{}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a document is good whose answer does not say. Default 1 hour; an answer's own word counts between 1 minute and 1 day. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** How many documents are kept. Default 1,000. */
  readonly capacity?: number | undefined
}

/** OpenID Connect appends to the issuer, RFC 8414 puts its name between host and path. */
const urlsOf = (issuer: string): ReadonlyArray<string> => {
  const url = Url.parse(issuer)
  if (url === undefined) return [issuer]
  const path = url.pathname === "/" ? "" : url.pathname
  return [
    `${issuer.endsWith("/") ? issuer.slice(0, -1) : issuer}/.well-known/openid-configuration`,
    `${url.origin}/.well-known/oauth-authorization-server${path}`
  ]
}

const decode = (members: JsonObject, issuer: string): Effect.Effect<Metadata, MetadataError> => {
  const { string, strings } = reader(members, () => undefined)
  const url = (member: string) => {
    const value = string(member)
    return value === undefined || Url.parse(value) === undefined ? undefined : value
  }
  const own = string("issuer")
  if (own !== issuer) {
    return new MetadataError({
      subject: "OpenIdConfiguration",
      reason: "IssuerMismatch",
      url: Url.forDisplay(issuer),
      detail: own === undefined
        ? "it has no issuer"
        : own === `${issuer}/` || `${own}/` === issuer
        ? "its issuer differs in a slash at the end"
        : "it names another issuer"
    })
  }
  return Effect.succeed(
    new Metadata({
      issuer: own,
      jwksUri: url("jwks_uri"),
      userinfoEndpoint: url("userinfo_endpoint"),
      endSessionEndpoint: url("end_session_endpoint"),
      idTokenSigningAlgValuesSupported: strings("id_token_signing_alg_values_supported")
    })
  )
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const kept = yield* documents.make({
      subject: "OpenIdConfiguration",
      client: OutgoingRequest.prepare(yield* HttpClient.HttpClient),
      accept: "application/json",
      capacity: options.capacity ?? 1_000,
      timeToLive: options.timeToLive ?? "1 hour",
      minTimeToLive: "1 minute",
      maxTimeToLive: "1 day",
      urls: urlsOf,
      decode
    })
    return {
      metadata: (issuer, request) => Effect.map(kept.get(issuer, request), ({ value }) => value),
      invalidate: kept.forget
    }
  })

const shared = perHttpClient(OpenIdConfiguration, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<OpenIdConfiguration, never, HttpClient.HttpClient> =>
  shared(options)
