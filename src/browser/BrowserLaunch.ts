/**
 * Launches of a public client in a browser page (SMART App Launch 2.2), in the same window or in a popup. `Sessions`
 * verifies them as on a server. This module stores a launch until its callback, removes the code from the address bar,
 * and handles reloads, the back button and other tabs.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { span } from "../base/Span.js"
import type * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import { stateOf } from "../launch/AuthorizationCallback.js"
import type { LaunchError } from "../launch/LaunchError.js"
import * as LaunchRequest from "../launch/LaunchRequest.js"
import { TrustedIssuers } from "../launch/TrustedIssuers.js"
import { isUnreadable, type SessionError } from "../session/SessionError.js"
import * as Sessions from "../session/Sessions.js"
import * as SessionStore from "../session/SessionStore.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import { BrowserLaunchError } from "./BrowserLaunchError.js"
import * as PopupRelay from "./internal/popupRelay.js"
import * as TabStore from "./internal/tabStore.js"
import * as Page from "./Page.js"

export type { TokenStorage } from "./internal/tabStore.js"

/**
 * The window of a launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface WindowOptions {
  /**
   * `same` leaves the page; the callback loads it again. `popup` keeps the page and needs a click: run the effect in
   * the event handler itself. Default `same`.
   */
  readonly window?: "same" | "popup" | undefined
}

/**
 * Options of one launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchOptions extends WindowOptions, Omit<Sessions.StartLaunchOptions, "browserBinding"> {}

/**
 * `server` selects a registration, if the app is registered several times at the server of the launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface FollowOptions extends Omit<LaunchOptions, "iss" | "launch"> {}

/**
 * The result of opening the page.
 *
 * - `SignedIn`: the tab has this session.
 * - `SignedOut`: the tab has no session.
 * - `CallbackForwarded`: this is a popup, and the page that opened it received the callback. The popup
 *   closes itself; if the browser does not allow that, tell the user to close it.
 *
 * @since 0.1.0
 * @category models
 */
export type Opened =
  | { readonly _tag: "SignedIn"; readonly session: Sessions.SessionId }
  | { readonly _tag: "SignedOut" }
  | { readonly _tag: "CallbackForwarded" }

/**
 * The errors of a launch from a page.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure = Sessions.StartLaunchError | Sessions.CompleteLaunchError | LaunchError | BrowserLaunchError

/**
 * Launches from a page, and the session of its tab.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The purpose for which this page was loaded. */
  readonly purpose: Page.Purpose
  /**
   * Run it when the page is loaded. It completes a callback, follows an EHR launch in this window (then it does not
   * return), or finds the session of this tab.
   */
  readonly open: Effect.Effect<Opened, Failure>
  /** A standalone launch. In the same window it leaves the page, and fails with `Returned` if the user comes back. */
  readonly launch: (options?: LaunchOptions) => Effect.Effect<Sessions.SessionId, Failure>
  /** Follows the EHR launch for which this page was loaded: for pages that ask the user first. */
  readonly followLaunch: (options?: FollowOptions) => Effect.Effect<Sessions.SessionId, Failure>
  /** The current session of this tab. */
  readonly current: Effect.Effect<Option.Option<Sessions.SessionId>, SessionError>
  /** Ends the session of this tab, here and at the server, and in other tabs that share it. */
  readonly end: Effect.Effect<void, SessionError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class BrowserLaunch extends Context.Tag("effect-safire/browser/BrowserLaunch")<BrowserLaunch, Service>() {}

/**
 * Options of `layer`: where tokens are stored, and how popups behave.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Sessions.Options {
  /**
   * Where tokens are stored. `memory`: until the page is left or reloaded. `sessionStorage`: until the tab is closed.
   * `localStorage`: for all tabs of the origin. Scripts of the page can read the last two. Default `memory`.
   */
  readonly tokens?: TabStore.TokenStorage | undefined
  /** Options with which `open` follows an EHR launch, such as its scopes. */
  readonly ehrLaunch?: Omit<FollowOptions, "window"> | undefined
  /** Default 480 by 640. */
  readonly popupSize?: Page.PopupSize | undefined
  /** How long `launch` waits for the callback of a popup. Default 10 minutes. */
  readonly popupTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a popup that seems closed ends the launch. Set it to false for servers whose pages send
   * `Cross-Origin-Opener-Policy`: their popups seem closed while they are open. Default true.
   */
  readonly watchPopup?: boolean | undefined
}

const POLL_MILLIS = 250
/** A message that the popup sent before it closed may still arrive. */
const LAST_MESSAGE_MILLIS = 1000

/** Fails when the popup is closed. */
const untilClosed = (popup: Page.Popup): Effect.Effect<never, BrowserLaunchError> =>
  Effect.delay(popup.isClosed, POLL_MILLIS).pipe(
    Effect.repeat({ until: (isClosed) => isClosed }),
    Effect.zipRight(Effect.sleep(LAST_MESSAGE_MILLIS)),
    Effect.zipRight(new BrowserLaunchError({ reason: "PopupClosed", detail: "the window of the launch was closed" }))
  )

const makeWith = (options: Options, tab: TabStore.TabStore) =>
  Effect.gen(function*() {
    const page = yield* Page.Page
    const sessions = yield* Sessions.Sessions
    const issuers = yield* Effect.provide(TrustedIssuers, SmartServers.layerTrustedIssuers)
    const popupSize = options.popupSize ?? { width: 480, height: 640 }

    const complete = (callback: AuthorizationCallback.Callback) =>
      Effect.gen(function*() {
        const id = yield* sessions.completeLaunch(callback)
        yield* sessions.session(id).pipe(
          Effect.catchIf(({ reason }) => reason === "NotFound", () =>
            new BrowserLaunchError({
              reason: "SessionGone",
              detail: "the callback was used before, and its session is not stored in this page"
            }))
        )
        const replaced = yield* tab.setCurrent(id)
        yield* page.removeParameters
        // No other tab has the replaced session. If its tokens cannot be removed, the new session is still usable.
        if (Option.isSome(replaced)) {
          yield* Effect.catchAll(
            sessions.remove(replaced.value),
            (error) => Effect.logWarning(`A replaced session was not removed: ${error.message}`)
          )
        }
        return id
      })

    const inSameWindow = (
      request: Sessions.StartLaunchOptions,
      keepInHistory: boolean
    ): Effect.Effect<never, Failure> =>
      Effect.gen(function*() {
        yield* tab.persistent
        const destination = yield* sessions.startLaunch(request)
        yield* page.leave(destination, { keepInHistory })
        return yield* new BrowserLaunchError({
          reason: "Returned",
          detail: "the browser shows the page that started the launch again"
        })
      })

    const inPopup = (request: Sessions.StartLaunchOptions): Effect.Effect<Sessions.SessionId, Failure> =>
      Effect.gen(function*() {
        // Before any wait: the browser allows a popup only for a short time after the click.
        const popup = yield* Effect.acquireRelease(page.openPopup(popupSize), ({ close }) => close)
        const destination = yield* sessions.startLaunch(request)
        const state = yield* stateOf(destination.url)
        const channel = yield* popup.channel(PopupRelay.channelName(state))
        yield* popup.go(destination)
        const callback = yield* PopupRelay.receive(channel, state).pipe(
          options.watchPopup === false ? (self) => self : Effect.raceFirst(untilClosed(popup)),
          Effect.timeoutFail({
            duration: options.popupTimeout ?? "10 minutes",
            onTimeout: () =>
              new BrowserLaunchError({ reason: "PopupTimedOut", detail: "the popup sent no callback in time" })
          })
        )
        return yield* complete(Redacted.value(callback))
      }).pipe(Effect.scoped)

    const launch: Service["launch"] = ({ window, ...request } = {}) =>
      window === "popup" ? inPopup(request) : inSameWindow(request, true)

    const followLaunch: Service["followLaunch"] = ({ server: requested, window, ...options } = {}) =>
      Effect.gen(function*() {
        const { iss, launch, server } = yield* LaunchRequest.decode(Redacted.value(page.arrivedAt), {
          server: requested
        }).pipe(
          Effect.provideService(TrustedIssuers, issuers)
        )
        const request = { ...options, iss, launch, server }
        // The page is replaced in the history, because its launch can be used only once.
        return yield* window === "popup" ? inPopup(request) : inSameWindow(request, false)
      })

    const current: Service["current"] = Effect.flatMap(
      tab.current,
      Option.match({
        onNone: () => Effect.succeedNone,
        onSome: (id) =>
          sessions.session(id).pipe(
            Effect.as(Option.some(id)),
            Effect.catchIf(isUnreadable, (error) =>
              // A session that cannot be read must not prevent a new launch.
              (error.reason === "NotFound" ? Effect.void : Effect.logWarning(error.message)).pipe(
                Effect.zipRight(tab.clearCurrent(id)),
                Effect.as(Option.none())
              ))
          )
      })
    )

    const receiveCallback: Effect.Effect<Opened, Failure> = Effect.gen(function*() {
      const state = stateOf(Redacted.value(page.arrivedAt))
      if (Either.isRight(state) && !(yield* tab.hasLaunch(state.right))) {
        // This tab did not start the launch: it may be the popup of another tab.
        const isForwarded = yield* page.channelToOpener(PopupRelay.channelName(state.right)).pipe(
          Effect.flatMap((channel) => PopupRelay.forward(channel, page.arrivedAt)),
          Effect.scoped
        )
        if (isForwarded) {
          yield* page.close
          return { _tag: "CallbackForwarded" }
        }
      }
      return { _tag: "SignedIn", session: yield* complete(Redacted.value(page.arrivedAt)) }
    })

    const findSession: Effect.Effect<Opened, SessionError> = Effect.map(
      current,
      Option.match({
        onNone: (): Opened => ({ _tag: "SignedOut" }),
        onSome: (session): Opened => ({ _tag: "SignedIn", session })
      })
    )

    const service: Service = {
      purpose: page.purpose,
      open: Effect.suspend((): Effect.Effect<Opened, Failure> => {
        switch (page.purpose) {
          case "Callback":
            return receiveCallback
          case "EhrLaunch":
            return Effect.map(followLaunch(options.ehrLaunch), (session) => ({ _tag: "SignedIn", session }))
          case "Visit":
            return findSession
        }
      }).pipe(span("BrowserLaunch.open")),
      launch,
      followLaunch,
      current,
      end: Effect.flatMap(
        tab.current,
        Option.match({
          onNone: () => Effect.void,
          onSome: (id) => Effect.zipRight(sessions.revoke(id), tab.clearCurrent(id))
        })
      )
    }
    return service
  })

/**
 * Launches and `Sessions` for the servers of a registry. Use the session with `FhirClient.forSession`.
 *
 * @example
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as Layer from "effect/Layer"
 * import { ClientAuthentication, FhirClient, SmartServers } from "effect-safire"
 * import { BrowserLaunch, Page } from "effect-safire/browser"
 *
 * export const AppLive = Layer.mergeAll(BrowserLaunch.layer({ tokens: "sessionStorage" }), FhirClient.layer).pipe(
 *   Layer.provide(SmartServers.layer({
 *     hospital: {
 *       fhirBaseUrl: "https://ehr.example.org/fhir",
 *       clientId: "growth-chart",
 *       redirectUri: "https://app.example.org/",
 *       scopes: ["launch/patient", "patient/*.rs"],
 *       authentication: ClientAuthentication.layerPublic
 *     }
 *   })),
 *   Layer.provide(FetchHttpClient.layer),
 *   Layer.provide(Page.layer)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<BrowserLaunch | Sessions.Sessions, ConfigurationError, SmartServers.SmartServers | Page.Page> =>
  Layer.unwrapScoped(
    Effect.map(
      TabStore.make(options.tokens ?? "memory"),
      (tab) =>
        Layer.effect(BrowserLaunch, makeWith(options, tab)).pipe(
          Layer.provideMerge(Sessions.layerWith(options)),
          Layer.provide(Layer.succeed(SessionStore.SessionStore, tab.store))
        )
    )
  )

/**
 * Launches and `Sessions` for one server.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient = (
  options?: Options
): Layer.Layer<BrowserLaunch | Sessions.Sessions, ConfigurationError, SmartClient.SmartClient | Page.Page> =>
  Layer.provide(layer(options), SmartServers.layerFromClient)
