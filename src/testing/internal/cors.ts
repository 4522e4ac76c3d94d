/**
 * Cross-origin rules (SMART App Launch 2.2, "CORS"): any origin may read what the server says about itself, only origins of registered redirect
 * URIs may use the token endpoint and the FHIR API.
 *
 * @since 0.1.0
 */
import type { Step } from "./fault.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import type { World } from "./world.js"

const openSteps: ReadonlySet<Step> = new Set<Step>(["discovery", "openid", "jwks"])
const closedSteps: ReadonlySet<Step> = new Set<Step>(["token", "fhir", "userinfo", "introspect", "revoke", "register"])

const isRegistered = (world: World, origin: string): boolean =>
  Array.from(world.clients.values()).some((client) =>
    client.redirectUris.some((uri) => URL.canParse(uri) && new URL(uri).origin === origin)
  )

/** The headers that let a page read the answer; none where it may not. */
const allowOrigin = (
  world: World,
  step: Step | undefined,
  request: SandboxRequest
): Readonly<Record<string, string>> => {
  const isPublicDocument = step !== undefined && openSteps.has(step) ||
    request.path.endsWith("/metadata") || request.path.endsWith("/style.json")
  if (isPublicDocument) return { "access-control-allow-origin": "*" }
  const origin = request.headers["origin"]
  if (step === undefined || !closedSteps.has(step) || origin === undefined) return {}
  return isRegistered(world, origin)
    ? {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "etag, location, www-authenticate, retry-after",
      vary: "origin"
    }
    : { vary: "origin" }
}

/** An answer, made readable for the pages that may read it. */
export const allow = (world: World, step: Step | undefined, request: SandboxRequest, reply: Reply): Reply => ({
  ...reply,
  headers: { ...allowOrigin(world, step, request), ...reply.headers }
})

/** The answer to a preflight request. */
export const preflight = (world: World, step: Step | undefined, request: SandboxRequest): Reply => {
  const origin = allowOrigin(world, step, request)
  return Message.empty(204, {
    ...origin,
    ...("access-control-allow-origin" in origin
      ? {
        "access-control-allow-methods": "GET, POST",
        // Nothing but what SMART needs: a client that adds headers of its own (tracing, for instance) is found out.
        "access-control-allow-headers": "accept, authorization, content-type"
      }
      : {})
  })
}
