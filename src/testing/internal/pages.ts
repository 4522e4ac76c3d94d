/**
 * The pages of the sandbox: consent, granted access, and authorization errors that must not be redirected. They have no
 * scripts and escape all values.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { escape } from "../../base/Html.js"
import * as Authorize from "./authorize.js"
import * as Http from "./http.js"
import type { OAuthError, SandboxError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"
import type { Grant, ValidRequest } from "./state.js"

const page = (title: string, content: string, status = 200): Http.SandboxResponse =>
  Http.text(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title></head>` +
      `<body><h1>${escape(title)}</h1>${content}</body></html>`,
    {
      status,
      contentType: "text/html; charset=utf-8",
      headers: {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors *",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff"
      }
    }
  )

/** The page of an authorization error that must not be redirected. */
export const refused = (error: string, description: string, status = 400): Http.SandboxResponse =>
  page("Request refused", `<p><code>${escape(error)}</code></p><p>${escape(description)}</p>`, status)

/** The consent page, with a link for each decision. */
export const consent = (sandbox: Sandbox, request: ValidRequest, ticket: string): Http.SandboxResponse => {
  const decide = (decision: string, patient?: string): string => {
    const query = new URLSearchParams({ ticket, decision, ...(patient === undefined ? {} : { patient }) })
    return escape(`${sandbox.endpoints.authorization}/decision?${query.toString()}`)
  }
  const approvals = Authorize.needsPatient(request)
    ? sandbox.store.search("Patient", []).map(({ id }) =>
      `<li><a href="${decide("approve", id)}">Approve for Patient/${escape(id)}</a></li>`
    )
    : [`<li><a href="${decide("approve")}">Approve</a></li>`]
  return page(
    "Sandbox EHR: allow access?",
    `<p><code>${escape(request.client.clientId)}</code> requests:</p>` +
      `<ul>${request.scopes.map((scope) => `<li><code>${escape(scope)}</code></li>`).join("")}</ul>` +
      `<ul>${approvals.join("")}<li><a href="${decide("deny")}">Deny</a></li></ul>`
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
    `<ul>${
      grants.filter((grant) => !grant.revoked).map((grant) =>
        `<li><code>${escape(grant.clientId)}</code>: <code>${escape(grant.scopes.join(" "))}</code>` +
        `<form method="post" action="${escape(sandbox.endpoints.management)}">` +
        `<button name="grant" value="${escape(grant.id)}">Revoke access</button></form></li>`
      ).join("")
    }</ul>`
  )
