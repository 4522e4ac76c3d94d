/**
 * Verifies id_tokens before their claims are used (OpenID Connect Core, section 3.1.3.7; SMART App Launch 2.2,
 * requirements 201, 210 and 218): signature, issuer, audience, time and nonce.
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
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import { equal } from "../base/ConstantTime.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import * as Jose from "../base/Jose.js"
import type { JsonObject } from "../base/JsonReader.js"
import { isJsonObject, parseJson, withoutDeepMembers } from "../base/JsonReader.js"
import { construct } from "../base/SchemaFields.js"
import { span } from "../base/Span.js"
import { layerRegistry, type Registry } from "../http/PerHttpClient.js"
import { safeText } from "../http/Redaction.js"
import * as Jwks from "../server/Jwks.js"
import type { MetadataError } from "../server/MetadataError.js"
import * as OpenIdConfiguration from "../server/OpenIdConfiguration.js"
import type { SmartConfiguration } from "../server/SmartConfiguration.js"
import { Identity, parseFhirUser } from "./Identity.js"
import { IdTokenError } from "./IdTokenError.js"
import type { Algorithm } from "./internal/idTokenHeader.js"
import { ALGORITHMS, listOf, notAllowed, parseHeader } from "./internal/idTokenHeader.js"
import type { Warn } from "./LaunchContext.js"

export type { Algorithm } from "./internal/idTokenHeader.js"

/**
 * Additional rules for the id_tokens of a server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Policy {
  /**
   * Whether an id_token without the nonce of the request is an error (`required`) or a warning, because SMART does not
   * require servers to repeat it. Default `optional`.
   */
  readonly nonce?: "required" | "optional" | undefined
  /** The accepted difference between the clocks of server and client. Default 60 seconds. */
  readonly clockSkew?: Duration.DurationInput | undefined
  /** Default: all, with a warning for one that the server's OpenID metadata does not list. */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** Audiences that are accepted in addition to this client. Default: none. */
  readonly trustedAudiences?: ReadonlyArray<string> | undefined
  /** The issuer, if the SMART configuration of the server does not have it. */
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
  /** The SMART configuration of the server, which names the issuer and its keys. */
  readonly configuration: SmartConfiguration
  /** The expected `aud`. */
  readonly clientId: string
  /** Default: the rules of SMART without additions. */
  readonly policy?: Policy | undefined
  /** The nonce of the authorization request. */
  readonly nonce?: Redacted.Redacted | undefined
  /** The `max_age` of the authorization request, in seconds. */
  readonly maxAge?: number | undefined
  /** Whether the scope `fhirUser` was granted: its absence causes a warning. Default false. */
  readonly fhirUser?: boolean | undefined
  /** Whether it is from a refresh, where the nonce is optional (OpenID Connect Core, section 12.2). Default false. */
  readonly renewal?: boolean | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * The issuer of a server's id_tokens and its keys.
 *
 * @since 0.1.0
 * @category models
 */
export interface Provider {
  readonly issuer: string
  readonly jwksUri: string
  /** The algorithms that the server's OpenID metadata lists, if it was read. */
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
   * The issuer and its keys, from the server's metadata and never from a token. `None` if the metadata does not have
   * them: then no id_token can be verified.
   */
  readonly provider: (request: Omit<Request, "clientId">) => Effect.Effect<Option.Option<Provider>, IdTokenError>
  /** The person, if the id_token is valid. `None` if the server publishes no keys. */
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

const utf8 = new TextDecoder()

const keyReason = (reason: MetadataError["reason"]): IdTokenError["reason"] =>
  reason === "ModuleUnavailable"
    ? reason
    : reason === "NoSuchKey"
    ? "KeyNotFound"
    : reason === "AmbiguousKey"
    ? "KeyAmbiguous"
    : "KeysUnavailable"

/** Validates the claims of an id_token with a valid signature (OpenID Connect Core, section 3.1.3.7). */
const validateClaims = (
  claims: JsonObject,
  request: Request,
  issuer: string,
  now: number,
  warn: Warn
): Either.Either<Identity, IdTokenError> => {
  const { clientId, configuration, maxAge, nonce, policy, renewal, server } = request
  const skew = Duration.toSeconds(policy?.clockSkew ?? "60 seconds")
  const trustedAudiences = policy?.trustedAudiences ?? []
  const fail = (reason: IdTokenError["reason"], detail: string, claim?: string) =>
    Either.left(new IdTokenError({ reason, server, detail, claim }))
  const has = (claim: string): boolean => Object.hasOwn(claims, claim) && claims[claim] !== null
  const missing = ["iss", "sub", "aud", "exp", "iat"].find((claim) => !has(claim))
  if (missing !== undefined) return fail("ClaimMissing", `it has no ${missing}`, missing)
  const notNumber = ["exp", "iat", "nbf", "auth_time"].find((claim) => has(claim) && !Number.isFinite(claims[claim]))
  if (notNumber !== undefined) return fail("ClaimMalformed", `its ${notNumber} is not a number`, notNumber)
  const { aud, azp, fhirUser, iss, sub } = claims
  /** Not a number, which no comparison is true for, if the claim is absent. */
  const time = (claim: string): number => Number(claims[claim] ?? NaN)

  if (iss !== issuer) {
    const slash = iss === `${issuer}/` || `${String(iss)}/` === issuer
    const difference = slash ? "; they differ in a slash at the end" : ""
    return fail("IssuerMismatch", `its iss is not "${safeText(issuer, [], 200)}"${difference}`, "iss")
  }
  const audiences: ReadonlyArray<unknown> = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(clientId)) return fail("AudienceMismatch", "its aud is not this client", "aud")
  if (audiences.some((one) => one !== clientId && !trustedAudiences.some((trusted) => trusted === one))) {
    return fail("AudienceMismatch", "its aud has audiences other than this client", "aud")
  }
  if (has("azp") ? azp !== clientId : audiences.length > 1) {
    const detail = has("azp") ? "its azp is not this client" : "it has several aud and no azp"
    return fail("AuthorizedPartyMismatch", detail, "azp")
  }
  if (time("exp") <= now - skew) return fail("Expired", "its exp has passed", "exp")
  if (time("iat") > now + skew) return fail("IssuedInFuture", "its iat is in the future", "iat")
  if (time("nbf") > now + skew) return fail("NotYetValid", "its nbf is in the future", "nbf")
  // Printable ASCII, the usual meaning of "ASCII characters" in an identifier.
  if (typeof sub !== "string" || !/^[\x20-\x7e]{1,255}$/.test(sub)) {
    return fail("SubjectInvalid", "its sub is not a string of 1 to 255 ASCII characters", "sub")
  }
  if (nonce !== undefined) {
    const received = claims["nonce"]
    if (!has("nonce")) {
      if (renewal !== true && policy?.nonce === "required") return fail("NonceMissing", "it has no nonce", "nonce")
      if (renewal !== true) warn("IdTokenNonceMissing", "the id_token does not repeat the nonce of the request")
    } else if (typeof received !== "string" || !equal(received, Redacted.value(nonce))) {
      return fail("NonceMismatch", "its nonce is not that of the request", "nonce")
    }
  }
  if (maxAge !== undefined) {
    if (!has("auth_time")) return fail("ClaimMissing", "it has no auth_time, which max_age requires", "auth_time")
    if (now - time("auth_time") > maxAge + skew) {
      return fail("AuthenticationTooOld", "the person logged in longer ago than max_age allows", "auth_time")
    }
  }

  const user = typeof fhirUser === "string" ? parseFhirUser(fhirUser, configuration.fhirBaseUrl) : undefined
  if (user === undefined && has("fhirUser")) {
    warn("FhirUserMalformed", "fhirUser is not a reference to a person's resource; it counts as absent", "199")
  } else if (user === undefined && request.fhirUser === true) {
    warn("FhirUserMissing", "fhirUser was granted and is not in the id_token")
  }
  return Either.right(construct(Identity, { iss: issuer, sub, fhirUser: user, claims: Redacted.make(claims) }))
}

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
      const issuer = policy?.issuer ?? configuration.issuer
      const own = issuer === configuration.issuer ? configuration.jwksUri : undefined
      if (issuer !== undefined && own !== undefined) return Effect.succeedSome({ issuer, jwksUri: own })
      // Some servers have the issuer in the OpenID metadata only: then it must be the FHIR base URL, which is trusted.
      return openId.metadata(issuer ?? configuration.fhirBaseUrl, { allowInsecureLocalhost }).pipe(
        Effect.map(({ idTokenSigningAlgValuesSupported: algorithms, issuer, jwksUri = own }) =>
          jwksUri === undefined ? Option.none() : Option.some({ issuer, jwksUri, algorithms })
        ),
        Effect.catchAll((error) =>
          issuer === undefined || error.reason === "NotFound"
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
        const { policy, server } = request
        const fail = (reason: IdTokenError["reason"], detail: string) => new IdTokenError({ reason, server, detail })
        const found = yield* provider(request)
        if (Option.isNone(found)) return Option.none<Identity>()
        const { algorithms, issuer, jwksUri } = found.value
        const token = Redacted.value(idToken)
        const jose = yield* Jose.load((detail) => fail("ModuleUnavailable", detail))
        const { alg, kid } = yield* Either.mapLeft(parseHeader(jose, token), (detail) => fail("Malformed", detail))
        const allowed = ALGORITHMS.find((one) => one === alg && (policy?.algorithms ?? ALGORITHMS).includes(one))
        if (allowed === undefined) {
          return yield* fail("AlgorithmNotAllowed", notAllowed(alg, policy?.algorithms, algorithms))
        }
        const key = yield* jwks.find(jwksUri, { alg: allowed, kid }, request).pipe(
          Effect.mapError(({ detail, reason, url }) =>
            fail(keyReason(reason), `no key of the server at ${url} (${reason}): ${detail}`)
          )
        )
        const { payload } = yield* Effect.tryPromise({
          try: () => jose.compactVerify(token, key, { algorithms: [allowed] }),
          // An error of jose may contain the payload: it is dropped.
          catch: () => fail("SignatureInvalid", "the server's key does not verify its signature")
        })
        const json = parseJson(utf8.decode(payload))?.value
        if (!isJsonObject(json)) return yield* fail("Malformed", "its payload is not a JSON object")
        // A claim that cannot be stored counts as absent.
        const claims = withoutDeepMembers(json, () => undefined)
        const deviations: Array<ConformanceWarning> = []
        const warn: Warn = (code, detail, requirement) => {
          deviations.push(new ConformanceWarning({ code, server, detail, requirement }))
        }
        const now = (yield* Clock.currentTimeMillis) / 1000
        const identity = yield* validateClaims(claims, request, issuer, now, warn)
        // The server's key has signed it: the list is incomplete.
        if (policy?.algorithms === undefined && algorithms !== undefined && !algorithms.includes(allowed)) {
          const listed = `id_token_signing_alg_values_supported lists ${listOf(algorithms)}`
          warn("IdTokenAlgorithmUnlisted", `the id_token is signed with ${allowed}; ${listed}`)
        }
        for (const deviation of deviations) yield* warnings.report(deviation)
        return Option.some(identity)
      }).pipe(
        failOnDefect((exception) => {
          const detail = `its validation ended with an exception (${exception})`
          return new IdTokenError({ reason: "Malformed", server: request.server, detail })
        }),
        span("IdToken.verify", { attributes: { "smart.server": request.server } })
      )

    return { provider, verify }
  }
)

/**
 * With key sets and metadata that you provide, such as a `Jwks` with another cool-down.
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
 * With the key sets and the metadata of its `HttpClient`.
 *
 * @internal
 */
export const shared: Effect.Effect<Service, never, Registry | HttpClient.HttpClient> = Effect.gen(function*() {
  return yield* make.pipe(
    Effect.provideService(Jwks.Jwks, yield* Jwks.shared.service({})),
    Effect.provideService(OpenIdConfiguration.OpenIdConfiguration, yield* OpenIdConfiguration.shared.service({}))
  )
})

/**
 * With the key sets and the metadata of its `HttpClient`: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (): Layer.Layer<IdToken, never, HttpClient.HttpClient> =>
  Layer.provide(Layer.effect(IdToken, shared), layerRegistry)
