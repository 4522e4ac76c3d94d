/**
 * Cross-origin rules (SMART App Launch 2.2, "CORS"): any origin may read the public documents; only origins of
 * registered redirect URIs may use the token endpoint and the FHIR API.
 *
 * @since 0.1.0
 */
import type { Step } from "./fault.js"
import * as Http from "./http.js"
import type { Sandbox } from "./sandbox.js"

const publicSteps: ReadonlySet<Step> = new Set<Step>(["discovery", "udap", "openid", "jwks"])
const protectedSteps: ReadonlySet<Step> = new Set<Step>([
  "token",
  "fhir",
  "userinfo",
  "introspect",
  "revoke",
  "register"
])

const isRegistered = (sandbox: Sandbox, origin: string): boolean =>
  Array.from(sandbox.clients.values()).some((client) =>
    client.redirectUris.some((uri) => URL.canParse(uri) && new URL(uri).origin === origin)
  )

/** The headers that allow a page to read the response. */
const allowOrigin = (
  sandbox: Sandbox,
  step: Step | undefined,
  request: Http.SandboxRequest
): Readonly<Record<string, string>> => {
  const isPublic = step !== undefined && publicSteps.has(step) || /\/(?:metadata|style\.json)$/.test(request.path)
  if (isPublic) return { "access-control-allow-origin": "*" }
  const origin = request.headers["origin"]
  if (step === undefined || !protectedSteps.has(step) || origin === undefined) return {}
  if (!isRegistered(sandbox, origin)) return { vary: "origin" }
  const exposed = "etag, location, www-authenticate, retry-after"
  return { "access-control-allow-origin": origin, "access-control-expose-headers": exposed, vary: "origin" }
}

/** Adds the cross-origin headers to a response. */
export const allow = (
  sandbox: Sandbox,
  step: Step | undefined,
  request: Http.SandboxRequest,
  response: Http.SandboxResponse
): Http.SandboxResponse => ({ ...response, headers: { ...allowOrigin(sandbox, step, request), ...response.headers } })

/** The response to a preflight request. */
export const preflight = (
  sandbox: Sandbox,
  step: Step | undefined,
  request: Http.SandboxRequest
): Http.SandboxResponse => {
  const headers = allowOrigin(sandbox, step, request)
  return Http.empty(
    204,
    // Only the headers SMART needs, so that tests detect a client that adds others (for tracing, for instance).
    headers["access-control-allow-origin"] === undefined ? headers : {
      ...headers,
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "accept, authorization, content-type"
    }
  )
}
