/**
 * The keys a server signs with: its JSON Web Key Set (RFC 7517; SMART App Launch 2.2, requirements 207 and 208), fetched through the caller's
 * `HttpClient`, kept by URL, and fetched once more where a signature names a key that is not in it.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as jose from "jose"
import type { JsonObject } from "../base/JsonReader.js"
import { isJsonObject } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as documents from "./documents.js"
import { MetadataError } from "./MetadataError.js"

/**
 * What a signature says of its key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Header {
  readonly alg: string
  readonly kid?: string | undefined
}

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
  /**
   * The one public key of the set that fits: by `kid` where the signature has one, and by what the key says of its type, algorithm and use. Several
   * that fit are as bad as none.
   */
  readonly find: (jwksUri: string, header: Header, request?: Request) => Effect.Effect<jose.CryptoKey, MetadataError>
  /** Forgets the set: whoever asks next fetches it anew. */
  readonly invalidate: (jwksUri: string) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Jwks extends Context.Tag("effect-safire/Jwks")<Jwks, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a set is good whose answer does not say. Default 15 minutes; an answer's own word counts between 1 minute and 1 day. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** A set is not fetched again for an unknown `kid` until this time has passed, whatever comes in. Default 1 minute. */
  readonly cooldown?: Duration.DurationInput | undefined
  /** A set with more keys is refused. Default 100. */
  readonly maxKeys?: number | undefined
  /** How many sets are kept. Default 1,000. */
  readonly capacity?: number | undefined
}

type KeySet = (header: Header) => Effect.Effect<jose.CryptoKey, "NoSuchKey" | "AmbiguousKey" | "UnusableKey">

const ASYMMETRIC: ReadonlySet<unknown> = new Set(["RSA", "EC", "OKP"])

/** Keys of other kinds are none of our business: some servers publish encryption keys, or what is still to be invented. */
const isAsymmetric = (key: unknown): key is JsonObject => isJsonObject(key) && ASYMMETRIC.has(key["kty"])

/** All that selecting and importing a key looks at. `d` is among them, so that a private key is recognised and not used. */
const TEXTS = ["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e", "d"]

const isOperations = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.length <= 20 && value.every((one) => typeof one === "string")

/** The key without members that nothing here reads: they may nest without end. One with a member of the wrong type is not used. */
const plainKey = (key: JsonObject): ReadonlyArray<jose.JWK> => {
  const texts = TEXTS.flatMap((member) => Object.hasOwn(key, member) ? [[member, key[member]] as const] : [])
  const operations = Object.hasOwn(key, "key_ops") ? key["key_ops"] : undefined
  if (texts.some(([, value]) => typeof value !== "string")) return []
  if (operations !== undefined && !isOperations(operations)) return []
  return [{ ...Object.fromEntries(texts), ...(operations === undefined ? {} : { key_ops: [...operations] }) }]
}

const reasonOf = (error: unknown): "NoSuchKey" | "AmbiguousKey" | "UnusableKey" =>
  error instanceof jose.errors.JWKSNoMatchingKey
    ? "NoSuchKey"
    : error instanceof jose.errors.JWKSMultipleMatchingKeys
    ? "AmbiguousKey"
    : "UnusableKey"

const DETAILS = {
  NoSuchKey: "none of its keys fits the signature",
  AmbiguousKey: "several of its keys fit the signature",
  UnusableKey: "the key that fits the signature is no usable public key"
}

/** The library's selection is by `kid`, type, curve, algorithm, use and operations, and refuses to choose between two. */
const keySetOf = (keys: ReadonlyArray<jose.JWK>): KeySet => {
  const resolve = jose.createLocalJWKSet({ keys: [...keys] })
  return ({ alg, kid }) =>
    Effect.tryPromise({
      try: () => resolve(kid === undefined ? { alg } : { alg, kid }),
      catch: reasonOf
    })
}

const decode = (maxKeys: number) => (members: JsonObject, jwksUri: string): Effect.Effect<KeySet, MetadataError> => {
  const fail = (reason: "NotAKeySet" | "TooManyKeys", detail: string) =>
    new MetadataError({ subject: "Jwks", reason, url: Url.forDisplay(jwksUri), detail })
  const keys = members["keys"]
  if (!Array.isArray(keys)) return fail("NotAKeySet", "it has no array of keys")
  if (keys.length > maxKeys) return fail("TooManyKeys", `it has ${keys.length} keys`)
  return Effect.succeed(keySetOf(keys.filter(isAsymmetric).flatMap(plainKey)))
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const cooldown = Duration.toMillis(options.cooldown ?? "1 minute")
    const sets = yield* documents.make({
      subject: "Jwks",
      client: OutgoingRequest.prepare(yield* HttpClient.HttpClient),
      accept: "application/jwk-set+json, application/json;q=0.9",
      capacity: options.capacity ?? 1_000,
      timeToLive: options.timeToLive ?? "15 minutes",
      minTimeToLive: "1 minute",
      maxTimeToLive: "1 day",
      urls: (jwksUri) => [jwksUri],
      decode: decode(options.maxKeys ?? 100)
    })
    // When each set was last asked for because of an unknown key, successfully or not.
    const asked = new Map<string, number>()
    const asking = new Set<string>()

    const mayAsk = (jwksUri: string, fetchedAt: number, now: number): boolean => {
      // Whoever meets a new key while it is being asked for waits for the same answer.
      if (asking.has(jwksUri)) return true
      if (now - Math.max(fetchedAt, asked.get(jwksUri) ?? -Infinity) < cooldown) return false
      if (asked.size >= 1_000) asked.clear()
      asked.set(jwksUri, now)
      return true
    }

    return {
      find: (jwksUri, header, request) =>
        Effect.gen(function*() {
          const { fetchedAt, value: keys } = yield* sets.get(jwksUri, request)
          const error = (reason: "NoSuchKey" | "AmbiguousKey" | "UnusableKey") =>
            new MetadataError({ subject: "Jwks", reason, url: Url.forDisplay(jwksUri), detail: DETAILS[reason] })
          return yield* Effect.catchAll(keys(header), (reason) =>
            Effect.gen(function*() {
              const now = yield* Clock.currentTimeMillis
              if (reason !== "NoSuchKey" || !mayAsk(jwksUri, fetchedAt, now)) return yield* error(reason)
              asking.add(jwksUri)
              const { value: newKeys } = yield* Effect.ensuring(
                sets.refetch(jwksUri, request),
                Effect.sync(() => asking.delete(jwksUri))
              )
              return yield* Effect.mapError(newKeys(header), error)
            }))
        }),
      invalidate: sets.forget
    }
  })

const shared = perHttpClient(Jwks, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Jwks, never, HttpClient.HttpClient> => shared(options)
