/**
 * The pages of the sandbox: consent, granted access, and authorization errors that must not be redirected. They have no
 * scripts and escape all values.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { escape } from "../../base/Html.js"
import * as Authorize from "./authorize.js"
import * as Http from "./http.js"
import type { OAuthError, SandboxError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"
import type { Grant, ValidRequest } from "./state.js"
import type { FhirResource } from "./syntheticData.js"

const STYLE =
  ":root{color-scheme:light dark;font:100%/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}a{color:LinkText}" +
  "body{margin:0}main{box-sizing:border-box;max-width:40rem;margin:0 auto;padding:2rem 1rem}" +
  "h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem}code{overflow-wrap:anywhere}" +
  "nav ul{padding:0;list-style:none}nav a,button{display:block;box-sizing:border-box;width:100%;min-height:2.75rem;" +
  "margin:.5rem 0;padding:.6rem 1rem;border:1px solid;border-radius:.4rem;font:inherit;text-align:start}"

/** The digest of `STYLE`. When it is wrong, the console of a browser prints the right one. */
const STYLE_HASH = "sha256-x7xM//AV6eQ2s/fr2bZajcV7tDZC7Ue9wWvJHf/6qKs="

const page = (title: string, content: string, status = 200): Http.SandboxResponse =>
  Http.text(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>` +
      `<meta name="viewport" content="width=device-width,initial-scale=1"><style>${STYLE}</style></head>` +
      `<body><main><h1>${escape(title)}</h1>${content}</main></body></html>`,
    {
      status,
      contentType: "text/html; charset=utf-8",
      headers: {
        "cache-control": "no-store",
        "content-security-policy":
          `default-src 'none'; style-src '${STYLE_HASH}'; form-action 'self'; frame-ancestors *`,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff"
      }
    }
  )

/** The page of an authorization error that must not be redirected. */
export const refused = (error: string, description: string, status = 400): Http.SandboxResponse =>
  page("Request refused", `<p><code>${escape(error)}</code></p><p>${escape(description)}</p>`, status)

const nameOf = ({ name }: FhirResource): string => {
  const [first]: ReadonlyArray<unknown> = Array.isArray(name) ? name : []
  if (!Predicate.isRecord(first)) return ""
  const { family, given } = first
  const parts = [...(Array.isArray(given) ? given : []), family].filter((part) => typeof part === "string")
  return parts.length === 0 ? "" : `, ${escape(parts.join(" "))}`
}

/** The consent page, with a link for each decision. */
export const consent = (sandbox: Sandbox, request: ValidRequest, ticket: string): Http.SandboxResponse => {
  const decide = (decision: string, patient?: string): string => {
    const query = new URLSearchParams({ ticket, decision, ...(patient === undefined ? {} : { patient }) })
    return escape(`${sandbox.endpoints.authorization}/decision?${query.toString()}`)
  }
  const approvals = Authorize.needsPatient(request)
    ? sandbox.store.search("Patient", []).map((patient) =>
      `<li><a href="${decide("approve", patient.id)}">Approve for Patient/${escape(patient.id)}${
        nameOf(patient)
      }</a></li>`
    )
    : [`<li><a href="${decide("approve")}">Approve</a></li>`]
  const { client, scopes } = request
  return page(
    `Sandbox EHR: allow access for ${client.name ?? client.clientId}?`,
    `<h2>Requested scopes</h2><ul>${scopes.map((scope) => `<li><code>${escape(scope)}</code></li>`).join("")}</ul>` +
      `<nav aria-labelledby="decision"><h2 id="decision">Your decision</h2>` +
      `<ul>${approvals.join("")}<li><a href="${decide("deny")}">Deny</a></li></ul></nav>`
  )
}

/** The response to a valid authorization request: a redirect, or the consent page. */
export const decideOrAsk =
  (sandbox: Sandbox) => (valid: ValidRequest): Effect.Effect<Http.SandboxResponse, SandboxError> =>
    sandbox.autoApprove === undefined
      ? Effect.map(sandbox.state.addPending(valid), (ticket) =>
        sandbox.consentPage === undefined
          ? consent(sandbox, valid, ticket)
          : Http.redirect(sandbox.consentPage(ticket), 303))
      : Effect.map(Authorize.approve(sandbox, valid, sandbox.autoApprove), (location) => Http.redirect(location))

/** The response to a request of the authorization endpoint. */
export const authorize = (
  validate: (pairs: Http.Pairs) => Effect.Effect<ValidRequest, OAuthError | Authorize.RedirectedError>,
  respond: (valid: ValidRequest) => Effect.Effect<Http.SandboxResponse, SandboxError | Authorize.RedirectedError>
) =>
(request: Http.SandboxRequest): Effect.Effect<Http.SandboxResponse> => {
  if (request.method === "POST" && !Http.isForm(request)) {
    return Effect.succeed(refused("invalid_request", "the content type must be application/x-www-form-urlencoded"))
  }
  const pairs: Http.Pairs = request.method === "POST"
    ? [...request.query, ...Http.parsePairs(request.body)]
    : request.query
  return validate(pairs).pipe(
    Effect.flatMap(respond),
    Effect.catchTags({
      OAuthError: (error) => Effect.succeed(refused(error.error, error.description)),
      RedirectedError: ({ location }) => Effect.succeed(Http.redirect(location)),
      SandboxError: (error) => Effect.succeed(refused("server_error", error.description, 500))
    })
  )
}

/** The granted access, with a button to revoke each (the `management_endpoint`). */
export const management = (sandbox: Sandbox, grants: ReadonlyArray<Grant>): Http.SandboxResponse =>
  page(
    "Sandbox EHR: access granted",
    grants.every((grant) => grant.revoked) ?
      "<p>No app has access.</p>" :
      `<ul>${
        grants.filter((grant) => !grant.revoked).map((grant) =>
          `<li><code>${escape(grant.clientId)}</code>: <code>${escape(grant.scopes.join(" "))}</code>` +
          `<form method="post" action="${escape(sandbox.endpoints.management)}">` +
          `<button name="grant" value="${escape(grant.id)}">Revoke access of ${
            escape(grant.clientId)
          }</button></form></li>`
        ).join("")
      }</ul>`
  )
