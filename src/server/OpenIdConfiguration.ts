/**
 * The OpenID Connect metadata of an issuer: the document at `[issuer]/.well-known/openid-configuration` (OpenID Connect
 * Discovery 1.0, section 4), or where that is missing, of RFC 8414, section 3. Fetched only where `openid` needs it.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type JsonObject, reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as metadataDocument from "./internal/metadataDocument.js"
import { MetadataError } from "./MetadataError.js"

const Text = Schema.optional(Schema.String)

/**
 * The members that a SMART client uses. A malformed member counts as absent, except for `issuer`.
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
 * Options of one call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * Fetches and caches OpenID configurations. Failures are `MetadataError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The metadata of an issuer, cached while fresh. Another `issuer` in it, compared as a string, is an error. */
  readonly metadata: (issuer: string, request?: Request) => Effect.Effect<Metadata, MetadataError>
  /** Removes the metadata from the cache: the next call fetches them. */
  readonly invalidate: (issuer: string) => Effect.Effect<void>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class OpenIdConfiguration
  extends Context.Tag("effect-safire/OpenIdConfiguration")<OpenIdConfiguration, Service>()
{}

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How long a response without `Cache-Control` and `Expires` is fresh. Default 1 hour; their bounds are 1 minute and
   * 1 day.
   */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** How many documents are cached. Default 1,000. */
  readonly capacity?: number | undefined
}

/** OpenID Connect appends its path to the issuer, RFC 8414 inserts its own between host and path. */
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
  const received = string("issuer")
  if (received !== issuer) {
    return new MetadataError({
      subject: "OpenIdConfiguration",
      reason: "IssuerMismatch",
      url: Url.forDisplay(issuer),
      detail: received === undefined
        ? "the document has no issuer"
        : received === `${issuer}/` || `${received}/` === issuer
        ? "the issuer in the document differs in a slash at the end"
        : "the document has another issuer"
    })
  }
  return Effect.succeed(
    new Metadata({
      issuer: received,
      jwksUri: url("jwks_uri"),
      userinfoEndpoint: url("userinfo_endpoint"),
      endSessionEndpoint: url("end_session_endpoint"),
      idTokenSigningAlgValuesSupported: strings("id_token_signing_alg_values_supported")
    })
  )
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.map(
    metadataDocument.make({
      subject: "OpenIdConfiguration",
      accept: "application/json",
      capacity: options.capacity ?? 1_000,
      timeToLive: options.timeToLive,
      urls: urlsOf,
      decode
    }),
    (documents) => ({ metadata: documents.get, invalidate: documents.invalidate })
  )

/** @internal */
export const shared = perHttpClient(OpenIdConfiguration, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see
 * `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<OpenIdConfiguration, never, HttpClient.HttpClient> =>
  shared.layer(options)
