/**
 * Verification of `private_key_jwt` assertions (SMART App Launch 2.2, "Client Authentication: Asymmetric"; RFC 7523):
 * RS384 or ES384, a lifetime of five minutes at most, one use.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as jose from "jose"
import type { Client } from "./client.js"
import { invalidClient, type OAuthError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"

/** The value of `client_assertion_type`. */
export const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const MAX_LIFETIME_SECONDS = 300

const keyTypes: Readonly<Record<string, string>> = { RS384: "RSA", ES384: "EC" }

const isJwk = (value: unknown): value is jose.JWK => Predicate.isRecord(value) && typeof value["kty"] === "string"

const maxAgeSeconds = (cacheControl: string | undefined): number => {
  if (cacheControl === undefined || /no-store|no-cache/i.test(cacheControl)) return 0
  return Number(/max-age=(\d+)/i.exec(cacheControl)?.[1] ?? 0)
}

const fetchKeys = (sandbox: Sandbox, uri: string): Effect.Effect<ReadonlyArray<jose.JWK>, OAuthError> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const cached = sandbox.jwksCache.get(uri)
    if (cached !== undefined && now < cached.expiresAt) return cached.keys
    const { httpClient } = sandbox
    if (httpClient === undefined) {
      return yield* invalidClient("the sandbox has no httpClient to fetch the client's jwksUri with")
    }
    const unavailable = () => invalidClient("the client's JWKS cannot be fetched")
    const response = yield* httpClient.execute(HttpClientRequest.get(uri, { acceptJson: true })).pipe(
      Effect.filterOrFail(({ status }) => status === 200, unavailable),
      Effect.mapError(unavailable)
    )
    const document = yield* Effect.mapError(response.json, unavailable)
    const keys = Predicate.isRecord(document) && Array.isArray(document["keys"])
      ? document["keys"].filter(isJwk)
      : yield* unavailable()
    sandbox.jwksCache.set(uri, { keys, expiresAt: now + 1000 * maxAgeSeconds(response.headers["cache-control"]) })
    return keys
  })

const decode = <A>(f: () => A): Effect.Effect<A, OAuthError> =>
  Effect.try({ try: f, catch: () => invalidClient("the client_assertion is not a JWT") })

/** The client id that an assertion claims, before it is verified. */
export const claimedClientId = (assertion: string): Effect.Effect<string, OAuthError> =>
  Effect.flatMap(
    decode(() => jose.decodeJwt(assertion)),
    ({ iss, sub }) =>
      typeof iss === "string" && iss !== "" && iss === sub
        ? Effect.succeed(iss)
        : invalidClient("iss and sub of the client_assertion must both be the client_id")
  )

/** Verifies an assertion of a client registered for `private_key_jwt`. */
export const verify = (
  sandbox: Sandbox,
  client: Client,
  assertion: string,
  audiences: ReadonlyArray<string>
): Effect.Effect<void, OAuthError> =>
  Effect.gen(function*() {
    const { authentication } = client
    if (authentication.method !== "private_key_jwt") {
      return yield* invalidClient("the client is not registered for private_key_jwt")
    }
    const header = yield* decode(() => jose.decodeProtectedHeader(assertion))
    const { alg, kid } = header
    const kty = alg === undefined ? undefined : keyTypes[alg]
    if (alg === undefined || kty === undefined) return yield* invalidClient("alg must be RS384 or ES384")
    if (header.typ !== "JWT") return yield* invalidClient("typ must be JWT")
    if (typeof kid !== "string" || kid === "") return yield* invalidClient("kid is required")
    if (header["jku"] !== undefined && header["jku"] !== authentication.jwksUri) {
      return yield* invalidClient("jku is not the registered JWKS URL")
    }

    const keys = authentication.jwksUri === undefined
      ? authentication.jwks?.keys ?? []
      : yield* fetchKeys(sandbox, authentication.jwksUri)
    const [key, ...others] = keys.filter((candidate) => candidate.kid === kid && candidate.kty === kty)
    if (key === undefined) return yield* invalidClient("no registered key has this kid")
    if (others.length > 0) return yield* invalidClient("several registered keys have this kid")
    if (key.d !== undefined) return yield* invalidClient("the registered key is a private key")

    yield* Effect.tryPromise({
      try: () => jose.importJWK(key, alg).then((imported) => jose.compactVerify(assertion, imported)),
      catch: () => invalidClient("the signature does not verify")
    })

    const claims = yield* decode(() => jose.decodeJwt(assertion))
    if (typeof claims.aud !== "string" || !audiences.includes(claims.aud)) {
      return yield* invalidClient("aud must be, as one string, the URL of the token endpoint")
    }
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const { exp, jti, nbf } = claims
    if (exp === undefined || !Number.isInteger(exp)) return yield* invalidClient("exp is required, in whole seconds")
    if (exp <= now) return yield* invalidClient("the client_assertion has expired")
    if (exp > now + MAX_LIFETIME_SECONDS) return yield* invalidClient("exp is more than five minutes ahead")
    if (nbf !== undefined && nbf > now) return yield* invalidClient("nbf is in the future")
    if (typeof jti !== "string" || jti === "") return yield* invalidClient("jti is required")
    if (!(yield* sandbox.state.acceptJti(client.clientId, jti, exp * 1000))) {
      return yield* invalidClient("this jti has been used")
    }
  })
