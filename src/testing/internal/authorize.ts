/**
 * The authorization endpoint: validation of a request, and the code for an approved one (SMART App Launch 2.2, "Obtain
 * authorization code"; RFC 6749 §4.1, RFC 7636, RFC 9207).
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type Client, mayUse } from "./client.js"
import { duplicates, type Pairs, toParams } from "./http.js"
import type { LaunchContext } from "./launchContext.js"
import { invalidRequest, OAuthError, type SandboxError, unknownResource } from "./oAuthError.js"
import type { Decision, Sandbox } from "./sandbox.js"
import * as Scope from "./scope.js"
import type { ValidRequest } from "./state.js"

/** An authorization error that the app receives by redirect. */
export class RedirectedError extends Data.TaggedError("RedirectedError")<{ readonly location: string }> {}

/** 22 characters of base64url can hold the 122 bits of entropy that SMART requires. */
const MIN_STATE_LENGTH = 22

const callbackUrl = (
  sandbox: Pick<Sandbox, "issueIss" | "issuer">,
  redirectUri: string,
  parameters: Readonly<Record<string, string | undefined>>
): string => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries({ ...parameters, iss: sandbox.issueIss ? sandbox.issuer : undefined })) {
    if (value !== undefined) query.append(name, value)
  }
  // The query of the redirect URI stays verbatim.
  return `${redirectUri}${redirectUri.includes("?") ? "&" : "?"}${query.toString()}`
}

/** The callback URL of an authorization error. */
export const errorRedirect = (
  sandbox: Pick<Sandbox, "issueIss" | "issuer">,
  request: Pick<ValidRequest, "redirectUri"> & { readonly state: string | undefined },
  error: string,
  description?: string
): string => callbackUrl(sandbox, request.redirectUri, { error, error_description: description, state: request.state })

/** What differs between SMART App Launch and UDAP. */
export interface Rules {
  /** Whether these clients may use the endpoint. */
  readonly isRegistered: (client: Client) => boolean
  /** Whether `aud` may be absent, and `redirect_uri` of a client that has registered only one. */
  readonly optionalParameters: boolean
}

/** The rules of the SMART authorization endpoint. */
export const smartRules: Rules = {
  isRegistered: ({ authentication }) => authentication.method !== "udap",
  optionalParameters: false
}

/**
 * Validates an authorization request. An `OAuthError` must be shown to the user without a redirect (RFC 6749 §4.1.2.1),
 * because the redirect URI is not known to be the app's.
 */
export const validate = (
  sandbox: Sandbox,
  pairs: Pairs,
  rules: Rules
): Effect.Effect<ValidRequest, OAuthError | RedirectedError> =>
  Effect.gen(function*() {
    const params = toParams(pairs)
    const repeated = duplicates(pairs)
    const single = (name: string) => repeated.includes(name) ? undefined : params.get(name)

    const clientId = single("client_id")
    if (clientId === undefined) return yield* invalidRequest("exactly one client_id is required")
    const client = sandbox.clients.get(clientId)
    if (client === undefined || !rules.isRegistered(client)) {
      return yield* new OAuthError({ error: "invalid_client", description: "no such client is registered" })
    }
    const sent = single("redirect_uri")
    const redirectUri = sent ??
      (rules.optionalParameters && client.redirectUris.length === 1 ? client.redirectUris[0] : undefined)
    if (redirectUri === undefined || !client.redirectUris.includes(redirectUri)) {
      return yield* invalidRequest("redirect_uri must equal a redirect URI that the client has registered")
    }

    const state = single("state")
    const refuse = (error: string, description: string) =>
      new RedirectedError({ location: errorRedirect(sandbox, { redirectUri, state }, error, description) })

    if (repeated.length > 0) return yield* refuse("invalid_request", `sent more than once: ${repeated.join(", ")}`)
    if (params.has("request")) return yield* refuse("request_not_supported", "request objects are not supported")
    if (params.has("request_uri")) return yield* refuse("request_uri_not_supported", "request_uri is not supported")
    const responseType = params.get("response_type")
    if (responseType === undefined) return yield* refuse("invalid_request", "response_type is required")
    if (responseType !== "code") return yield* refuse("unsupported_response_type", "response_type must be code")
    if ((params.get("response_mode") ?? "query") !== "query") {
      return yield* refuse("invalid_request", "response_mode must be query")
    }
    if (!mayUse(client, "authorization_code")) {
      return yield* refuse("unauthorized_client", "the client is not registered for authorization_code")
    }
    if (state === undefined || state.length < MIN_STATE_LENGTH) {
      return yield* refuse("invalid_request", `state is required, ${MIN_STATE_LENGTH} characters or more`)
    }
    const aud = params.get("aud")
    if (aud !== sandbox.fhirBaseUrl && (aud !== undefined || !rules.optionalParameters)) {
      return yield* refuse("invalid_request", "aud is required and must equal the FHIR base URL")
    }

    const challenge = params.get("code_challenge")
    if (params.get("code_challenge_method") !== "S256") {
      return yield* refuse("invalid_request", "code_challenge_method must be S256")
    }
    if (challenge === undefined || !/^[A-Za-z0-9_-]{43}$/.test(challenge)) {
      return yield* refuse("invalid_request", "code_challenge must be 43 characters of base64url")
    }

    const scopes = Scope.splitScopes(params.get("scope") ?? "")
    const problem = Scope.findProblem(scopes)
    if (problem !== undefined) return yield* refuse("invalid_scope", problem)

    const launch = params.get("launch")
    if (scopes.includes("launch") !== (launch !== undefined)) {
      return yield* refuse("invalid_request", "the launch parameter and the launch scope go together")
    }
    const launchContext = launch === undefined ? undefined : yield* sandbox.state.findLaunch(launch)
    if (launch !== undefined && launchContext === undefined) return yield* refuse("invalid_request", "unknown launch")
    // The sandbox has no login sessions, so it cannot sign a user in without a page.
    if ((params.get("prompt") ?? "").split(" ").includes("none")) {
      return yield* refuse("login_required", "the user must decide on a page")
    }
    return {
      client,
      redirectUri,
      sendsRedirectUri: sent !== undefined,
      state,
      scopes,
      challenge,
      nonce: params.get("nonce"),
      launch: launchContext
    }
  })

const hasPatientScope = (scopes: ReadonlyArray<string>): boolean =>
  scopes.some((scope) =>
    scope === "launch/patient" || scope === "launch/encounter" ||
    Scope.parseResourceScope(scope)?.context === "patient"
  )

/** The context of a grant: that of the EHR launch, or in a standalone launch the context that the scopes request. */
const resolveContext = (
  sandbox: Sandbox,
  request: ValidRequest,
  scopes: ReadonlyArray<string>,
  user: string,
  decision: Decision
): Effect.Effect<LaunchContext, SandboxError> =>
  Effect.gen(function*() {
    const { launch } = request
    const { store } = sandbox
    const ownId = user.startsWith("Patient/") ? user.slice("Patient/".length) : undefined
    const asksPatient = hasPatientScope(scopes)
    const patient = decision.patient ?? launch?.patient ??
      (asksPatient ? ownId ?? store.search("Patient", [])[0]?.id : undefined)
    if (patient !== undefined && store.read("Patient", patient) === undefined) {
      return yield* unknownResource(`Patient/${patient}`)
    }
    const asksEncounter = scopes.includes("launch/encounter")
    const encounter = decision.encounter ?? launch?.encounter ??
      (patient !== undefined && asksEncounter ? store.search("Encounter", [["patient", patient]])[0]?.id : undefined)
    if (encounter !== undefined && store.read("Encounter", encounter) === undefined) {
      return yield* unknownResource(`Encounter/${encounter}`)
    }
    if (launch === undefined) {
      return { patient: asksPatient ? patient : undefined, encounter: asksEncounter ? encounter : undefined }
    }
    return {
      ...launch,
      patient,
      encounter,
      needPatientBanner: launch.needPatientBanner ?? (patient === undefined ? undefined : true),
      smartStyleUrl: launch.smartStyleUrl ?? sandbox.endpoints.style
    }
  })

/** The requested scopes that the sandbox can grant to the client. */
export const grantable = (request: ValidRequest): ReadonlyArray<string> =>
  request.scopes.filter((scope) =>
    (Scope.isGrantableToUser(scope) || scope === "udap" && request.client.authentication.method === "udap") &&
    (request.client.scopes === undefined || Scope.covers(request.client.scopes, scope))
  )

/** Whether the user must choose a patient. */
export const needsPatient = (request: ValidRequest): boolean =>
  request.launch?.patient === undefined && hasPatientScope(request.scopes)

/** Issues a code for an approved request; the result is the callback URL. */
export const approve = (
  sandbox: Sandbox,
  request: ValidRequest,
  decision: Decision
): Effect.Effect<string, SandboxError> =>
  Effect.gen(function*() {
    const scopes = decision.scopes ?? grantable(request)
    const firstPractitioner = sandbox.store.search("Practitioner", [])[0]?.id ?? "unknown"
    const user = request.user ?? decision.user ?? request.launch?.user ?? `Practitioner/${firstPractitioner}`
    const [type = "", id = ""] = user.split("/")
    if (sandbox.store.read(type, id) === undefined) return yield* unknownResource(user)
    const context = yield* resolveContext(sandbox, request, scopes, user, decision)
    const { challenge, client: { clientId }, nonce, redirectUri, sendsRedirectUri, state } = request
    const requestedScopes = request.scopes
    const grant = yield* sandbox.state.addGrant({ clientId, scopes, requestedScopes, context, user, nonce })
    const code = yield* sandbox.state.addCode({ grant, redirectUri, sendsRedirectUri, challenge })
    return callbackUrl(sandbox, redirectUri, { code: code.value, state })
  })
