/**
 * The few pages of the sandbox: consent, the list of what was granted, and errors that must not be redirected. No scripts, everything escaped.
 *
 * @since 0.1.0
 */
import { escape } from "../../base/Html.js"
import * as Authorize from "./authorize.js"
import type { Reply } from "./message.js"
import * as Message from "./message.js"
import type { Grant } from "./state.js"
import type { ValidRequest, World } from "./world.js"

const page = (title: string, content: string, status = 200): Reply =>
  Message.text(
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

/** An authorization request that must not be answered with a redirect. */
export const refused = (error: string, description: string, status = 400): Reply =>
  page("Request refused", `<p><code>${escape(error)}</code></p><p>${escape(description)}</p>`, status)

/** Asks the person; each link decides once. */
export const consent = (world: World, request: ValidRequest, ticket: string): Reply => {
  const decide = (decision: string, patient?: string): string => {
    const query = new URLSearchParams({ ticket, decision, ...(patient === undefined ? {} : { patient }) })
    return escape(`${world.endpoints.authorization}/decision?${query.toString()}`)
  }
  const approvals = Authorize.choosesPatient(request)
    ? world.store.search("Patient", []).map(({ id }) =>
      `<li><a href="${decide("approve", id)}">Approve for Patient/${escape(id)}</a></li>`
    )
    : [`<li><a href="${decide("approve")}">Approve</a></li>`]
  return page(
    "Sandbox EHR: allow access?",
    `<p><code>${escape(request.client.clientId)}</code> asks for:</p>` +
      `<ul>${request.scopes.map((scope) => `<li><code>${escape(scope)}</code></li>`).join("")}</ul>` +
      `<ul>${approvals.join("")}<li><a href="${decide("deny")}">Deny</a></li></ul>`
  )
}

/** What was granted, with a button to end each (the `management_endpoint`). */
export const management = (world: World, grants: ReadonlyArray<Grant>): Reply =>
  page(
    "Sandbox EHR: access granted",
    `<ul>${
      grants.filter((grant) => !grant.revoked).map((grant) =>
        `<li><code>${escape(grant.clientId)}</code>: <code>${escape(grant.scopes.join(" "))}</code>` +
        `<form method="post" action="${escape(world.endpoints.management)}">` +
        `<button name="grant" value="${escape(grant.id)}">End access</button></form></li>`
      ).join("")
    }</ul>`
  )
