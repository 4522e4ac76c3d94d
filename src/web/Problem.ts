/**
 * What went wrong, for the person in front of the browser: no jargon, no blame, what to do next, and a reference by which whoever runs the app finds the
 * whole story in the log. Nothing in it comes from a URL or a server.
 *
 * @since 0.1.0
 */
import type { FhirError } from "../fhir/FhirError.js"
import type { AuthorizationError } from "../launch/AuthorizationError.js"
import type { LaunchError } from "../launch/LaunchError.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type { SessionError } from "../session/SessionError.js"
import type { CompleteLaunchError, SessionFailure, StartLaunchError } from "../session/Sessions.js"
import type { TokenError } from "../token/TokenError.js"

/**
 * `AccessDenied`: the person, or a policy of the EHR, said no. `LaunchInvalid`: what called the launch URL is no launch this app follows. `LaunchOver`: the
 * callback belongs to no launch that this browser waits for. `SignedOut`: there is no session, or it cannot go on. `Forbidden`: this session may not do
 * that. `NotFound`: the EHR does not have it. `CrossSite`: another site made the browser send it. `ServerUnavailable`: the EHR is down or busy, and what
 * was asked for may be asked for again. `LaunchInterrupted`: it went down in the middle of a launch, which has to begin anew. `ServerRefused`: the EHR
 * answered, but not as it should. `AppUnavailable`: the app's own store cannot be used. `AppFailed`: it is a mistake of the app.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind =
  | "AccessDenied"
  | "LaunchInvalid"
  | "LaunchOver"
  | "SignedOut"
  | "Forbidden"
  | "NotFound"
  | "CrossSite"
  | "ServerUnavailable"
  | "LaunchInterrupted"
  | "ServerRefused"
  | "AppUnavailable"
  | "AppFailed"

/**
 * @since 0.1.0
 * @category models
 */
export interface Problem {
  readonly kind: Kind
  /** The HTTP status of the page. */
  readonly status: number
  readonly title: string
  readonly text: string
  /** Stands in the log, too, as the annotation `reference`. */
  readonly reference: string
  /** A way on, within the app. */
  readonly action?: { readonly label: string; readonly href: string } | undefined
}

/**
 * What the routes of this room, and handlers behind `CurrentSession.required`, may fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure = StartLaunchError | CompleteLaunchError | SessionFailure | LaunchError | FhirError

const WORDS: Record<Kind, Pick<Problem, "status" | "title" | "text">> = {
  AccessDenied: {
    status: 403,
    title: "Access was not given",
    text:
      "The app was not given access to the health record, so it cannot show anything. You can start it again and allow access, or close this page."
  },
  LaunchInvalid: {
    status: 400,
    title: "The app could not be started from here",
    text:
      "The link that led here does not come from a health record system this app works with, or is damaged. Start the app from the health record again."
  },
  LaunchOver: {
    status: 400,
    title: "This sign-in is no longer valid",
    text: "It was started in another browser, took too long, or was used before. Nothing is lost: start the app again."
  },
  SignedOut: {
    status: 401,
    title: "You are signed out",
    text: "Your session has ended. To go on, start the app again."
  },
  Forbidden: {
    status: 403,
    title: "This is not open to you",
    text: "The health record system does not let this app see that with the access it was given."
  },
  NotFound: {
    status: 404,
    title: "There is no such record",
    text: "The health record system has no such entry, or none that this app may know of."
  },
  CrossSite: {
    status: 403,
    title: "Please repeat that within the app",
    text: "The request did not come from a page of this app, so nothing was done."
  },
  ServerUnavailable: {
    status: 503,
    title: "The health record system does not answer",
    text:
      "It may be busy or down for a while. Nothing is lost: load this page again in a minute, or start the app again."
  },
  LaunchInterrupted: {
    status: 503,
    title: "The health record system does not answer",
    text:
      "It may be busy or down for a while, and the sign-in could not be finished. Nothing is lost: start the app again in a minute."
  },
  ServerRefused: {
    status: 502,
    title: "The health record system turned the app down",
    text:
      "It answered in a way the app cannot go on with. Trying again seldom helps; please report it with the reference below."
  },
  AppUnavailable: {
    status: 503,
    title: "The app cannot go on just now",
    text: "Nothing is lost: load this page again in a minute."
  },
  AppFailed: {
    status: 500,
    title: "Something is wrong with the app",
    text: "This is not your doing. Please report it with the reference below."
  }
}

const unavailableOr = (error: { readonly isRetryable: boolean }, otherwise: Kind): Kind =>
  error.isRetryable ? "ServerUnavailable" : otherwise

const ofAuthorization = (error: AuthorizationError): Kind => {
  switch (error.reason) {
    case "AccessDenied":
      return "AccessDenied"
    case "Refused":
      return error.error === "temporarily_unavailable" || error.error === "server_error"
        ? "LaunchInterrupted"
        : "ServerRefused"
    case "IssuerNotComparable":
      // A new launch ends the same way until the app's settings change.
      return "AppFailed"
    default:
      return "LaunchOver"
  }
}

const ofSession = ({ reason }: SessionError): Kind => {
  switch (reason) {
    case "LaunchNotFound":
    case "BindingMismatch":
      return "LaunchOver"
    case "NotFound":
    case "NeedsRelaunch":
      return "SignedOut"
    case "StoreUnavailable":
    case "LockTimeout":
    case "LockLost":
      return "AppUnavailable"
    default:
      return "AppFailed"
  }
}

const ofToken = (error: TokenError): Kind => {
  if (error.error === "invalid_grant") return error.operation === "exchangeCode" ? "LaunchOver" : "SignedOut"
  if (error.operation === "exchangeCode" && error.isRetryable && error.processed !== "no") return "LaunchInterrupted"
  return unavailableOr(error, "ServerRefused")
}

const ofFhir = (error: FhirError): Kind => {
  switch (error.reason) {
    case "Unauthorized":
      return "SignedOut"
    case "Forbidden":
      return "Forbidden"
    case "NotFound":
    case "Gone":
      return "NotFound"
    case "Unreachable":
    case "TimedOut":
    case "Unavailable":
      return "ServerUnavailable"
    default:
      return "ServerRefused"
  }
}

const isUnavailable = ({ reason }: DiscoveryError): boolean => reason === "Unreachable" || reason === "TimedOut"

/**
 * @since 0.1.0
 * @category accessors
 */
export const kindOf = (error: Failure): Kind => {
  switch (error._tag) {
    case "LaunchError":
    case "UnknownServerError":
      return "LaunchInvalid"
    case "AuthorizationError":
      return ofAuthorization(error)
    case "SessionError":
      return ofSession(error)
    case "DiscoveryError":
      return isUnavailable(error) ? "ServerUnavailable" : unavailableOr(error, "ServerRefused")
    case "TokenError":
      return ofToken(error)
    case "IdTokenError":
      // The code is spent by then.
      return error.reason === "KeysUnavailable" ? "LaunchInterrupted" : "ServerRefused"
    case "FhirError":
      return ofFhir(error)
    case "ConfigurationError":
      return "AppFailed"
  }
}

/**
 * What the routes know without an error.
 *
 * @internal
 */
export const make = (kind: Kind, reference: string, action?: Problem["action"]): Problem => ({
  kind,
  ...WORDS[kind],
  reference,
  action
})
