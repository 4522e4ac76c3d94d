/**
 * The access of a token to the FHIR store, and the responses that deny it (SMART App Launch 2.2, "Scopes for requesting
 * FHIR Resources"; RFC 6750 §3).
 *
 * @since 0.1.0
 */
import * as Http from "./http.js"
import type { Sandbox } from "./sandbox.js"
import * as Scope from "./scope.js"
import type { AccessToken } from "./state.js"
import type { FhirResource } from "./syntheticData.js"

/** A FHIR request with a valid access token; `path` is relative to the FHIR base URL. */
export interface FhirRequest extends Http.SandboxRequest {
  readonly sandbox: Sandbox
  readonly token: AccessToken
  readonly now: number
}

/** The content type of FHIR responses. */
export const fhirJson = "application/fhir+json"

/** A response with an OperationOutcome. */
export const outcome = (
  status: number,
  code: string,
  diagnostics: string,
  headers: Readonly<Record<string, string>> = {}
): Http.SandboxResponse =>
  Http.json(
    { resourceType: "OperationOutcome", issue: [{ severity: "error", code, diagnostics }] },
    { status, headers, contentType: fhirJson }
  )

/** The response to a request without a valid access token. */
export const unauthorized = (hasToken: boolean): Http.SandboxResponse =>
  outcome(401, "login", hasToken ? "the access token is invalid or has expired" : "an access token is required", {
    "www-authenticate": hasToken ? "Bearer realm=\"sandbox\", error=\"invalid_token\"" : "Bearer realm=\"sandbox\""
  })

/** The response to a request that the token's scopes do not allow. */
export const insufficientScope: Http.SandboxResponse = outcome(
  403,
  "forbidden",
  "the granted scopes do not allow this request",
  { "www-authenticate": "Bearer realm=\"sandbox\", error=\"insufficient_scope\"" }
)

/** The response to a request for something that does not exist. */
export const notFound = (what: string): Http.SandboxResponse => outcome(404, "not-found", `no ${what} here`)

/** The token's scopes with a permission (a letter of `cruds`) on a type. */
export const scopesFor = (token: AccessToken, type: string, letter: string): ReadonlyArray<Scope.ResourceScope> =>
  token.scopes.flatMap((scope) => {
    const parsed = Scope.parseResourceScope(scope)
    return parsed !== undefined && (parsed.type === type || parsed.type === "*") && parsed.letters.includes(letter)
      ? [parsed]
      : []
  })

/** Whether a scope covers a resource. A resource outside every patient compartment needs only a scope for its type. */
export const coversResource = (
  { sandbox, token }: Pick<FhirRequest, "sandbox" | "token">,
  scope: Scope.ResourceScope,
  resource: FhirResource
): boolean => {
  const compartment = sandbox.store.patientOf(resource)
  const user = token.grant?.user ?? ""
  const ownPatient = scope.context === "patient"
    ? token.grant?.context.patient ?? ""
    : scope.context === "user" && user.startsWith("Patient/")
    ? user.slice("Patient/".length)
    : undefined
  return (ownPatient === undefined || compartment === undefined || compartment === ownPatient) &&
    scope.constraints.every(([name, value]) => sandbox.store.matches(resource, name, value))
}

/** Whether the token has a permission (a letter of `cruds`) on a resource. */
export const isPermitted = (request: FhirRequest, letter: string, resource: FhirResource): boolean =>
  scopesFor(request.token, resource.resourceType, letter).some((scope) => coversResource(request, scope, resource))
