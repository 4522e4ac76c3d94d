import * as Effect from "effect/Effect"
import { UdapDiscovery } from "effect-safire/udap"
import { community } from "./trust.js"

/** Where an app registers, or why it cannot. */
export const registration = (fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const discovery = yield* UdapDiscovery.UdapDiscovery
    const metadata = yield* discovery.metadata(fhirBaseUrl, { community })
    for (const { advice, message, requirement } of metadata.conformance()) {
      yield* Effect.logInfo(`${fhirBaseUrl}: ${message} [${requirement ?? ""}]; ${advice}`)
    }
    return metadata.supportsRegistration ? metadata.registrationEndpoint : "it does not register apps"
  }).pipe(
    Effect.catchTags({
      UdapDiscoveryError: (error) =>
        error.reason === "NotSupported" || error.reason === "CommunityUnknown"
          ? Effect.succeed("it is not in the community")
          : Effect.fail(error),
      // All problems, not only the first.
      TrustError: (error) =>
        Effect.zipRight(
          Effect.forEach(
            error.problems,
            ({ certificate, detail, rule }) =>
              Effect.logError(`${certificate ?? "signed_metadata"}: ${detail} [${rule}]`)
          ),
          Effect.fail(error)
        )
    })
  )
