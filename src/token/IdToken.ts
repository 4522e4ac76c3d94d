/**
 * Verifies id_tokens before their claims are used (OpenID Connect Core, section 3.1.3.7; SMART App Launch 2.2,
 * requirements 201, 210 and 218): signed by the server, with a public key, for this client, now, and for this login.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import type { JsonObject } from "../base/JsonReader.js"
import { isJsonObject, parseJson, withoutDeepMembers } from "../base/JsonReader.js"
import { span } from "../base/Span.js"
import { safeText } from "../http/Redaction.js"
import * as Jwks from "../server/Jwks.js"
import type { MetadataError } from "../server/MetadataError.js"
import * as OpenIdConfiguration from "../server/OpenIdConfiguration.js"
import type { SmartConfiguration } from "../server/SmartConfiguration.js"
import type { Identity } from "./Identity.js"
import { IdTokenError } from "./IdTokenError.js"
import { validateClaims } from "./internal/idTokenClaims.js"

/**
 * The algorithms that prove anything: those with a public key.
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = (typeof ALGORITHMS)[number]

const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
] as const

/**
 * What is expected of a server's id_tokens beyond the rules. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  /**
   * Whether an id_token without the nonce that was sent is refused, or only warned of, because SMART does not oblige
   * servers. Default `optional`.
   */
  readonly nonce?: "required" | "optional" | undefined
  /** How far the clocks of server and client may differ. Default 60 seconds. */
  readonly clockSkew?: Duration.DurationInput | undefined
  /**
   * Default: all of them, with a warning for one that the server's OpenID metadata does not list. Given ones decide
   * alone.
   */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** Audiences that may stand beside this client. Default: none. */
  readonly trustedAudiences?: ReadonlyArray<string> | undefined
  /** The issuer, for servers whose SMART configuration does not name it. */
  readonly issuer?: string | undefined
}

/**
 * The server and the client that an id_token must be for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** The name of the server in errors and warnings. */
  readonly server: string
  readonly configuration: SmartConfiguration
  readonly clientId: string
  readonly policy?: Policy | undefined
  /** What was sent, to be repeated. */
  readonly nonce?: Redacted.Redacted | undefined
  /** `max_age`, in seconds, where it was sent. */
  readonly maxAge?: number | undefined
  /** Whether a `fhirUser` claim is due. Default false. */
  readonly fhirUser?: boolean | undefined
  /**
   * Whether it came with a refresh, where a nonce need not be repeated (OpenID Connect Core, section 12.2). Default
   * false.
   */
  readonly renewal?: boolean | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * Who signs a server's id_tokens, and with which keys.
 *
 * @since 0.1.0
 * @category models
 */
export interface Provider {
  readonly issuer: string
  readonly jwksUri: string
  /** What the server says it signs with, where its OpenID metadata was needed. */
  readonly algorithms?: ReadonlyArray<string> | undefined
}

/**
 * Verifies id_tokens (OpenID Connect Core, section 3.1.3.7). Failures are `IdTokenError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The issuer and its keys, from the server's own metadata and never from a token. None where the server does not
   * say: then no id_token can be verified.
   */
  readonly provider: (
    request: Pick<Request, "allowInsecureLocalhost" | "configuration" | "policy" | "server">
  ) => Effect.Effect<Option.Option<Provider>, IdTokenError>
  /** The person, if everything about the id_token is right. None where the server's keys are not to be known. */
  readonly verify: (
    idToken: Redacted.Redacted,
    request: Request
  ) => Effect.Effect<Option.Option<Identity>, IdTokenError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class IdToken extends Context.Tag("effect-safire/IdToken")<IdToken, Service>() {}

interface Parsed {
  readonly alg: string
  readonly kid: string | undefined
}

/** The header of a compact JWS. It is not verified, and only selects the key to try. */
const parseHeader = (token: string): Either.Either<Parsed, string> => {
  const parts = token.split(".").length
  if (parts === 5) return Either.left("it is encrypted, which this client does not ask for")
  const header = parts === 3
    ? Either.getOrUndefined(Either.try((): JsonObject => ({ ...jose.decodeProtectedHeader(token) })))
    : undefined
  if (header === undefined) return Either.left("it is not a signed JWT")
  const { alg, crit, kid, typ } = header
  if (typeof alg !== "string") return Either.left("its header has no alg")
  if (crit !== undefined) return Either.left("its header wants extensions understood")
  // Tokens of other kinds from the same issuer, with the same keys.
  if (typeof typ === "string" && /^(application\/)?(at|logout)\+jwt$/i.test(typ)) {
    return Either.left("it is a token of another kind")
  }
  return Either.right({ alg, kid: typeof kid === "string" ? kid : undefined })
}

const claimsOf = (payload: Uint8Array): JsonObject | undefined => {
  const value = parseJson(new TextDecoder().decode(payload))?.value
  // A claim that nothing can store counts as absent.
  return isJsonObject(value) ? withoutDeepMembers(value, () => undefined) : undefined
}

const listOf = (algorithms: ReadonlyArray<string>): string => safeText(algorithms.join(", "), [], 100) || "nothing"

/** An alg that this library knows, or that looks like one: a header may hold anything. */
const shownAlg = (alg: string): string => /^[A-Za-z][A-Za-z0-9]{1,15}$/.test(alg) ? alg : "something else"

const notAllowed = (
  alg: string,
  accepted: ReadonlyArray<Algorithm> | undefined,
  listed: ReadonlyArray<string> | undefined
): string =>
  `it is signed with ${shownAlg(alg)}, and ${accepted === undefined ? "accepted are" : "idToken.algorithms accepts"} ${
    listOf(accepted ?? ALGORITHMS)
  }${listed === undefined ? "" : `; the server lists ${listOf(listed)}`}`

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Jwks.Jwks | OpenIdConfiguration.OpenIdConfiguration> = Effect.gen(
  function*() {
    const jwks = yield* Jwks.Jwks
    const openId = yield* OpenIdConfiguration.OpenIdConfiguration
    const warnings = yield* ConformanceWarnings

    const provider: Service["provider"] = ({ allowInsecureLocalhost, configuration, policy, server }) => {
      const stated = policy?.issuer ?? configuration.issuer
      const own = stated === configuration.issuer ? configuration.jwksUri : undefined
      if (stated !== undefined && own !== undefined) return Effect.succeedSome({ issuer: stated, jwksUri: own })
      // Some servers say who they are in the other document alone: then the FHIR base, which is trusted, must be the
      // issuer.
      return openId.metadata(stated ?? configuration.fhirBaseUrl, { allowInsecureLocalhost }).pipe(
        Effect.map(({ idTokenSigningAlgValuesSupported: algorithms, issuer, jwksUri = own }) =>
          jwksUri === undefined ? Option.none() : Option.some({ issuer, jwksUri, algorithms })
        ),
        Effect.catchAll((error) =>
          stated === undefined || error.reason === "NotFound"
            ? Effect.succeedNone
            : new IdTokenError({
              reason: error.reason === "IssuerMismatch" ? "IssuerMismatch" : "KeysUnavailable",
              server,
              detail: `its OpenID metadata at ${error.url} cannot be used (${error.reason}): ${error.detail}`
            })
        )
      )
    }

    const verify: Service["verify"] = (idToken, request) =>
      Effect.gen(function*() {
        const { clientId, configuration, policy, server } = request
        const fail = (reason: IdTokenError["reason"], detail: string) => new IdTokenError({ reason, server, detail })
        const found = yield* provider(request)
        if (Option.isNone(found)) return Option.none<Identity>()
        const { algorithms, issuer, jwksUri } = found.value
        const token = Redacted.value(idToken)
        const { alg, kid } = yield* Either.mapLeft(parseHeader(token), (detail) => fail("Malformed", detail))
        const allowed = ALGORITHMS.find((one) => one === alg && (policy?.algorithms ?? ALGORITHMS).includes(one))
        if (allowed === undefined) {
          return yield* fail("AlgorithmNotAllowed", notAllowed(alg, policy?.algorithms, algorithms))
        }
        const key = yield* jwks.find(jwksUri, { alg: allowed, kid }, request).pipe(
          Effect.mapError((error) =>
            fail(keyReason(error), `no key of the server at ${error.url} (${error.reason}): ${error.detail}`)
          )
        )
        const { payload } = yield* Effect.tryPromise({
          try: () => jose.compactVerify(token, key, { algorithms: [allowed] }),
          // What jose throws may hold the payload: none of it is kept.
          catch: () => fail("SignatureInvalid", "its signature does not fit the server's key")
        })
        const claims = claimsOf(payload)
        if (claims === undefined) return yield* fail("Malformed", "its payload is not a JSON object")
        const { identity, warnings: met } = yield* validateClaims(claims, {
          server,
          fhirBaseUrl: configuration.fhirBaseUrl,
          issuer,
          clientId,
          trustedAudiences: policy?.trustedAudiences ?? [],
          nonce: request.nonce,
          nonceMissing: request.renewal === true ? "accepted" : policy?.nonce === "required" ? "refused" : "warned",
          maxAge: request.maxAge,
          fhirUser: request.fhirUser ?? false,
          nowSeconds: (yield* Clock.currentTimeMillis) / 1000,
          skewSeconds: Duration.toSeconds(policy?.clockSkew ?? "60 seconds")
        })
        yield* Effect.forEach(met, warnings.report, { discard: true })
        // The server's own key has signed it: what its list leaves out is a mistake in the list.
        if (policy?.algorithms === undefined && algorithms !== undefined && !algorithms.includes(allowed)) {
          yield* warnings.report(
            new ConformanceWarning({
              code: "IdTokenAlgorithmUnlisted",
              server,
              detail: `the id_token is signed with ${allowed}; id_token_signing_alg_values_supported lists ${
                listOf(algorithms)
              }`
            })
          )
        }
        return Option.some(identity)
      }).pipe(
        failOnDefect((exception) =>
          new IdTokenError({
            reason: "Malformed",
            server: request.server,
            detail: `the check of it ended unforeseen (${exception})`
          })
        ),
        span("IdToken.verify", { attributes: { "smart.server": request.server } })
      )

    return { provider, verify }
  }
)

const keyReason = (error: MetadataError): IdTokenError["reason"] =>
  error.reason === "NoSuchKey" ? "KeyNotFound" : error.reason === "AmbiguousKey" ? "KeyAmbiguous" : "KeysUnavailable"

/**
 * For callers that bring their own key sets or metadata, such as a `Jwks` with another cool-down.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutDependencies: Layer.Layer<
  IdToken,
  never,
  Jwks.Jwks | OpenIdConfiguration.OpenIdConfiguration
> = Layer.fresh(Layer.effect(IdToken, make))

/**
 * With the key sets and the metadata of its `HttpClient`: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (): Layer.Layer<IdToken, never, HttpClient.HttpClient> =>
  Layer.provide(layerWithoutDependencies, Layer.merge(Jwks.layer(), OpenIdConfiguration.layer()))
