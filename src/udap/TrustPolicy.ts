/**
 * Whom a program trusts: the anchors of each trust community, and what counts as revoked (UDAP Security STU2, section
 * 7.1; RFC 5280). A chain is trusted if it leads to an anchor of the community by the rules of RFC 5280 and none of its
 * certificates has ended or is revoked.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import { span } from "../base/Span.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as certificates from "./internal/certificate.js"
import {
  type Community,
  communityProblem,
  loadCommunity,
  type LoadedCommunity,
  noSuchCommunity
} from "./internal/communities.js"
import * as paths from "./internal/path.js"
import * as revocations from "./internal/revocation.js"
import { type Problems, TrustError } from "./TrustError.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Community,
  /**
   * @since 0.1.0
   * @category models
   */
  Encoded
} from "./internal/communities.js"

/**
 * The communities that the app trusts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The trust communities by their URIs, as they go into `?community=` of a discovery request. */
  readonly communities: Readonly<Record<string, Community>>
  /**
   * How far this machine's clock may be behind: the start of a validity may lie that far ahead. Ends are exact. Default
   * 1 minute.
   */
  readonly clockSkew?: Duration.DurationInput | undefined
  /** A larger CRL is refused while it is read. Default 16 MiB. */
  readonly maxCrlBytes?: number | undefined
  /**
   * A CRL or OCSP response that was fetched is kept until it ends, and asked for anew once it is this old. Default 1
   * day.
   */
  readonly revocationMaxAge?: Duration.DurationInput | undefined
  /** Fetch CRLs and OCSP responses from loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * A chain that is trusted, and until when that is so without looking again.
 *
 * @since 0.1.0
 * @category models
 */
export interface TrustedChain {
  readonly community: string
  /** The subjects of the path, from the certificate in question to the anchor. */
  readonly path: ReadonlyArray<string>
  /** The certificate in question, as DER. */
  readonly certificate: Uint8Array
  /** The URIs of its subject alternative name. */
  readonly uris: ReadonlyArray<string>
  /** Milliseconds since 1970: the earliest end of a certificate, CRL or OCSP response. */
  readonly validUntil: number
}

/**
 * The certificates to validate.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** The name of the chain, for errors, such as a FHIR base URL. */
  readonly subject: string
  /** The community whose anchors are used. Optional where only one community is configured. */
  readonly community?: string | undefined
}

/**
 * Validates the certificates of a community. Failures are `TrustError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The URIs of the communities. */
  readonly communities: ReadonlyArray<string>
  /** How far in the future a validity may start. */
  readonly clockSkew: Duration.Duration
  /**
   * Validates the first certificate of `chain`, given as DER. The others are helpers, in any order: a root among them
   * is not trusted for being there.
   */
  readonly validate: (
    chain: ReadonlyArray<Uint8Array>,
    request: Request
  ) => Effect.Effect<TrustedChain, TrustError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class TrustPolicy extends Context.Tag("effect-safire/udap/TrustPolicy")<TrustPolicy, Service>() {}

const MAX_CHAIN = 6

const failure = (request: Request, problems: Problems, community: string | undefined): TrustError =>
  new TrustError({ reason: problems[0].reason, problems, subject: request.subject, community })

/** The certificates of a chain, or all that is wrong with their encoding. */
const parseChain = (
  chain: ReadonlyArray<Uint8Array>
): Either.Either<Arr.NonEmptyReadonlyArray<certificates.Certificate>, Problems> => {
  if (chain.length > MAX_CHAIN) {
    const detail = `the chain has ${chain.length} certificates, more than ${MAX_CHAIN}`
    return Either.left([{ reason: "TooLarge", rule: "UDAP-8", detail }])
  }
  const parsed = chain.map(certificates.parse)
  const problems = parsed.flatMap((one, i) => Either.isLeft(one) ? [{ ...one.left, certificate: `x5c[${i}]` }] : [])
  const good = parsed.flatMap((one) => Either.isRight(one) ? [one.right] : [])
  if (Arr.isNonEmptyReadonlyArray(problems)) return Either.left(problems)
  return Arr.isNonEmptyReadonlyArray(good)
    ? Either.right(good)
    : Either.left([{ reason: "Malformed", rule: "UDAP-8", detail: "the chain is empty" }])
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, ConfigurationError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const loaded = yield* Effect.forEach(
      Object.entries(options.communities),
      ([uri, community]) => Effect.map(loadCommunity(uri, community), (one) => [uri, one] as const)
    )
    const communities = new Map<string, LoadedCommunity>(loaded)
    if (communities.size === 0) {
      return yield* configurationError(
        "Missing",
        ["communities"],
        "without a trust community no server is trusted; give at least one with its anchors"
      )
    }
    const clockSkew = Duration.decode(options.clockSkew ?? "1 minute")
    const skew = Duration.toMillis(clockSkew)
    const revocation = revocations.make({
      client,
      maxAge: Duration.toMillis(options.revocationMaxAge ?? "1 day"),
      rules: {
        maxBytes: options.maxCrlBytes ?? 16 * 1024 * 1024,
        allowInsecureLocalhost: options.allowInsecureLocalhost ?? false
      }
    })

    const names = [...communities.keys()]

    return {
      communities: names,
      clockSkew,
      validate: (chain, request) =>
        Effect.gen(function*() {
          const unknown = communityProblem(names, request.community)
          const uri = request.community ?? names[0] ?? ""
          const community = communities.get(uri)
          if (unknown !== undefined || community === undefined) {
            return yield* failure(request, [unknown ?? noSuchCommunity], request.community)
          }
          const parsed = parseChain(chain)
          if (Either.isLeft(parsed)) return yield* failure(request, parsed.left, uri)
          const [leaf, ...others] = parsed.right
          const times = { now: yield* Clock.currentTimeMillis, skew }
          const found = yield* paths.search(leaf, [...others, ...community.intermediates], community.anchors, times)
          if (Either.isLeft(found)) return yield* failure(request, found.left, uri)
          const path = found.right
          const outcome = community.revocation === "off"
            ? { problems: [], until: Infinity }
            : yield* revocation.check(path, community, times)
          const tolerated = community.revocation === "whenAvailable"
            ? outcome.problems.filter(({ reason }) => reason !== "Revoked")
            : []
          const problems = outcome.problems.filter((problem) => !tolerated.includes(problem))
          if (Arr.isNonEmptyReadonlyArray(problems)) return yield* failure(request, problems, uri)
          for (const { certificate, detail } of tolerated) {
            yield* Effect.logWarning(
              `${request.subject}: certificate ${certificate}: ${detail}; it is trusted all the same`
            )
          }
          return {
            community: uri,
            path: path.map(({ subject }) => subject.display),
            certificate: leaf.der,
            uris: certificates.uris(leaf),
            // A source that failed is tried again soon.
            validUntil: Math.min(
              outcome.until,
              tolerated.length > 0 ? times.now + 60_000 : Infinity,
              ...path.map(({ notAfter }) => notAfter)
            )
          }
        }).pipe(
          withPolicy,
          withLimits,
          span("TrustPolicy.validate", { attributes: { "udap.subject": request.subject } })
        )
    }
  })

/**
 * Bind it to a `const`: CRLs and OCSP responses are kept by the service that the layer makes.
 *
 * @example
 * import { TrustPolicy } from "effect-safire/udap"
 *
 * export const TrustLive = (anchor: string) =>
 *   TrustPolicy.layer({ communities: { "https://community.example.org/udap": { anchors: [anchor] } } })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<TrustPolicy, ConfigurationError, HttpClient.HttpClient> => Layer.effect(TrustPolicy, make(options))
