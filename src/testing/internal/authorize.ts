/**
 * The authorization endpoint (SMART App Launch 2.2, "Obtain authorization code"; RFC 6749 §4.1, RFC 7636, RFC 9207): what a request must be,
 * and what a person's decision turns it into.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { mayUse } from "./client.js"
import type { LaunchContext } from "./launchContext.js"
import type { Pairs } from "./message.js"
import { duplicates, toParams } from "./message.js"
import { OAuthError, SandboxError } from "./oAuthError.js"
import * as Scope from "./scope.js"
import type { Decision, ValidRequest, World } from "./world.js"

/** A refusal that is told to the app by redirect. */
export class RedirectedError extends Data.TaggedError("RedirectedError")<{ readonly location: string }> {}

/** `state` of at least 22 characters: fewer cannot hold the 122 bits that SMART asks for. */
const minimumStateLength = 22

const respond = (
  world: World,
  redirectUri: string,
  parameters: Readonly<Record<string, string | undefined>>
): string => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries({ ...parameters, iss: world.issueIss ? world.issuer : undefined })) {
    if (value !== undefined) query.append(name, value)
  }
  // The redirect URI's own query is kept to the letter.
  return `${redirectUri}${redirectUri.includes("?") ? "&" : "?"}${query.toString()}`
}

/** Where a refusal sends the browser. */
export const refusal = (
  world: World,
  request: Pick<ValidRequest, "redirectUri"> & { readonly state: string | undefined },
  error: string,
  description?: string
): string => respond(world, request.redirectUri, { error, error_description: description, state: request.state })

/**
 * Judges an authorization request. An `OAuthError` must be shown to the person and nothing else (RFC 6749 §4.1.2.1): nobody knows yet that the
 * redirect URI is the app's.
 */
export const validate = (
  world: World,
  pairs: Pairs
): Effect.Effect<ValidRequest, OAuthError | RedirectedError> =>
  Effect.gen(function*() {
    const params = toParams(pairs)
    const doubled = duplicates(pairs)

    const clientId = doubled.includes("client_id") ? undefined : params.get("client_id")
    if (clientId === undefined) {
      return yield* new OAuthError({ error: "invalid_request", description: "exactly one client_id is required" })
    }
    const client = world.clients.get(clientId)
    if (client === undefined) {
      return yield* new OAuthError({ error: "invalid_client", description: "no such client is registered" })
    }
    const redirectUri = doubled.includes("redirect_uri") ? undefined : params.get("redirect_uri")
    if (redirectUri === undefined || !client.redirectUris.includes(redirectUri)) {
      return yield* new OAuthError({
        error: "invalid_request",
        description: "redirect_uri must be, to the letter, one that the client has registered"
      })
    }

    const state = doubled.includes("state") ? undefined : params.get("state")
    const refuse = (error: string, description: string) =>
      new RedirectedError({ location: refusal(world, { redirectUri, state }, error, description) })

    if (doubled.length > 0) return yield* refuse("invalid_request", `sent more than once: ${doubled.join(", ")}`)
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
    if (state === undefined || state.length < minimumStateLength) {
      return yield* refuse("invalid_request", `state is required, ${minimumStateLength} characters or more`)
    }
    const aud = params.get("aud")
    if (aud !== world.fhirBaseUrl) {
      return yield* refuse("invalid_request", "aud is required and must be, to the letter, the FHIR base URL")
    }

    const challenge = params.get("code_challenge")
    if (params.get("code_challenge_method") !== "S256") {
      return yield* refuse("invalid_request", "code_challenge_method must be S256")
    }
    if (challenge === undefined || !/^[A-Za-z0-9_-]{43}$/.test(challenge)) {
      return yield* refuse("invalid_request", "code_challenge must be 43 characters of base64url")
    }

    const scopes = Scope.splitScopes(params.get("scope") ?? "")
    if (scopes.length === 0) return yield* refuse("invalid_scope", "scope is required")
    const malformed = Scope.findMalformed(scopes)
    if (malformed !== undefined) return yield* refuse("invalid_scope", malformed)

    const launch = params.get("launch")
    if (scopes.includes("launch") !== (launch !== undefined)) {
      return yield* refuse("invalid_request", "the launch parameter and the launch scope go together")
    }
    const launchContext = launch === undefined ? undefined : yield* world.state.findLaunch(launch)
    if (launch !== undefined && launchContext === undefined) {
      return yield* refuse("invalid_request", "unknown launch")
    }
    // There is no session to go on with, so nobody can be signed in without being shown a page.
    if ((params.get("prompt") ?? "").split(" ").includes("none")) {
      return yield* refuse("login_required", "the person must be asked")
    }
    return { client, redirectUri, state, scopes, challenge, nonce: params.get("nonce"), launch: launchContext }
  })

const unknown = (what: string) =>
  new SandboxError({ reason: "UnknownResource", description: `the store has no ${what}` })

/** The context a grant establishes: the launch's in an EHR launch, what the scopes ask for in a standalone one. */
const resolveContext = (
  world: World,
  request: ValidRequest,
  scopes: ReadonlyArray<string>,
  user: string,
  decision: Decision
): Effect.Effect<LaunchContext, SandboxError> =>
  Effect.gen(function*() {
    const { launch } = request
    const ownId = user.startsWith("Patient/") ? user.slice("Patient/".length) : undefined
    const asksPatient = scopes.includes("launch/patient") || scopes.includes("launch/encounter") ||
      scopes.some((scope) => Scope.parseResourceScope(scope)?.context === "patient")
    const patient = decision.patient ?? launch?.patient ??
      (asksPatient ? ownId ?? world.store.search("Patient", [])[0]?.id : undefined)
    if (patient !== undefined && world.store.read("Patient", patient) === undefined) {
      return yield* unknown(`Patient/${patient}`)
    }
    const encounter = decision.encounter ?? launch?.encounter ??
      (patient !== undefined && scopes.includes("launch/encounter")
        ? world.store.search("Encounter", [["patient", patient]])[0]?.id
        : undefined)
    if (encounter !== undefined && world.store.read("Encounter", encounter) === undefined) {
      return yield* unknown(`Encounter/${encounter}`)
    }
    if (launch === undefined) {
      return {
        patient: asksPatient ? patient : undefined,
        encounter: scopes.includes("launch/encounter") ? encounter : undefined
      }
    }
    return {
      ...launch,
      patient,
      encounter,
      needPatientBanner: launch.needPatientBanner ?? (patient === undefined ? undefined : true),
      smartStyleUrl: launch.smartStyleUrl ?? world.endpoints.style
    }
  })

/** The scopes a person grants who takes nothing away. */
export const grantable = (request: ValidRequest): ReadonlyArray<string> =>
  request.scopes.filter((scope) =>
    Scope.isGrantableToUser(scope) &&
    (request.client.scopes === undefined || Scope.covers(request.client.scopes, scope))
  )

/** Whether a request leaves the choice of a patient to the person. */
export const choosesPatient = (request: ValidRequest): boolean =>
  request.launch?.patient === undefined &&
  request.scopes.some((scope) =>
    scope === "launch/patient" || scope === "launch/encounter" ||
    Scope.parseResourceScope(scope)?.context === "patient"
  )

/** Issues a code for an approved request; the answer is where the browser goes. */
export const approve = (
  world: World,
  request: ValidRequest,
  decision: Decision
): Effect.Effect<string, SandboxError> =>
  Effect.gen(function*() {
    const scopes = decision.scopes ?? grantable(request)
    const firstPractitioner = world.store.search("Practitioner", [])[0]?.id ?? "unknown"
    const user = decision.user ?? request.launch?.user ?? `Practitioner/${firstPractitioner}`
    const [type = "", id = ""] = user.split("/")
    if (world.store.read(type, id) === undefined) return yield* unknown(user)
    const context = yield* resolveContext(world, request, scopes, user, decision)
    const grant = yield* world.state.addGrant({
      clientId: request.client.clientId,
      scopes,
      context,
      user,
      nonce: request.nonce
    })
    const code = yield* world.state.addCode({ grant, redirectUri: request.redirectUri, challenge: request.challenge })
    return respond(world, request.redirectUri, { code: code.value, state: request.state })
  })
