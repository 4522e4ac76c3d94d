/**
 * Invalid requests of a client as a table: each row is sent to an authorization server and must get its error. The rows
 * with `plainOAuth` are valid for any OAuth 2 server with PKCE, the others for SMART servers. They run against the
 * sandbox and against servers of other authors.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"

/**
 * A registered client; `clientSecret` if it is registered for `client_secret_basic`. At least two redirect URIs
 * must be registered: RFC 6749 allows a client with one to omit the parameter.
 */
export interface RegisteredClient {
  readonly clientId: string
  readonly redirectUri: string
  readonly clientSecret?: string | undefined
}

/** An authorization server and its registered clients. */
export interface Target {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly publicClient: RegisteredClient
  readonly otherPublicClient: RegisteredClient
  readonly confidentialClient: RegisteredClient & { readonly clientSecret: string }
  /** Scopes for a refresh token. */
  readonly scope: string
  /** Parameters that this server requires in addition to those of OAuth, such as `aud`. */
  readonly authorizationParams: Readonly<Record<string, string>>
  /** The user who approves a valid request; the result is the redirect to the app. */
  readonly approve: (url: URL) => Effect.Effect<URL, unknown, HttpClient.HttpClient>
}

/** The expected response: a page for the user, a redirect to the app, or a response of the token endpoint. */
export type Expected =
  | { readonly kind: "page"; readonly status: number }
  | { readonly kind: "redirect"; readonly errors: ReadonlyArray<string> }
  | {
    readonly kind: "token"
    /** The first is the error of the sandbox; the others are correct, too. */
    readonly answers: ReadonlyArray<{ readonly status: number; readonly error: string }>
  }

/** The response of the server. */
export interface Observed {
  readonly status: number
  readonly location: URL | undefined
  readonly error: string | undefined
}

type Sent = Effect.Effect<HttpClientResponse.HttpClientResponse, unknown, HttpClient.HttpClient>

/** One row. */
export interface Violation {
  readonly name: string
  readonly plainOAuth: boolean
  readonly expected: Expected
  readonly send: (target: Target) => Sent
}

// ---------------------------------------------------------------------------------------------------------------------
// Valid requests, to change
// ---------------------------------------------------------------------------------------------------------------------

export const verifier = "violation-table-verifier-0123456789-abcdefghijklmnop"

const challengeOf = (codeVerifier: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(codeVerifier))),
    (digest) => Encoding.encodeBase64Url(new Uint8Array(digest))
  )

type Changes = Readonly<Record<string, string | undefined>>

/** A valid authorization request with changed parameters; `undefined` removes one. */
export const authorizationUrl = (
  target: Target,
  client: RegisteredClient,
  changes: Changes = {}
): Effect.Effect<URL> =>
  Effect.map(challengeOf(verifier), (challenge) => {
    const url = new URL(target.authorizationEndpoint)
    const params: Changes = {
      response_type: "code",
      client_id: client.clientId,
      redirect_uri: client.redirectUri,
      scope: target.scope,
      state: "violation-table-state-0123456789",
      code_challenge: challenge,
      code_challenge_method: "S256",
      ...target.authorizationParams,
      ...changes
    }
    for (const [name, value] of Object.entries(params)) if (value !== undefined) url.searchParams.append(name, value)
    return url
  })

/** The code of a valid authorization request. */
export const freshCode = (
  target: Target,
  client: RegisteredClient
): Effect.Effect<string, unknown, HttpClient.HttpClient> =>
  authorizationUrl(target, client).pipe(
    Effect.flatMap(target.approve),
    Effect.flatMap((callback) => Effect.fromNullable(callback.searchParams.get("code")))
  )

const execute = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError, HttpClient.HttpClient> =>
  Effect.flatMap(
    HttpClient.HttpClient,
    (client) => client.pipe(HttpClient.withTracerPropagation(false)).execute(request)
  )

type Form = ReadonlyArray<readonly [name: string, value: string]>

const post = (target: Target, form: Form, basic?: RegisteredClient): Sent =>
  execute(
    HttpClientRequest.post(target.tokenEndpoint, { acceptJson: true }).pipe(
      HttpClientRequest.bodyUrlParams(form),
      basic === undefined ? (request) => request : HttpClientRequest.basicAuth(basic.clientId, basic.clientSecret ?? "")
    )
  )

const form = (fields: Changes): Form =>
  Object.entries(fields).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])

/** The form of a valid code exchange by the public client. */
const codeForm = (target: Target, code: string, changes: Changes = {}): Form =>
  form({
    grant_type: "authorization_code",
    code,
    redirect_uri: target.publicClient.redirectUri,
    code_verifier: verifier,
    client_id: target.publicClient.clientId,
    ...changes
  })

const exchange = (target: Target, changes: Changes): Sent =>
  Effect.flatMap(freshCode(target, target.publicClient), (code) => post(target, codeForm(target, code, changes)))

const confidentialExchange = (target: Target, changes: Changes, basic?: RegisteredClient): Sent =>
  Effect.flatMap(freshCode(target, target.confidentialClient), (code) =>
    post(
      target,
      codeForm(target, code, {
        redirect_uri: target.confidentialClient.redirectUri,
        client_id: undefined,
        ...changes
      }),
      basic
    ))

/** The tokens of a valid code exchange by the public client. */
export const freshTokens = (
  target: Target
): Effect.Effect<{ readonly refresh_token: string }, unknown, HttpClient.HttpClient> =>
  exchange(target, {}).pipe(
    Effect.flatMap((response) => response.json),
    Effect.flatMap((body) =>
      typeof body === "object" && body !== null && "refresh_token" in body && typeof body.refresh_token === "string"
        ? Effect.succeed({ refresh_token: body.refresh_token })
        : Effect.fail("the valid exchange returned no refresh token")
    )
  )

const refresh = (target: Target, changes: Changes): Sent =>
  Effect.flatMap(freshTokens(target), (tokens) =>
    post(
      target,
      form({
        grant_type: "refresh_token",
        refresh_token: tokens.refresh_token,
        client_id: target.publicClient.clientId,
        ...changes
      })
    ))

// ---------------------------------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------------------------------

type Scope = "plainOAuth" | "smart"

const authorize = (
  scope: Scope,
  name: string,
  expected: Expected,
  changes: Changes | ((url: URL, target: Target) => void)
): Violation => ({
  name: `authorize: ${name}`,
  plainOAuth: scope === "plainOAuth",
  expected,
  send: (target) =>
    Effect.flatMap(
      authorizationUrl(target, target.publicClient, typeof changes === "function" ? {} : changes),
      (url) => {
        if (typeof changes === "function") changes(url, target)
        return execute(HttpClientRequest.get(url))
      }
    )
})

const token = (
  scope: Scope,
  name: string,
  answers: Extract<Expected, { readonly kind: "token" }>["answers"],
  send: (target: Target) => Sent
): Violation => ({
  name: `token: ${name}`,
  plainOAuth: scope === "plainOAuth",
  expected: { kind: "token", answers },
  send
})

const page: Expected = { kind: "page", status: 400 }
const redirect = (...errors: ReadonlyArray<string>): Expected => ({ kind: "redirect", errors })

const invalidRequest = { status: 400, error: "invalid_request" }
const invalidGrant = { status: 400, error: "invalid_grant" }
const invalidScope = { status: 400, error: "invalid_scope" }
const invalidClient = { status: 401, error: "invalid_client" }

const authorizeViolations: ReadonlyArray<Violation> = [
  authorize("plainOAuth", "no client_id", page, { client_id: undefined }),
  authorize("plainOAuth", "an unknown client_id", page, { client_id: "unregistered-client" }),
  authorize("plainOAuth", "client_id twice", page, (url) => url.searchParams.append("client_id", "another")),
  authorize("plainOAuth", "no redirect_uri", page, { redirect_uri: undefined }),
  authorize("plainOAuth", "an unregistered redirect_uri", page, { redirect_uri: "https://evil.sandbox.test/callback" }),
  authorize(
    "plainOAuth",
    "a redirect_uri with a slash more",
    page,
    (url, { publicClient }) => url.searchParams.set("redirect_uri", `${publicClient.redirectUri}/`)
  ),
  authorize(
    "plainOAuth",
    "a redirect_uri with a query more",
    page,
    (url, { publicClient }) => url.searchParams.set("redirect_uri", `${publicClient.redirectUri}?next=1`)
  ),
  authorize(
    "plainOAuth",
    "redirect_uri twice",
    page,
    (url, { publicClient }) => url.searchParams.append("redirect_uri", publicClient.redirectUri)
  ),
  authorize("plainOAuth", "no response_type", redirect("invalid_request"), { response_type: undefined }),
  authorize("plainOAuth", "an unknown response_type", redirect("unsupported_response_type"), {
    response_type: "nonsense"
  }),
  authorize("smart", "response_type=token", redirect("unsupported_response_type"), { response_type: "token" }),
  authorize("smart", "response_mode=fragment", redirect("invalid_request"), { response_mode: "fragment" }),
  authorize("plainOAuth", "no code_challenge", redirect("invalid_request"), { code_challenge: undefined }),
  authorize("plainOAuth", "code_challenge_method=plain", redirect("invalid_request"), {
    code_challenge_method: "plain"
  }),
  authorize("plainOAuth", "no code_challenge_method", redirect("invalid_request"), {
    code_challenge_method: undefined
  }),
  authorize("plainOAuth", "a code_challenge that is too short", redirect("invalid_request"), {
    code_challenge: "short"
  }),
  authorize("plainOAuth", "a code_challenge with padding", redirect("invalid_request"), {
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c="
  }),
  authorize(
    "plainOAuth",
    "scope twice",
    redirect("invalid_request"),
    (url) => url.searchParams.append("scope", "openid")
  ),
  authorize("plainOAuth", "a request object", redirect("request_not_supported"), { request: "e30.e30." }),
  authorize("plainOAuth", "prompt=none without a session", redirect("login_required", "interaction_required"), {
    prompt: "none"
  }),
  authorize("smart", "no state", redirect("invalid_request"), { state: undefined }),
  authorize("smart", "a state that can be guessed", redirect("invalid_request"), { state: "123456" }),
  authorize("smart", "no aud", redirect("invalid_request"), { aud: undefined }),
  authorize("smart", "the aud of another server", redirect("invalid_request"), {
    aud: "https://other.sandbox.test/fhir"
  }),
  authorize(
    "smart",
    "aud with a slash more",
    redirect("invalid_request"),
    (url, { authorizationParams }) => url.searchParams.set("aud", `${authorizationParams["aud"]}/`)
  ),
  authorize("smart", "resource in place of aud", redirect("invalid_request"), (url, { authorizationParams }) => {
    url.searchParams.delete("aud")
    url.searchParams.set("resource", `${authorizationParams["aud"]}`)
  }),
  authorize("smart", "no scope", redirect("invalid_scope"), { scope: undefined }),
  authorize("smart", "scopes between commas", redirect("invalid_scope"), { scope: "openid,patient/*.rs" }),
  authorize("smart", "a scope with letters out of order", redirect("invalid_scope"), {
    scope: "patient/Observation.sr"
  }),
  authorize("smart", "a scope without a resource type", redirect("invalid_scope"), { scope: "patient/.rs" }),
  authorize("smart", "fhirUser without openid", redirect("invalid_scope"), { scope: "fhirUser" }),
  authorize("smart", "the launch scope without a launch", redirect("invalid_request"), {
    scope: "launch patient/*.rs"
  }),
  authorize("smart", "a launch without the launch scope", redirect("invalid_request"), { launch: "something" }),
  authorize("smart", "a launch that the server did not issue", redirect("invalid_request"), {
    scope: "launch patient/*.rs",
    launch: "made-up"
  }),
  {
    name: "authorize: a POST that is not a form",
    plainOAuth: false,
    expected: page,
    send: (target) =>
      Effect.flatMap(authorizationUrl(target, target.publicClient), (url) =>
        execute(
          HttpClientRequest.post(target.authorizationEndpoint).pipe(
            HttpClientRequest.bodyText(JSON.stringify(Object.fromEntries(url.searchParams)), "application/json")
          )
        ))
  }
]

const tokenViolations: ReadonlyArray<Violation> = [
  token(
    "plainOAuth",
    "a body that is not a form",
    [invalidRequest],
    (target) =>
      Effect.flatMap(freshCode(target, target.publicClient), (code) =>
        execute(
          HttpClientRequest.post(target.tokenEndpoint).pipe(
            HttpClientRequest.bodyText(JSON.stringify(Object.fromEntries(codeForm(target, code))), "application/json")
          )
        ))
  ),
  token(
    "smart",
    "parameters in the URL",
    [invalidRequest],
    (target) =>
      Effect.flatMap(freshCode(target, target.publicClient), (code) =>
        execute(
          HttpClientRequest.post(`${target.tokenEndpoint}?client_id=${target.publicClient.clientId}`).pipe(
            HttpClientRequest.bodyUrlParams(codeForm(target, code))
          )
        ))
  ),
  token("plainOAuth", "no grant_type", [invalidRequest], (target) => exchange(target, { grant_type: undefined })),
  token(
    "plainOAuth",
    "an unknown grant_type",
    [{ status: 400, error: "unsupported_grant_type" }],
    (target) => exchange(target, { grant_type: "password-of-my-aunt" })
  ),
  token(
    "plainOAuth",
    "no client_id and no client authentication",
    [invalidClient, invalidRequest],
    (target) => exchange(target, { client_id: undefined })
  ),
  token(
    "plainOAuth",
    "an unknown client",
    [invalidClient],
    (target) => exchange(target, { client_id: "unregistered-client" })
  ),
  token(
    "plainOAuth",
    "a public client with an Authorization header",
    [invalidClient, invalidRequest],
    (target) =>
      Effect.flatMap(
        freshCode(target, target.publicClient),
        (code) => post(target, codeForm(target, code, { client_id: undefined }), target.publicClient)
      )
  ),
  token(
    "plainOAuth",
    "a public client with a secret",
    [invalidClient],
    (target) => exchange(target, { client_secret: "made-up" })
  ),
  token(
    "plainOAuth",
    "a confidential client without its secret",
    [invalidClient],
    (target) => confidentialExchange(target, { client_id: target.confidentialClient.clientId })
  ),
  token(
    "plainOAuth",
    "a wrong secret",
    [invalidClient],
    (target) => confidentialExchange(target, {}, { ...target.confidentialClient, clientSecret: "wrong" })
  ),
  token("smart", "the right secret in the body", [invalidClient], (target) =>
    confidentialExchange(target, {
      client_id: target.confidentialClient.clientId,
      client_secret: target.confidentialClient.clientSecret
    })),
  token("plainOAuth", "the secret in two places", [invalidRequest], (target) =>
    confidentialExchange(
      target,
      { client_secret: target.confidentialClient.clientSecret },
      target.confidentialClient
    )),
  token(
    "smart",
    "client_id beside Basic",
    [invalidRequest],
    (target) =>
      confidentialExchange(target, { client_id: target.confidentialClient.clientId }, target.confidentialClient)
  ),
  token("plainOAuth", "no code", [invalidRequest], (target) => exchange(target, { code: undefined })),
  token("plainOAuth", "an unknown code", [invalidGrant], (target) => exchange(target, { code: "made-up" })),
  token(
    "plainOAuth",
    "a code twice in one form",
    [invalidRequest],
    (target) =>
      Effect.flatMap(
        freshCode(target, target.publicClient),
        (code) => post(target, [...codeForm(target, code), ["code", code]])
      )
  ),
  token(
    "plainOAuth",
    "a code that has been used",
    [invalidGrant],
    (target) =>
      Effect.flatMap(
        freshCode(target, target.publicClient),
        (code) => Effect.zipRight(post(target, codeForm(target, code)), post(target, codeForm(target, code)))
      )
  ),
  token("plainOAuth", "the code of another client", [invalidGrant], (target) =>
    exchange(target, {
      client_id: target.otherPublicClient.clientId,
      redirect_uri: target.otherPublicClient.redirectUri
    })),
  token(
    "plainOAuth",
    "no redirect_uri",
    [invalidRequest, invalidGrant],
    (target) => exchange(target, { redirect_uri: undefined })
  ),
  token(
    "plainOAuth",
    "another redirect_uri",
    [invalidGrant],
    (target) => exchange(target, { redirect_uri: `${target.publicClient.redirectUri}/` })
  ),
  token(
    "plainOAuth",
    "no code_verifier",
    [invalidRequest, invalidGrant],
    (target) => exchange(target, { code_verifier: undefined })
  ),
  token(
    "plainOAuth",
    "a wrong code_verifier",
    [invalidGrant],
    (target) => exchange(target, { code_verifier: `wrong-${verifier}` })
  ),
  token(
    "plainOAuth",
    "a code_verifier of 42 characters",
    [invalidRequest, invalidGrant],
    (target) => exchange(target, { code_verifier: "x".repeat(42) })
  ),
  token(
    "plainOAuth",
    "a code_verifier of 129 characters",
    [invalidRequest, invalidGrant],
    (target) => exchange(target, { code_verifier: "x".repeat(129) })
  ),
  token(
    "plainOAuth",
    "a code_verifier with forbidden characters",
    [invalidRequest, invalidGrant],
    (target) => exchange(target, { code_verifier: `${verifier}+/=` })
  ),
  token("plainOAuth", "no refresh_token", [invalidRequest], (target) => refresh(target, { refresh_token: undefined })),
  token(
    "plainOAuth",
    "an unknown refresh_token",
    [invalidGrant],
    (target) => refresh(target, { refresh_token: "made-up" })
  ),
  token(
    "plainOAuth",
    "the refresh_token of another client",
    [invalidGrant],
    (target) => refresh(target, { client_id: target.otherPublicClient.clientId })
  ),
  token(
    "plainOAuth",
    "a refresh for more than was granted",
    [invalidScope],
    (target) => refresh(target, { scope: `${target.scope} patient/*.cruds` })
  ),
  token(
    "plainOAuth",
    "a refresh_token that has been replaced",
    [invalidGrant],
    (target) =>
      Effect.flatMap(freshTokens(target), (tokens) => {
        const again = post(
          target,
          form({
            grant_type: "refresh_token",
            refresh_token: tokens.refresh_token,
            client_id: target.publicClient.clientId
          })
        )
        return Effect.zipRight(again, again)
      })
  ),
  token(
    "plainOAuth",
    "client_credentials by a public client",
    [
      { status: 400, error: "unauthorized_client" },
      { status: 400, error: "unsupported_grant_type" }
    ],
    (target) =>
      post(
        target,
        form({ grant_type: "client_credentials", client_id: target.publicClient.clientId, scope: "system/*.rs" })
      )
  ),
  token(
    "smart",
    "client_credentials without a scope",
    [invalidScope],
    (target) => post(target, form({ grant_type: "client_credentials" }), target.confidentialClient)
  ),
  token(
    "smart",
    "client_credentials for a user's scopes",
    [invalidScope],
    (target) => post(target, form({ grant_type: "client_credentials", scope: "user/*.rs" }), target.confidentialClient)
  )
]

/** All violations. */
export const violations: ReadonlyArray<Violation> = [...authorizeViolations, ...tokenViolations]

// ---------------------------------------------------------------------------------------------------------------------
// Running a row
// ---------------------------------------------------------------------------------------------------------------------

const jsonError = (body: string): string | undefined => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null && "error" in value && typeof value.error === "string"
      ? value.error
      : undefined
  } catch {
    return undefined
  }
}

/** Sends a row and returns the response. */
export const observe = (
  violation: Violation,
  target: Target
): Effect.Effect<Observed, unknown, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const response = yield* violation.send(target)
    const header = response.headers["location"]
    const location = header === undefined ? undefined : new URL(header, target.authorizationEndpoint)
    const error = location === undefined
      ? jsonError(yield* response.text)
      : location.searchParams.get("error") ?? undefined
    return { status: response.status, location, error }
  })

/** The problem of a response; undefined if it is an expected one, or with `exactly` the first of them. */
export const problemOf = (
  expected: Expected,
  observed: Observed,
  options: { readonly exactly?: boolean | undefined } = {}
): string | undefined => {
  const received = `HTTP ${observed.status}${
    observed.location === undefined ? "" : ` to ${observed.location.origin}`
  }, error ${observed.error ?? "none"}`
  switch (expected.kind) {
    case "page":
      return observed.location === undefined && observed.status === expected.status
        ? undefined
        : `expected a page with HTTP ${expected.status}, got ${received}`
    case "redirect": {
      const errors = options.exactly === true ? expected.errors.slice(0, 1) : expected.errors
      return (observed.status === 302 || observed.status === 303) && errors.includes(observed.error ?? "")
        ? undefined
        : `expected a redirect with ${errors.join(" or ")}, got ${received}`
    }
    case "token": {
      const answers = options.exactly === true ? expected.answers.slice(0, 1) : expected.answers
      return answers.some(({ error, status }) => observed.status === status && observed.error === error)
        ? undefined
        : `expected ${answers.map(({ error, status }) => `HTTP ${status} ${error}`).join(" or ")}, got ${received}`
    }
  }
}
