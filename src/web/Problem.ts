/**
 * Failures as pages for the user: what happened, what to do next, and a reference to the log message. A page contains
 * no text of a URL or a server.
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
 * - `AccessDenied`: the user or a policy of the EHR denied access.
 * - `LaunchInvalid`: the launch URL is malformed, or its issuer is not trusted.
 * - `LaunchOver`: the browser has no pending launch for the callback.
 * - `SignedOut`: the request has no session, or the session needs a new launch.
 * - `Forbidden`, `NotFound`: the EHR does not give access to the resource, or does not have it.
 * - `CrossSite`: another site made the browser send the request.
 * - `ServerUnavailable`: the EHR is down or busy; the same request may succeed later.
 * - `LaunchInterrupted`: the EHR failed during a launch, which must start again.
 * - `ServerRefused`: the EHR rejected the request, or its response is invalid.
 * - `AppUnavailable`: the session store of the app is not available.
 * - `AppFailed`: the app or its configuration has a defect.
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
 * The content of an error page: a kind, its texts, and the reference of the log line.
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem {
  /** For a program: the cause of the page. */
  readonly kind: Kind
  /** The HTTP status of the page. */
  readonly status: number
  /** The heading for the person. */
  readonly title: string
  /** What happened and what the person can do. */
  readonly text: string
  /** Also in the log, as the annotation `reference`. */
  readonly reference: string
  /** A link within the app. */
  readonly action?: { readonly label: string; readonly href: string } | undefined
}

/**
 * The errors that the routes and `CurrentSession.required` turn into pages.
 *
 * @since 0.1.0
 * @category models
 */
export type Failure = StartLaunchError | CompleteLaunchError | SessionFailure | LaunchError | FhirError

const PAGES: Record<Kind, Pick<Problem, "status" | "title" | "text">> = {
  AccessDenied: {
    status: 403,
    title: "Access was not given",
    text:
      "The app did not get access to the health record. You can start the app again and allow access, or close this page."
  },
  LaunchInvalid: {
    status: 400,
    title: "The app could not be started from here",
    text:
      "The link is incomplete, or it comes from a health record system that this app does not work with. Open the app from the health record again."
  },
  LaunchOver: {
    status: 400,
    title: "This sign-in is no longer valid",
    text: "The sign-in was started in another browser, took too long, or was already used. Please start the app again."
  },
  SignedOut: {
    status: 401,
    title: "You are signed out",
    text: "Your session has ended. Start the app again to continue."
  },
  Forbidden: {
    status: 403,
    title: "You do not have access to this",
    text: "The health record system does not allow this app to show it with your access rights."
  },
  NotFound: {
    status: 404,
    title: "The record was not found",
    text: "The health record system does not have this record, or does not show it to this app."
  },
  CrossSite: {
    status: 403,
    title: "Please try this again in the app",
    text: "For your safety the app only accepts requests from its own pages. Nothing was changed."
  },
  ServerUnavailable: {
    status: 503,
    title: "The health record system is not available",
    text: "It may be busy or under maintenance. Wait a minute, then reload this page or start the app again."
  },
  LaunchInterrupted: {
    status: 503,
    title: "The health record system is not available",
    text:
      "The sign-in could not be completed, because the system may be busy or under maintenance. Wait a minute, then start the app again."
  },
  ServerRefused: {
    status: 502,
    title: "The health record system did not accept the app",
    text:
      "Trying again will probably not help. Please report the problem to the support of this app with the reference below."
  },
  AppUnavailable: {
    status: 503,
    title: "The app is not available at the moment",
    text: "Please reload this page in a minute."
  },
  AppFailed: {
    status: 500,
    title: "The app has a problem",
    text: "You did nothing wrong. Please report the problem to the support of this app with the reference below."
  }
}

const unavailableOr = (error: { readonly isRetryable: boolean }, otherwise: Kind): Kind =>
  error.isRetryable ? "ServerUnavailable" : otherwise

const ofAuthorization = (error: AuthorizationError): Kind => {
  switch (error.reason) {
    case "AccessDenied":
      return "AccessDenied"
    case "InvalidIdentityProvider":
      return "ServerRefused"
    case "Refused":
      return error.error === "temporarily_unavailable" || error.error === "server_error"
        ? "LaunchInterrupted"
        : "ServerRefused"
    case "IssuerNotComparable":
      // A new launch fails the same way until the configuration of the app changes.
      return "AppFailed"
    case "ModuleUnavailable":
      return "AppUnavailable"
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
  if (error.reason === "ModuleUnavailable") return "AppUnavailable"
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
 * The kind of page for an error.
 *
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
      if (error.reason === "ModuleUnavailable") return "AppUnavailable"
      return isUnavailable(error) ? "ServerUnavailable" : unavailableOr(error, "ServerRefused")
    case "ClientAuthenticationError":
      return error.reason === "StoreFailed" ? "AppUnavailable" : unavailableOr(error, "ServerRefused")
    case "TokenError":
      return ofToken(error)
    case "IdTokenError":
      if (error.reason === "ModuleUnavailable") return "AppUnavailable"
      // The code is already used.
      return error.reason === "KeysUnavailable" ? "LaunchInterrupted" : "ServerRefused"
    case "FhirError":
      return ofFhir(error)
    case "ConfigurationError":
      return "AppFailed"
  }
}

/**
 * A problem with its page.
 *
 * @internal
 */
export const make = (kind: Kind, reference: string, action?: Problem["action"]): Problem => ({
  kind,
  ...PAGES[kind],
  reference,
  action
})
