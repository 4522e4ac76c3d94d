/**
 * The floor beneath the launch, see `floor.ts`: the id_token of a launch that requested `openid`. A chunk that is
 * loaded on demand, with `jose`.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from "jose"
import { parseJson } from "../../src/base/JsonReader.js"
import { construct } from "../../src/base/SchemaFields.js"
import { HttpLimits } from "../../src/http/HttpLimits.js"
import type { PendingAuthorization } from "../../src/launch/PendingAuthorization.js"
import { Identity, parseFhirUser } from "../../src/token/Identity.js"
import { IdTokenError } from "../../src/token/IdTokenError.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { send } from "./floorSend.js"

const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]

const CODES: Readonly<Record<string, IdTokenError["reason"]>> = {
  ERR_JWT_EXPIRED: "Expired",
  ERR_JOSE_ALG_NOT_ALLOWED: "AlgorithmNotAllowed",
  ERR_JWKS_NO_MATCHING_KEY: "KeyNotFound",
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: "KeyAmbiguous",
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: "SignatureInvalid"
}

const CLAIMS: Readonly<Record<string, IdTokenError["reason"]>> = {
  iss: "IssuerMismatch",
  aud: "AudienceMismatch",
  nbf: "NotYetValid",
  iat: "IssuedInFuture",
  sub: "SubjectInvalid"
}

export const verify = (
  tokens: TokenSet,
  pending: PendingAuthorization,
  clientId: string,
  jwksUri: string,
  allowInsecureLocalhost: boolean
): Effect.Effect<TokenSet, IdTokenError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const { fhirBaseUrl, issuer, maxAge, nonce, server } = pending
    const failure = (reason: IdTokenError["reason"], detail: string, claim?: string) =>
      new IdTokenError({ reason, server, detail, claim, tokens: Redacted.make(tokens) })
    if (tokens.idToken === undefined) return tokens
    const idToken = Redacted.value(tokens.idToken)
    const limits = yield* HttpLimits
    const response = yield* Effect.mapError(
      send(HttpClientRequest.get(jwksUri, { acceptJson: true }), {
        timeout: limits.discoveryTimeout,
        maxBytes: limits.maxResponseBytes,
        redirects: 3,
        allowInsecureLocalhost
      }),
      ({ detail }) => failure("KeysUnavailable", detail)
    )
    const now = yield* DateTime.nowAsDate
    const { payload } = yield* Effect.tryPromise({
      try: () =>
        jwtVerify(idToken, createLocalJWKSet(parseJson(response.body)?.value as JSONWebKeySet), {
          issuer: issuer ?? fhirBaseUrl,
          audience: clientId,
          algorithms: ALGORITHMS,
          clockTolerance: 60,
          requiredClaims: ["iss", "sub", "aud", "exp", "iat"],
          currentDate: now
        }),
      catch: (error) => {
        const { claim, code } = error instanceof errors.JOSEError ? error as { claim?: string; code: string } : {}
        const reason = CODES[code ?? ""] ?? CLAIMS[claim ?? ""] ?? "Malformed"
        return failure(reason, `it cannot be verified (${code ?? "an exception"})`, claim)
      }
    })
    const { auth_time: authTime, azp, fhirUser, iss = "", nonce: received, sub = "" } = payload
    if (azp !== undefined && azp !== clientId) {
      return yield* failure("AuthorizedPartyMismatch", "azp is another client", "azp")
    }
    if (nonce !== undefined && received !== undefined && received !== Redacted.value(nonce)) {
      return yield* failure("NonceMismatch", "nonce is another one", "nonce")
    }
    if (maxAge !== undefined && !(typeof authTime === "number" && now.getTime() / 1000 - authTime <= maxAge + 60)) {
      return yield* failure("AuthenticationTooOld", "auth_time is too old or missing", "auth_time")
    }
    const person = typeof fhirUser === "string" ? parseFhirUser(fhirUser, fhirBaseUrl) : undefined
    const identity = construct(Identity, { iss, sub, fhirUser: person, claims: Redacted.make(payload) })
    return construct(TokenSet, { ...tokens, identity })
  })
