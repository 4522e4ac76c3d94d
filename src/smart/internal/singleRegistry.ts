/**
 * The registry of one client. It never changes.
 */
import * as Effect from "effect/Effect"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import * as Url from "../../base/Url.js"
import type * as SmartClient from "../SmartClient.js"
import type { UnknownServerError } from "../UnknownServerError.js"
import type { Service } from "./registry.js"
import { baseUrlKey, unknownServer } from "./registry.js"

/** @internal */
export const make = (client: SmartClient.Service): Service => {
  const { fhirBaseUrl, redirectUri } = client.config
  const clientIf = (matches: boolean, reason: UnknownServerError["reason"], requested: string) =>
    matches ? Effect.succeed(client) : unknownServer(reason, requested, [client.name])
  const byKey: Service["client"] = (key) => clientIf(key === client.name, "UnknownKey", key)
  return {
    keys: Effect.succeed([client.name]),
    client: byKey,
    forLaunchIss: (iss, { server = client.name } = {}) =>
      clientIf(
        baseUrlKey(iss) !== undefined && baseUrlKey(iss) === baseUrlKey(fhirBaseUrl) && server === client.name,
        "UnknownIssuer",
        Url.forDisplay(iss)
      ),
    only: Effect.succeed(client),
    redirectUris: Effect.succeed(redirectUri === undefined ? [] : [redirectUri]),
    add: () =>
      new ConfigurationError({
        reason: "Conflict",
        fields: ["SmartServers.layerFromClient"],
        detail: "a registry of one client cannot change; use SmartServers.layer"
      }),
    remove: () => Effect.void,
    invalidate: (key) => Effect.flatMap(byKey(key), ({ invalidate }) => invalidate)
  }
}
