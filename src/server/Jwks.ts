/**
 * The public keys that a server signs with: its JSON Web Key Set (RFC 7517; SMART App Launch 2.2, requirements 207 and
 * 208), cached by URL, and fetched again where a signature has a `kid` that is not in the set.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as jose from "jose"
import * as BoundedMap from "../base/BoundedMap.js"
import * as Jose from "../base/Jose.js"
import { isJsonObject, type JsonObject } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as metadataDocument from "./internal/metadataDocument.js"
import { MetadataError } from "./MetadataError.js"

/**
 * The members of a JWS header that select a key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Header {
  readonly alg: string
  readonly kid?: string | undefined
}

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
 * Fetches and caches key sets. Failures are `MetadataError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The public key of the set that matches: by `kid` where the header has one, and by type, algorithm and use of the
   * key. More than one match is an error.
   */
  readonly find: (jwksUri: string, header: Header, request?: Request) => Effect.Effect<jose.CryptoKey, MetadataError>
  /** Removes the set from the cache: the next call fetches it. */
  readonly invalidate: (jwksUri: string) => Effect.Effect<void>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Jwks extends Context.Tag("effect-safire/Jwks")<Jwks, Service>() {}

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How long a response without `Cache-Control` and `Expires` is fresh. Default 15 minutes; bounds 1 minute and 1
   * day.
   */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** The least time between two requests for one set because of an unknown `kid`. Default 1 minute. */
  readonly cooldown?: Duration.DurationInput | undefined
  /** A set with more keys is refused. Default 100. */
  readonly maxKeys?: number | undefined
  /** How many sets are cached. Default 1,000. */
  readonly capacity?: number | undefined
}

type KeyProblem = "NoSuchKey" | "AmbiguousKey" | "UnusableKey"

interface KeySet {
  readonly find: (header: Header) => Effect.Effect<jose.CryptoKey, KeyProblem>
  readonly fetchedAt: number
}

const ASYMMETRIC: ReadonlySet<unknown> = new Set(["RSA", "EC", "OKP"])

/** Other types of key are ignored. */
const isAsymmetric = (key: unknown): key is JsonObject => isJsonObject(key) && ASYMMETRIC.has(key["kty"])

/** The members that select and import a key. `d` is included so that a private key is recognised and refused. */
const STRING_MEMBERS = ["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e", "d"]

/**
 * The key without its other members, which may nest deeply. A key with a member of the wrong type is ignored, and one
 * whose operations do not include `verify`. Other operations are left out: `jose` cannot import a public key for them.
 */
const plainKey = (key: JsonObject): ReadonlyArray<jose.JWK> => {
  const plain: Record<string, unknown> = {}
  for (const member of STRING_MEMBERS) {
    if (!Object.hasOwn(key, member)) continue
    const value = key[member]
    if (typeof value !== "string") return []
    plain[member] = value
  }
  if (!Object.hasOwn(key, "key_ops")) return [plain]
  const operations = key["key_ops"]
  return Array.isArray(operations) && operations.includes("verify") ? [plain] : []
}

const keyProblem = (errors: Jose.Jose["errors"]) => (error: unknown): KeyProblem =>
  error instanceof errors.JWKSNoMatchingKey
    ? "NoSuchKey"
    : error instanceof errors.JWKSMultipleMatchingKeys
    ? "AmbiguousKey"
    : "UnusableKey"

const DETAILS = {
  NoSuchKey: "none of its keys matches the signature",
  AmbiguousKey: "several of its keys match the signature",
  UnusableKey: "the key that matches the signature is not a usable public key"
}

/** `jose` selects by `kid`, type, curve, algorithm, use and operations, and fails where two keys match. */
const makeKeySet = (
  { createLocalJWKSet, errors }: Jose.Jose,
  keys: ReadonlyArray<jose.JWK>,
  fetchedAt: number
): KeySet => {
  const resolve = createLocalJWKSet({ keys: [...keys] })
  // Only headers that select a key, of which a set has a few.
  const found = new Map<string, jose.CryptoKey>()
  return {
    fetchedAt,
    find: ({ alg, kid }) => {
      const header = kid === undefined ? alg : `${alg} ${kid}`
      const known = found.get(header)
      if (known !== undefined) return Effect.succeed(known)
      return Effect.map(
        Effect.tryPromise({
          try: () => resolve(kid === undefined ? { alg } : { alg, kid }),
          catch: keyProblem(errors)
        }),
        (key) => {
          found.set(header, key)
          return key
        }
      )
    }
  }
}

const decode =
  (maxKeys: number) =>
  (members: JsonObject, jwksUri: string, fetchedAt: number): Effect.Effect<KeySet, MetadataError> => {
    const fail = (reason: "NotAKeySet" | "TooManyKeys" | "ModuleUnavailable", detail: string) =>
      new MetadataError({ subject: "Jwks", reason, url: Url.forDisplay(jwksUri), detail })
    const keys = members["keys"]
    if (!Array.isArray(keys)) return fail("NotAKeySet", "it has no array of keys")
    if (keys.length > maxKeys) return fail("TooManyKeys", `it has ${keys.length} keys`)
    return Effect.map(
      Jose.load((detail) => fail("ModuleUnavailable", detail)),
      (functions) => makeKeySet(functions, keys.filter(isAsymmetric).flatMap(plainKey), fetchedAt)
    )
  }

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const cooldown = Duration.toMillis(options.cooldown ?? "1 minute")
    const sets = yield* metadataDocument.make({
      subject: "Jwks",
      accept: "application/jwk-set+json, application/json;q=0.9",
      capacity: options.capacity ?? 1_000,
      timeToLive: options.timeToLive ?? "15 minutes",
      urls: (jwksUri) => [jwksUri],
      decode: decode(options.maxKeys ?? 100)
    })
    // When each set was last fetched because of an unknown key, successfully or not.
    const refetchedAt = BoundedMap.make<number>(1_000)
    const refetching = new Set<string>()

    const mayRefetch = (jwksUri: string, fetchedAt: number, now: number): boolean => {
      // Joins the request under way.
      if (refetching.has(jwksUri)) return true
      if (now - Math.max(fetchedAt, refetchedAt.get(jwksUri) ?? -Infinity) < cooldown) return false
      refetchedAt.set(jwksUri, now)
      return true
    }

    const find: Service["find"] = (jwksUri, header, request) =>
      Effect.flatMap(
        sets.get(jwksUri, request),
        (set) =>
          Effect.catchAll(set.find(header), (problem) =>
            Effect.gen(function*() {
              const errorOf = (reason: KeyProblem) =>
                new MetadataError({ subject: "Jwks", reason, url: Url.forDisplay(jwksUri), detail: DETAILS[reason] })
              const now = yield* Clock.currentTimeMillis
              if (problem !== "NoSuchKey" || !mayRefetch(jwksUri, set.fetchedAt, now)) return yield* errorOf(problem)
              refetching.add(jwksUri)
              const newSet = yield* Effect.ensuring(
                sets.refresh(jwksUri, request),
                Effect.sync(() => refetching.delete(jwksUri))
              )
              return yield* Effect.mapError(newSet.find(header), errorOf)
            }))
      )

    return { find, invalidate: sets.invalidate }
  })

/** @internal */
export const shared = perHttpClient(Jwks, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see
 * `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Jwks, never, HttpClient.HttpClient> => shared.layer(options)
