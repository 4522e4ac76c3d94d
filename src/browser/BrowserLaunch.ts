/**
 * Launches of a public client in a page (SMART App Launch 2.2), in the same window or in a popup. What is verified is verified by `Sessions` and `SmartClient`,
 * as on a server; here is what a page has to do beside it: keep a launch until its callback comes back, take the code out of the address bar before anything else
 * happens, and survive reloads, the back button and other tabs.
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

/**
 * @since 0.1.0
 * @category models
 */
export interface WindowOptions {
  /**
   * `same` leaves the page, which comes back as another one; `popup` keeps it, and needs a click: run it from the event handler itself. Default `same`.
   */
  readonly window?: "same" | "popup" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LaunchOptions extends WindowOptions, Omit<Sessions.StartLaunchOptions, "browserBinding"> {}

/**
 * `server` says which is meant, where the app is registered at one server several times.
 *
 * @since 0.1.0
 * @category models
 */
export interface FollowOptions extends Omit<LaunchOptions, "iss" | "launch"> {}

/**
 * What opening the page came to. `SignedIn`: `session` is the tab's own. `SignedOut`: it has none. `CallbackForwarded`: this is a popup whose callback the page that
 * opened it has taken; the window is closed, and if the browser does not allow that, the app should say that it may be.
 *
 * @since 0.1.0
 * @category models
 */
export type Opened =
  | { readonly _tag: "SignedIn"; readonly session: Sessions.SessionId }
  | { readonly _tag: "SignedOut" }
  | { readonly _tag: "CallbackForwarded" }

/**
 * @since 0.1.0
 * @category errors
 */
export type Failure = Sessions.StartLaunchError | Sessions.CompleteLaunchError | LaunchError | BrowserLaunchError

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** What this page was loaded for. */
  readonly purpose: Page.Purpose
  /**
   * To be run when the page is loaded: completes a callback, follows an EHR launch in this window (then it does not come back), or finds the session
   * that this tab has.
   */
  readonly open: Effect.Effect<Opened, Failure>
  /** A standalone launch. In the same window it ends with the page, or with `Returned` if the browser shows the page once more. */
  readonly launch: (options?: LaunchOptions) => Effect.Effect<Sessions.SessionId, Failure>
  /** The EHR launch this page was loaded for, for pages that ask before they follow it. */
  readonly followLaunch: (options?: FollowOptions) => Effect.Effect<Sessions.SessionId, Failure>
  /** The session that this tab has now. */
  readonly current: Effect.Effect<Option.Option<Sessions.SessionId>, SessionError>
  /** Ends the tab's session, here and at the server. Another tab that shares it finds it ended. */
  readonly end: Effect.Effect<void, SessionError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class BrowserLaunch extends Context.Tag("effect-safire/browser/BrowserLaunch")<BrowserLaunch, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Sessions.Options {
  /**
   * `memory`: gone with the page, at every reload. `sessionStorage`: of one tab, and gone with it. `localStorage`: shared by the tabs of the origin, which renew it
   * together, and kept when they are closed. Scripts of the page can read all but the first. Default `memory`.
   */
  readonly tokens?: "memory" | "sessionStorage" | "localStorage" | undefined
  /** With what `open` follows an EHR launch, such as scopes of its own. */
  readonly ehrLaunch?: Omit<FollowOptions, "window"> | undefined
  /** Default 480 by 640. */
  readonly popupSize?: Page.PopupSize | undefined
  /** How long a popup is waited for. Default 10 minutes. */
  readonly popupTimeout?: Duration.DurationInput | undefined
  /**
   * Whether a popup that seems closed ends the launch. Turn it off for servers whose pages ask for a `Cross-Origin-Opener-Policy`: from then on theirs
   * seem closed, although they are not. Default true.
   */
  readonly watchPopup?: boolean | undefined
}

const POLL_MILLIS = 250

/** What was sent before a popup closed is still on its way. */
const LAST_WORDS_MILLIS = 1000

/** Fails when the popup is seen to be closed. */
const untilClosed = (popup: Page.Popup): Effect.Effect<never, BrowserLaunchError> =>
  Effect.delay(popup.isClosed, POLL_MILLIS).pipe(
    Effect.repeat({ until: (isClosed) => isClosed }),
    Effect.zipRight(Effect.sleep(LAST_WORDS_MILLIS)),
    Effect.zipRight(new BrowserLaunchError({ reason: "PopupClosed", detail: "the window of the launch was closed" }))
  )

const asLaunch = Effect.provide(SmartServers.layerTrustedIssuers)

const makeWith = (options: Options, tab: TabStore.TabStore) =>
  Effect.gen(function*() {
    const page = yield* Page.Page
    const sessions = yield* Sessions.Sessions
    const issuers = yield* asLaunch(TrustedIssuers)
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
        yield* page.forgetArrival
        // Nobody else has it, and nobody will ask for it again: its tokens are not left lying about, and whatever keeps them there keeps nobody out.
        if (Option.isSome(replaced)) {
          yield* Effect.catchAll(
            sessions.remove(replaced.value),
            (error) => Effect.logWarning(`A replaced session stays: ${error.message}`)
          )
        }
        return id
      })

    const inSameWindow = (begin: Sessions.StartLaunchOptions, keepInHistory: boolean): Effect.Effect<never, Failure> =>
      Effect.gen(function*() {
        yield* tab.persistent
        const destination = yield* sessions.startLaunch(begin)
        yield* page.leave(destination, { keepInHistory })
        return yield* new BrowserLaunchError({
          reason: "Returned",
          detail: "the browser shows the page that started the launch again"
        })
      })

    const inPopup = (begin: Sessions.StartLaunchOptions): Effect.Effect<Sessions.SessionId, Failure> =>
      Effect.gen(function*() {
        // First of all: what is waited for before it may outlast the browser's memory of the click.
        const popup = yield* Effect.acquireRelease(page.openPopup(popupSize), ({ close }) => close)
        const destination = yield* sessions.startLaunch(begin)
        const state = yield* stateOf(destination.url)
        const wire = yield* popup.wire(PopupRelay.nameOf(state))
        yield* popup.go(destination)
        const callback = yield* PopupRelay.receive(wire, state).pipe(
          options.watchPopup === false ? (self) => self : Effect.raceFirst(untilClosed(popup)),
          Effect.timeoutFail({
            duration: options.popupTimeout ?? "10 minutes",
            onTimeout: () =>
              new BrowserLaunchError({ reason: "PopupTimedOut", detail: "the popup sent no callback in time" })
          })
        )
        return yield* complete(Redacted.value(callback))
      }).pipe(Effect.scoped)

    const launch: Service["launch"] = ({ window, ...begin } = {}) =>
      window === "popup" ? inPopup(begin) : inSameWindow(begin, true)

    const followLaunch: Service["followLaunch"] = ({ server: meant, window, ...begin } = {}) =>
      Effect.gen(function*() {
        const { iss, launch, server } = yield* LaunchRequest.decode(Redacted.value(page.arrivedAt), { server: meant })
          .pipe(
            Effect.provideService(TrustedIssuers, issuers)
          )
        const all = { ...begin, iss, launch, server }
        // A launch is used up by being followed: the page that follows it is none to come back to.
        return yield* window === "popup" ? inPopup(all) : inSameWindow(all, false)
      })

    const current: Service["current"] = Effect.flatMap(
      tab.current,
      Option.match({
        onNone: () => Effect.succeedNone,
        onSome: (id) =>
          sessions.session(id).pipe(
            Effect.as(Option.some(id)),
            Effect.catchIf(isUnreadable, (error) =>
              // What cannot be read any more must not keep the person from a new launch.
              (error.reason === "NotFound" ? Effect.void : Effect.logWarning(error.message)).pipe(
                Effect.zipRight(tab.clearCurrent(id)),
                Effect.as(Option.none())
              ))
          )
      })
    )

    const arrived: Effect.Effect<Opened, Failure> = Effect.gen(function*() {
      const state = stateOf(Redacted.value(page.arrivedAt))
      if (Either.isRight(state) && !(yield* tab.hasLaunch(state.right))) {
        // Not this tab's own: this is the popup of another one, or a callback that nobody waits for.
        const isTaken = yield* page.wireToOpener(PopupRelay.nameOf(state.right)).pipe(
          Effect.flatMap((wire) => PopupRelay.handOver(wire, page.arrivedAt)),
          Effect.scoped
        )
        if (isTaken) {
          yield* page.close
          return { _tag: "CallbackForwarded" }
        }
      }
      return { _tag: "SignedIn", session: yield* complete(Redacted.value(page.arrivedAt)) }
    })

    const found: Effect.Effect<Opened, SessionError> = Effect.map(
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
            return arrived
          case "EhrLaunch":
            return Effect.map(followLaunch(options.ehrLaunch), (session) => ({ _tag: "SignedIn", session }))
          case "Visit":
            return found
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
 * For the servers of a registry. Gives `Sessions`, too: for `FhirClient.forSession`, and for whatever else is done with a session.
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
 * For one server.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromClient = (
  options?: Options
): Layer.Layer<BrowserLaunch | Sessions.Sessions, ConfigurationError, SmartClient.SmartClient | Page.Page> =>
  Layer.provide(layer(options), SmartServers.layerFromClient)
