/**
 * Whether the certificates of a path are revoked (RFC 5280, section 6.3; RFC 6960): by CRLs that were given, then by
 * CRLs from distribution points, then by OCSP. What was fetched is kept once its signature was verified, until it ends
 * or is too old.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as pki from "pkijs"
import * as SingleFlight from "../../base/SingleFlight.js"
import type { Problem } from "../TrustError.js"
import { makeByteCache } from "./byteCache.js"
import type { Certificate } from "./certificate.js"
import * as crls from "./crl.js"
import { fetchBytes, type FetchFailure, type Rules } from "./fetchBytes.js"
import { sameName } from "./names.js"
import * as ocsp from "./ocsp.js"
import type { Times } from "./pathRules.js"

/** @internal */
export interface Options {
  readonly client: HttpClient.HttpClient
  readonly rules: Rules
  readonly maxAge: number
}

/** @internal */
export interface Policy {
  readonly crls: ReadonlyArray<crls.Crl>
  readonly mayFetch: boolean
}

/** @internal */
export interface Outcome {
  readonly problems: ReadonlyArray<Problem>
  readonly until: number
}

/** @internal */
export interface Revocation {
  /** A path is leaf first, anchor last; the anchor is not checked. */
  readonly check: (path: ReadonlyArray<Certificate>, policy: Policy, times: Times) => Effect.Effect<Outcome>
}

/** The sources of one kind that are tried for one certificate. */
const MAX_SOURCES = 2
const RETRY_MILLIS = 60_000
/** Of each kind of source. */
const CACHE_LIMITS = { entries: 1_000, bytes: 128 * 1024 * 1024 }

interface Entry<A> {
  readonly value: A
  readonly bytes: number
  readonly fetchedAt: number
}

type Failure = FetchFailure | ({ readonly _tag: "Unusable" } & crls.Unusable)

const unusable = (because: crls.Unusable): Failure => ({ _tag: "Unusable", ...because })

/** The status of a certificate in a source, or the reason why it has none. */
type SourceResult = Either.Either<crls.Status, Failure>

/** A kind of source: how it is fetched and read, and its status of a certificate. */
interface Source<A> {
  readonly fetch: Effect.Effect<Uint8Array, Failure>
  readonly parse: (bytes: Uint8Array) => Either.Either<A, crls.Unusable>
  readonly status: (value: A) => Effect.Effect<crls.Status>
}

const makeAsk = <A>(maxAge: number) => {
  const cache = makeByteCache<Entry<A>>(CACHE_LIMITS)
  const flights = SingleFlight.make<Entry<A>, Failure>()

  const fetched = (key: string, { fetch, parse }: Source<A>): Effect.Effect<Entry<A>, Failure> =>
    flights.run(
      key,
      () =>
        Effect.flatMap(fetch, (bytes) =>
          Effect.flatMap(Clock.currentTimeMillis, (fetchedAt) =>
            Effect.mapBoth(parse(bytes), {
              onFailure: unusable,
              onSuccess: (value) => ({ value, bytes: bytes.length, fetchedAt })
            })))
    )

  /** Until when a status holds without asking again; where asking failed, soon. */
  const limited = (status: crls.Status, { fetchedAt }: Entry<A>, now: number): crls.Status =>
    status._tag === "Good"
      ? { ...status, until: Math.min(status.until, Math.max(fetchedAt + maxAge, now + RETRY_MILLIS)) }
      : status

  return (key: string, source: Source<A>, now: number): Effect.Effect<SourceResult> =>
    Effect.gen(function*() {
      const held = cache.get(key)
      if (held !== undefined && now < held.fetchedAt + maxAge) {
        const status = yield* source.status(held.value)
        if (status._tag !== "Unusable") return limited(status, held, now)
      }
      const entry = yield* Effect.catchAll(
        fetched(key, source),
        // If the fetch fails, the cached one is used until it expires.
        (failure) => held === undefined ? Effect.fail(failure) : Effect.succeed(held)
      )
      const status = yield* source.status(entry.value)
      // Only what was verified is kept: a forged list must not stand in the way of the right one.
      if (status._tag !== "Unusable") cache.set(key, entry)
      return limited(status, entry, now)
    }).pipe(Effect.either)
}

const problemOf = (
  certificate: Certificate,
  failures: ReadonlyArray<string>,
  rule: string,
  mayPass: boolean
): Problem => ({
  reason: mayPass ? "RevocationUnavailable" : "RevocationUnknown",
  certificate: certificate.subject.display,
  rule,
  detail: `whether it is revoked is not known: ${failures.join(", ")}`
})

/** @internal */
export const make = (options: Options): Revocation => {
  const { client, maxAge, rules } = options
  const askPoint = makeAsk<crls.Crl>(maxAge)
  const askResponder = makeAsk<pki.BasicOCSPResponse>(maxAge)

  const crlAt = (url: string, certificate: Certificate, issuer: Certificate, times: Times) =>
    askPoint(url, {
      fetch: fetchBytes(client, HttpClientRequest.get(url), rules),
      parse: crls.parse,
      status: (crl) => crls.status(crl, certificate, issuer, times)
    }, times.now)

  const ocspAt = (
    url: string,
    certificate: Certificate,
    issuer: Certificate,
    policy: Policy,
    times: Times
  ) =>
    askResponder(`${url} ${certificate.issuer.rdns.join(" ")} ${certificate.serial.join(".")}`, {
      fetch: Effect.flatMap(
        ocsp.request(certificate, issuer),
        (body): Effect.Effect<Uint8Array, Failure> =>
          body === undefined
            ? Effect.fail(unusable({ rule: "RFC 6960, 4.1", detail: "no request can be made for it" }))
            : fetchBytes(
              client,
              HttpClientRequest.post(url).pipe(
                HttpClientRequest.bodyUint8Array(body, "application/ocsp-request"),
                HttpClientRequest.setHeader("accept", "application/ocsp-response")
              ),
              { ...rules, maxBytes: ocsp.maxBytes }
            )
      ),
      parse: ocsp.parse,
      status: (response) =>
        ocsp.status(response, certificate, issuer, times, (delegate) =>
          Effect.map(byCrl(delegate, issuer, policy, times), ({ status }) =>
            status?._tag === "Good"))
    }, times.now)

  interface RevocationResult {
    readonly status: crls.Status | undefined
    readonly failures: ReadonlyArray<Failure>
  }

  /** Asks the sources in order until one has a status. */
  const firstKnown = (sources: ReadonlyArray<Effect.Effect<SourceResult>>): Effect.Effect<RevocationResult> =>
    Effect.gen(function*() {
      const failures: Array<Failure> = []
      for (const source of sources) {
        const result = yield* source
        if (Either.isLeft(result)) failures.push(result.left)
        else if (result.right._tag === "Unusable") failures.push(result.right)
        else return { status: result.right, failures }
      }
      return { status: undefined, failures }
    })

  const byCrl = (
    certificate: Certificate,
    issuer: Certificate,
    policy: Policy,
    times: Times
  ): Effect.Effect<RevocationResult> =>
    firstKnown([
      ...policy.crls.filter((crl) => sameName(crl.issuer, certificate.issuer)).map((crl) =>
        Effect.map(crls.status(crl, certificate, issuer, times), Either.right)
      ),
      ...(policy.mayFetch ? crls.distributionPoints(certificate).slice(0, MAX_SOURCES) : []).map((url) =>
        crlAt(url, certificate, issuer, times)
      )
    ])

  const byOcsp = (certificate: Certificate, issuer: Certificate, policy: Policy, times: Times) =>
    firstKnown(
      (policy.mayFetch ? ocsp.responders(certificate).slice(0, MAX_SOURCES) : []).map((url) =>
        ocspAt(url, certificate, issuer, policy, times)
      )
    )

  const checkOne = (certificate: Certificate, issuer: Certificate, policy: Policy, times: Times) =>
    Effect.gen(function*() {
      const crl = yield* byCrl(certificate, issuer, policy, times)
      const asked = crl.status === undefined ? yield* byOcsp(certificate, issuer, policy, times) : crl
      if (asked.status?._tag === "Good") return { until: asked.status.until }
      if (asked.status?._tag === "Revoked") {
        return {
          problem: {
            reason: "Revoked" as const,
            certificate: certificate.subject.display,
            rule: crl.status === undefined ? "RFC 6960, 2.2" : "RFC 5280, 6.1.3 (a)(3)",
            detail: "its issuer revoked it"
          }
        }
      }
      // Without a CRL that has the status, both kinds of sources have failed.
      const failures = [...crl.failures, ...asked.failures]
      const [rule] = failures.flatMap((failure) => failure._tag === "Unusable" ? [failure.rule] : [])
      return {
        problem: problemOf(
          certificate,
          failures.length === 0
            ? ["it names no source that can be used, and no CRL of its issuer was given"]
            : failures.map(({ detail }) => detail),
          rule ?? "RFC 5280, 6.1.3 (a)(3)",
          failures.length > 0 && rule === undefined
        )
      }
    })

  return {
    check: (path, policy, times) =>
      Effect.map(
        Effect.forEach(
          path.slice(0, -1).map((certificate, i) => [certificate, path[i + 1] ?? certificate] as const),
          ([certificate, issuer]) => checkOne(certificate, issuer, policy, times),
          { concurrency: "unbounded" }
        ),
        (all) => ({
          problems: all.flatMap(({ problem }) => problem === undefined ? [] : [problem]),
          until: Math.min(Infinity, ...all.flatMap(({ until }) => until === undefined ? [] : [until]))
        })
      )
  }
}
