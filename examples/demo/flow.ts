/** The flows of the demo: an app with a user, and a backend service. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { Introspection, TokenSet } from "effect-safire"
import {
  AuthorizationCallback,
  BackendServices,
  ClientAuthentication,
  FhirClient,
  Scopes,
  SmartClient,
  TokenError
} from "effect-safire"
import type * as Environment from "./Environment.js"
import type * as Report from "./Report.js"

class DemoError extends Data.TaggedError("DemoError")<{ readonly reason: string; readonly message: string }> {}

const lifetime = (tokens: TokenSet.TokenSet): string =>
  tokens.expiresAt === undefined
    ? "without a declared lifetime"
    : `valid for ${Duration.format(DateTime.distanceDuration(tokens.receivedAt, tokens.expiresAt))}`

const describeTokens = (tokens: TokenSet.TokenSet): Report.Found => ({
  text:
    `access token ${lifetime(tokens)}, ${tokens.refreshToken === undefined ? "no refresh token" : "refresh token"}` +
    `, granted: ${tokens.scopes.join(" ")}` +
    (tokens.identity === undefined
      ? ""
      : `; logged in: a ${tokens.identity.fhirUser?.resourceType ?? "person"}, verified`),
  found: {
    expiresAt: tokens.expiresAt === undefined ? undefined : DateTime.formatIso(tokens.expiresAt),
    refreshToken: tokens.refreshToken !== undefined,
    idToken: tokens.idToken !== undefined,
    identityVerified: tokens.identity !== undefined,
    fhirUserType: tokens.identity?.fhirUser?.resourceType,
    scopes: tokens.scopes,
    patientInContext: tokens.context.patient !== undefined
  }
})

/** The patient's name in one line. */
const nameOf = (patient: FhirClient.ResourceOf<"R4", "Patient">): string => {
  const name = patient.name?.[0]
  return name?.text ?? [...(name?.given ?? []), name?.family ?? ""].join(" ").trim()
}

const describePatient = (patient: FhirClient.ResourceOf<"R4", "Patient">): Report.Found => ({
  text: `Patient "${nameOf(patient)}"`,
  found: { resourceType: patient.resourceType, name: nameOf(patient) }
})

/** Simulates the user's browser: opens the URL and follows the redirect. */
const browse = (url: URL) =>
  Effect.gen(function*() {
    const browser = yield* HttpClient.HttpClient
    const answer = yield* browser.get(url)
    const location = answer.headers["location"]
    if (location === undefined) {
      return yield* new DemoError({
        reason: "NoRedirect",
        message: `the authorization endpoint responded with ${answer.status}`
      })
    }
    yield* browser.get(location)
  })

const discover = (report: Report.Report, client: SmartClient.Service) =>
  report.step("discover", client.configuration, (found) => ({
    text: `${found.fhirBaseUrl} has ${found.capabilities?.length ?? 0} capabilities, tokens at ${found.tokenEndpoint}`,
    found: {
      fhirBaseUrl: found.fhirBaseUrl,
      capabilities: found.capabilities,
      authorizationEndpoint: found.authorizationEndpoint,
      tokenEndpoint: found.tokenEndpoint
    }
  }))

interface Introspected {
  readonly authorization: "client" | "bearer"
  readonly answer: Introspection.Introspection | TokenError
}

const isRefusal = (error: { readonly _tag: string }): error is TokenError =>
  error instanceof TokenError && error.reason === "Refused"

/**
 * A client with credentials authenticates itself (RFC 7662, section 2.1). If the server refuses, and for a public
 * client, the token authorizes its own introspection (SMART App Launch 2.2, "Token Introspection").
 */
const introspect = (
  client: SmartClient.Service,
  method: ClientAuthentication.Method,
  token: Redacted.Redacted
) => {
  const as = (authorization: Introspected["authorization"]) =>
    Effect.map(
      client.introspect(token, {
        tokenTypeHint: "access_token",
        authorization: authorization === "client" ? "client" : token
      }),
      (answer): Introspected => ({ authorization, answer })
    )
  return method === "none"
    // A public client has no other credential; a refusal is not a failure of the demo.
    ? Effect.catchIf(
      as("bearer"),
      isRefusal,
      (answer) => Effect.succeed<Introspected>({ authorization: "bearer", answer })
    )
    : Effect.catchIf(as("client"), isRefusal, (refusal) => Effect.mapError(as("bearer"), () => refusal))
}

const describeIntrospection = ({ answer, authorization }: Introspected): Report.Found => {
  if (answer instanceof TokenError) {
    return {
      text: `the server requires client credentials (${answer.detail})`,
      found: { authorization, status: answer.status }
    }
  }
  const asked = authorization === "client" ? "with the client's credentials" : "with the token itself"
  return {
    text: `${answer.active ? `active, for: ${answer.scopes.join(" ")}` : "not active"}; ${asked}`,
    found: { active: answer.active, authorization }
  }
}

/** An app with a user: login, patient, refresh, introspection, revocation. */
export const app = (
  report: Report.Report,
  environment: Environment.Environment,
  launch: SmartClient.AuthorizeOptions
) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const simulatesUser = Option.isSome(environment.sandbox)

    const configuration = yield* discover(report, client)
    const { pending, url } = yield* report.step("authorize", client.authorize(launch), ({ pending, url }) => ({
      text: `${url.origin}${url.pathname} requests: ${pending.scopes.join(" ")}`,
      found: { scopes: pending.scopes, ...(simulatesUser ? {} : { url: url.href }) }
    }))
    if (Option.isNone(environment.callback)) {
      return yield* new DemoError({
        reason: "NoRedirectUri",
        message: "set SMART_REDIRECT_URI to a loopback address that is registered for this client"
      })
    }
    const { await: callback, redirectUri } = environment.callback.value
    if (!simulatesUser) {
      yield* report.note(`open this URL in a browser and approve; the demo waits at ${redirectUri}\n${url.href}`)
    }
    /** The server's refusal is in the callback: it belongs to this step, not to the exchange of the code. */
    const accepted = Effect.tap(callback, (returned) =>
      Effect.flatMap(DateTime.now, (now) =>
        Effect.flatMap(
          AuthorizationCallback.validate(returned, pending, { now, maxAge: "30 minutes" }),
          ({ result }) => result
        )))
    const returned = yield* report.step(
      "callback",
      simulatesUser ? Effect.zipRight(browse(url), accepted) : accepted,
      () => ({ text: `the browser returned to ${redirectUri}` })
    )
    const tokens = yield* report.step("exchange", client.exchange(returned, pending), describeTokens)

    const read = (of: TokenSet.TokenSet) => {
      const patient = of.context.patient
      return patient === undefined
        ? report.note("  no patient in context; skipped")
        : Effect.asVoid(report.step("read", fhir.forTokens(client, of).read("Patient", patient), describePatient))
    }
    /** Counts conditions and vital signs, if the scopes cover them. */
    const chart = (of: TokenSet.TokenSet) => {
      const patient = of.context.patient
      const covered = ["Condition", "Observation"].every((type) =>
        Scopes.covers(Scopes.parse(of.scopes), Scopes.parse(`patient/${type}.s`))
      )
      if (patient === undefined || !covered) return Effect.void
      const records = fhir.forTokens(client, of)
      const search = (type: string, params: Readonly<Record<string, string>>) =>
        Stream.runCount(records.search(type, { patient, ...params }))
      return report.step(
        "chart",
        Effect.all({
          conditions: search("Condition", {}),
          vitals: search("Observation", { category: "vital-signs" })
        }),
        (found) => ({ text: `conditions: ${found.conditions}, vital signs: ${found.vitals}`, found })
      )
    }
    yield* read(tokens)
    yield* chart(tokens)

    let current = tokens
    if (tokens.refreshToken !== undefined) {
      if (simulatesUser && tokens.expiresAt !== undefined) {
        const left = DateTime.toEpochMillis(tokens.expiresAt) - (yield* Clock.currentTimeMillis)
        yield* report.step(
          "expire",
          Effect.sleep(Math.max(0, left) + 50),
          () => ({ text: "the access token has expired" })
        )
      }
      current = yield* report.step("refresh", client.refresh(tokens), describeTokens)
      yield* read(current)
    } else {
      yield* report.note("  no refresh token; skipped")
    }

    if (configuration.introspectionEndpoint !== undefined) {
      const authentication = yield* ClientAuthentication.ClientAuthentication
      yield* report.step(
        "introspect",
        introspect(client, authentication.method, current.accessToken),
        describeIntrospection
      )
    }
    if (configuration.revocationEndpoint !== undefined) {
      yield* report.step(
        "revoke",
        client.revoke(current.refreshToken ?? current.accessToken),
        () => ({ text: "the grant is revoked" })
      )
    }
  })

/** A backend service: a token for the program itself, and a search with it. */
export const backend = (report: Report.Report) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const services = yield* BackendServices.BackendServices
    const fhir = yield* FhirClient.FhirClient
    yield* discover(report, client)
    yield* report.step("token", services.tokens(), describeTokens)
    const first = fhir.forBackend().searchPages("Patient", { _count: 10 }).pipe(Stream.take(1), Stream.runHead)
    yield* report.step("search", first, (page) => {
      const patients = Option.match(page, { onNone: () => 0, onSome: ({ matches }) => matches.length })
      return { text: `${patients} patients on the first page`, found: { patients } }
    })
  })
