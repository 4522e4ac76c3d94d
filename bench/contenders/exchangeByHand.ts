/**
 * The floor of a code exchange: what `SmartClient.exchange` guarantees when all goes well, by hand and for one server.
 * It validates the callback, bounds the time, retries, reads the response leniently, hides the secrets, and returns
 * the same `TokenSet`. It has no registry, no discovery, no findings for operators and no messages of errors.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { LaunchContext, type PendingAuthorization, TokenSet } from "effect-safire"

const MAX_AGE_MILLIS = 30 * 60_000

const KNOWN = new Set([
  "access_token",
  "refresh_token",
  "id_token",
  "token_type",
  "expires_in",
  "scope",
  "patient",
  "encounter",
  "need_patient_banner",
  "smart_style_url",
  "intent",
  "tenant",
  "fhirContext"
])

const duration = Metric.histogram(
  "bench_exchange_seconds",
  MetricBoundaries.fromIterable([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30])
)

const transient = Schedule.intersect(Schedule.jittered(Schedule.exponential("200 millis")), Schedule.recurs(2))

const trusted = { disableValidation: true }

/** Compares all characters. */
const areEqual = (one: string, other: string): boolean => {
  let difference = one.length ^ other.length
  for (let index = 0; index < one.length; index++) difference |= one.charCodeAt(index) ^ other.charCodeAt(index)
  return difference === 0
}

const stringIn = (members: Record<string, unknown>, name: string): string | undefined => {
  const value = members[name]
  return typeof value === "string" && value !== "" ? value : undefined
}

const secretIn = (members: Record<string, unknown>, name: string): Redacted.Redacted | undefined => {
  const value = stringIn(members, name)
  return value === undefined ? undefined : Redacted.make(value)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const tokensIn = (members: unknown, fhirBaseUrl: string, requested: ReadonlyArray<string>, now: number) => {
  if (!isObject(members)) return undefined
  const accessToken = secretIn(members, "access_token")
  if (accessToken === undefined || stringIn(members, "token_type")?.toLowerCase() !== "bearer") return undefined
  const seconds = Number(members["expires_in"])
  const banner = members["need_patient_banner"]
  return new TokenSet.TokenSet({
    version: 1,
    fhirBaseUrl,
    accessToken,
    refreshToken: secretIn(members, "refresh_token"),
    idToken: secretIn(members, "id_token"),
    receivedAt: DateTime.unsafeMake(now),
    expiresAt: Number.isFinite(seconds) ? DateTime.unsafeMake(now + seconds * 1000) : undefined,
    scopes: stringIn(members, "scope")?.split(" ") ?? requested,
    context: new LaunchContext.LaunchContext({
      patient: stringIn(members, "patient"),
      encounter: stringIn(members, "encounter"),
      needPatientBanner: typeof banner === "boolean" ? banner : undefined,
      smartStyleUrl: stringIn(members, "smart_style_url"),
      intent: stringIn(members, "intent"),
      tenant: stringIn(members, "tenant")
    }, trusted),
    extensions: Redacted.make(Object.fromEntries(Object.entries(members).filter(([name]) => !KNOWN.has(name))))
  }, trusted)
}

/** Over a transport with a limit of the time and the size of each response. */
export const make = (client: HttpClient.HttpClient, clientId: string) =>
(
  callback: string,
  { createdAt, fhirBaseUrl, redirectUri, scopes, state, tokenEndpoint, verifier }:
    PendingAuthorization.PendingAuthorization
) =>
  Effect.clockWith((clock) => {
    const now = clock.unsafeCurrentTimeMillis()
    const params = new URL(callback).searchParams
    const code = params.get("code")
    if (
      code === null || !areEqual(params.get("state") ?? "", Redacted.value(state)) ||
      now - DateTime.toEpochMillis(createdAt) > MAX_AGE_MILLIS
    ) return Effect.fail("the callback is not that of the launch")
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: Redacted.value(verifier),
      client_id: clientId
    })
    const request = HttpClientRequest.post(tokenEndpoint, {
      acceptJson: true,
      body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded")
    })
    const attempt = Effect.flatMap(client.execute(request), (response) =>
      response.status === 200
        ? Effect.flatMap(response.json, (json) => {
          const tokens = tokensIn(json, fhirBaseUrl, scopes, clock.unsafeCurrentTimeMillis())
          return tokens === undefined ? Effect.fail("the response has no usable access_token") : Effect.succeed(tokens)
        })
        : Effect.fail(`HTTP status ${response.status}`))
    return Effect.tap(
      Effect.catchAll(attempt, () => Effect.retry(attempt, transient)),
      () => Metric.update(duration, (clock.unsafeCurrentTimeMillis() - now) / 1000)
    )
  })
