/**
 * How far a token reaches into the FHIR store, and how the sandbox says that it does not (SMART App Launch 2.2, "Scopes for requesting FHIR
 * Resources"; RFC 6750 §3).
 *
 * @since 0.1.0
 */
import type { Reply } from "./message.js"
import * as Message from "./message.js"
import type { ResourceScope } from "./scope.js"
import * as Scope from "./scope.js"
import type { AccessToken } from "./state.js"
import type { FhirResource } from "./syntheticData.js"
import type { World } from "./world.js"

/** The content type of every answer. */
export const fhirJson = "application/fhir+json"

/** An OperationOutcome. */
export const outcome = (
  status: number,
  code: string,
  diagnostics: string,
  headers: Readonly<Record<string, string>> = {}
): Reply =>
  Message.json(
    { resourceType: "OperationOutcome", issue: [{ severity: "error", code, diagnostics }] },
    { status, headers, contentType: fhirJson }
  )

/** No token, or none that is good. */
export const unauthorized = (presented: boolean): Reply =>
  outcome(401, "login", presented ? "the access token is not good, or no longer" : "an access token is required", {
    "www-authenticate": presented ? "Bearer realm=\"sandbox\", error=\"invalid_token\"" : "Bearer realm=\"sandbox\""
  })

/** A good token for something else. */
export const insufficientScope: Reply = outcome(403, "forbidden", "the granted scopes do not reach this far", {
  "www-authenticate": "Bearer realm=\"sandbox\", error=\"insufficient_scope\""
})

/** Nothing there. */
export const notFound = (what: string): Reply => outcome(404, "not-found", `no ${what} here`)

/** The token's scopes that allow one of `cruds` on a type. */
export const rulesFor = (token: AccessToken, type: string, letter: string): ReadonlyArray<ResourceScope> =>
  token.scopes.flatMap((scope) => {
    const rule = Scope.parseResourceScope(scope)
    return rule !== undefined && (rule.type === type || rule.type === "*") && rule.letters.includes(letter)
      ? [rule]
      : []
  })

/** Whether one rule lets the token see a resource; what is about no patient at all is seen by everyone whose scope covers its type. */
export const visible = (world: World, token: AccessToken, rule: ResourceScope, resource: FhirResource): boolean => {
  const about = world.store.patientOf(resource)
  const user = token.grant?.user ?? ""
  const ownPatient = rule.context === "patient"
    ? token.grant?.context.patient ?? ""
    : rule.context === "user" && user.startsWith("Patient/")
    ? user.slice("Patient/".length)
    : undefined
  return (ownPatient === undefined || about === undefined || about === ownPatient) &&
    rule.constraints.every(([name, value]) => world.store.matches(resource, name, value))
}

/** Whether the token may do something with a resource. */
export const mayTouch = (world: World, token: AccessToken, letter: string, resource: FhirResource): boolean =>
  rulesFor(token, resource.resourceType, letter).some((rule) => visible(world, token, rule, resource))
