/**
 * The parts of the DOM that a launch uses: address, windows, storage, locks. Tests provide another `Page`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import type { Destination } from "../session/Sessions.js"
import { BrowserLaunchError } from "./BrowserLaunchError.js"

/**
 * The purpose of loading the page: `Callback` from an authorization server, `EhrLaunch`, or neither.
 *
 * @since 0.1.0
 * @category models
 */
export type Purpose = "Callback" | "EhrLaunch" | "Visit"

/**
 * Reads the purpose from the query. The parameters are validated later.
 *
 * @since 0.1.0
 * @category accessors
 */
export const purposeOf = ({ searchParams }: URL): Purpose => {
  if (searchParams.has("state") && (searchParams.has("code") || searchParams.has("error"))) return "Callback"
  return searchParams.has("iss") && searchParams.has("launch") ? "EhrLaunch" : "Visit"
}

const CALLBACK_PARAMETERS = ["code", "state", "iss", "error", "error_description", "error_uri", "session_state"]
const LAUNCH_PARAMETERS = ["iss", "launch"]

/**
 * The address without the parameters of a callback or an EHR launch. The app's own parameters and the fragment stay.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutParameters = (url: URL, purpose: Purpose): URL => {
  const next = new URL(url)
  const names = purpose === "Callback" ? CALLBACK_PARAMETERS : purpose === "EhrLaunch" ? LAUNCH_PARAMETERS : []
  for (const name of names) next.searchParams.delete(name)
  return next
}

/**
 * One end of a channel between a page and its popup. Both pages have the same origin.
 *
 * @since 0.1.0
 * @category models
 */
export interface Channel {
  readonly send: (message: string) => Effect.Effect<void>
  readonly received: Queue.Dequeue<string>
}

/**
 * A popup that the page has opened.
 *
 * @since 0.1.0
 * @category models
 */
export interface Popup {
  readonly go: (destination: Destination) => Effect.Effect<void>
  /** Also true after the browser separated the popup from this page (`Cross-Origin-Opener-Policy`). */
  readonly isClosed: Effect.Effect<boolean>
  /** Closes the popup while it is empty. A popup that shows a page closes itself. */
  readonly close: Effect.Effect<void>
  readonly channel: (name: string) => Effect.Effect<Channel, never, Scope.Scope>
}

/**
 * The size of a popup in CSS pixels.
 *
 * @since 0.1.0
 * @category models
 */
export interface PopupSize {
  readonly width: number
  readonly height: number
}

/**
 * The functions of a page that `BrowserLaunch` needs. In tests, provide another implementation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly purpose: Purpose
  /** The address from which the page was loaded. It may contain a code. */
  readonly arrivedAt: Redacted.Redacted<URL>
  /** Removes the parameters of an EHR launch from the address bar. Those of a callback are removed at the start. */
  readonly removeParameters: Effect.Effect<void>
  /** Leaves the page. Returns only if the browser shows this page again, from its back-forward cache. */
  readonly leave: (destination: Destination, options: { readonly keepInHistory: boolean }) => Effect.Effect<void>
  /** Opens an empty window at once: browsers allow it only for a short time after a click. */
  readonly openPopup: (size: PopupSize) => Effect.Effect<Popup, BrowserLaunchError>
  /** The other end of `Popup.channel`, for a page that is shown in the popup. */
  readonly channelToOpener: (name: string) => Effect.Effect<Channel, never, Scope.Scope>
  /** Closes this window, if the browser allows it. */
  readonly close: Effect.Effect<void>
  readonly sessionStorage: Effect.Effect<Storage, ConfigurationError>
  readonly localStorage: Effect.Effect<Storage, ConfigurationError>
  readonly locks: Effect.Effect<LockManager, ConfigurationError>
  /** For `FetchFailure.explain`. */
  readonly network: Effect.Effect<Network>
}

/**
 * The state of a page's network, to find the causes of failed requests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Network {
  readonly isOnline: boolean
  /** Whether the page was loaded over https. */
  readonly isHttps: boolean
  /** Origins that the page's own Content Security Policy has blocked. */
  readonly refusedByPolicy: ReadonlySet<string>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Page extends Context.Tag("effect-safire/browser/Page")<Page, Service>() {}

const browserApi = <A>(field: string, get: () => A | undefined): Effect.Effect<A, ConfigurationError> =>
  Effect.try({ try: get, catch: () => undefined }).pipe(
    Effect.flatMap(Effect.fromNullable),
    Effect.mapError(() =>
      configurationError(
        "Missing",
        [field],
        "sessions and launches need Web Storage and Web Locks, which need a page from https or localhost that may store " +
          "data. A browser may refuse both in a frame of another site: use a launch in a popup there, with tokens in memory"
      )
    )
  )

/** @internal */
export const storageOf = (field: "localStorage" | "sessionStorage"): Effect.Effect<Storage, ConfigurationError> =>
  browserApi<Storage>(field, () => globalThis[field])

/** @internal */
export const lockManager: Effect.Effect<LockManager, ConfigurationError> = browserApi<LockManager>(
  "navigator.locks",
  () => globalThis.navigator.locks
)

const go = (target: Window, { post, url }: Destination, keepInHistory: boolean): void => {
  if (post === undefined) {
    if (keepInHistory) target.location.assign(url)
    else target.location.replace(url)
    return
  }
  const form = target.document.createElement("form")
  form.method = "post"
  form.action = post.action
  for (const [name, value] of post.fields) {
    const input = target.document.createElement("input")
    input.type = "hidden"
    input.name = name
    input.value = value
    form.append(input)
  }
  target.document.body.append(form)
  // Called on the prototype, because a field with the name `submit` hides the form's method.
  HTMLFormElement.prototype.submit.call(form)
}

interface Envelope {
  readonly channel: string
  readonly message: string
}

const isEnvelope = (data: unknown): data is Envelope =>
  typeof data === "object" && data !== null && "channel" in data && typeof data.channel === "string" &&
  "message" in data && typeof data.message === "string"

/**
 * `BroadcastChannel` reaches a popup that was separated from this page. `postMessage` reaches a popup with another
 * storage partition, when this page is in a frame of another site. Both are restricted to this origin.
 */
const openChannel = (
  window: Window,
  peer: () => Window | null,
  name: string
): Effect.Effect<Channel, never, Scope.Scope> =>
  Effect.gen(function*() {
    const received = yield* Queue.sliding<string>(16)
    const { origin } = window.location
    const broadcast = yield* Effect.acquireRelease(
      Effect.sync(() => new BroadcastChannel(name)),
      (channel) => Effect.sync(() => channel.close())
    )
    broadcast.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") received.unsafeOffer(data)
    }
    const onMessage = ({ data, origin: from, source }: MessageEvent<unknown>) => {
      if (from === origin && source !== null && source === peer() && isEnvelope(data) && data.channel === name) {
        received.unsafeOffer(data.message)
      }
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => window.addEventListener("message", onMessage)),
      () => Effect.sync(() => window.removeEventListener("message", onMessage))
    )
    return {
      received,
      send: (message) =>
        Effect.sync(() => {
          broadcast.postMessage(message)
          const envelope: Envelope = { channel: name, message }
          peer()?.postMessage(envelope, origin)
        })
    }
  })

/**
 * The popup loses its `opener`, so that the pages it shows cannot navigate this page. In a frame of another site it
 * keeps the `opener`, because only `postMessage` works there.
 */
const popupOf = (window: Window, popup: Window): Popup => {
  let canClose = true
  return {
    go: (destination) =>
      Effect.sync(() => {
        if (window.top === window) {
          popup.opener = null
          canClose = false
        }
        go(popup, destination, false)
      }),
    isClosed: Effect.sync(() => popup.closed),
    close: Effect.sync(() => {
      if (canClose) popup.close()
    }),
    channel: (name) => openChannel(window, () => popup, name)
  }
}

const featuresOf = ({ height, width }: PopupSize, { outerHeight, outerWidth, screenX, screenY }: Window): string => {
  const left = Math.round(screenX + Math.max(0, outerWidth - width) / 2)
  const top = Math.round(screenY + Math.max(0, outerHeight - height) / 2)
  return `popup,width=${width},height=${height},left=${left},top=${top}`
}

/** Collects origins that the page's policy has blocked. */
const watchPolicy = (document: Document): Effect.Effect<ReadonlySet<string>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const refused = new Set<string>()
      const onViolation = ({ blockedURI, effectiveDirective }: SecurityPolicyViolationEvent) => {
        if (effectiveDirective === "connect-src" && URL.canParse(blockedURI)) refused.add(new URL(blockedURI).origin)
      }
      document.addEventListener("securitypolicyviolation", onViolation)
      return { refused, onViolation }
    }),
    ({ onViolation }) => Effect.sync(() => document.removeEventListener("securitypolicyviolation", onViolation))
  ).pipe(Effect.map(({ refused }) => refused))

const replaceAddress = (window: Window, url: URL): void => {
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url)
}

/**
 * Removes the code of a callback from the address bar first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Scope.Scope> = Effect.gen(function*() {
  const window = globalThis.window
  const url = new URL(window.location.href)
  const purpose = purposeOf(url)
  if (purpose === "Callback") replaceAddress(window, withoutParameters(url, purpose))
  const refusedByPolicy = yield* watchPolicy(window.document)
  return {
    purpose,
    arrivedAt: Redacted.make(url),
    removeParameters: Effect.sync(() =>
      replaceAddress(window, withoutParameters(new URL(window.location.href), purpose))
    ),
    leave: (destination, { keepInHistory }) =>
      Effect.async((resume) => {
        const onPageShow = ({ persisted }: PageTransitionEvent) => {
          if (!persisted) return
          window.removeEventListener("pageshow", onPageShow)
          resume(Effect.void)
        }
        window.addEventListener("pageshow", onPageShow)
        go(window, destination, keepInHistory)
        return Effect.sync(() => window.removeEventListener("pageshow", onPageShow))
      }),
    openPopup: (size) =>
      Effect.suspend(() => {
        const popup = window.open("about:blank", "_blank", featuresOf(size, window))
        return popup === null || popup.closed
          ? new BrowserLaunchError({ reason: "PopupBlocked", detail: "the browser opened no window" })
          : Effect.succeed(popupOf(window, popup))
      }),
    channelToOpener: (name) =>
      // A page of another origin may have opened this one, so `postMessage` names the origin.
      openChannel(window, (): Window | null => window.opener, name),
    close: Effect.sync(() => window.close()),
    sessionStorage: storageOf("sessionStorage"),
    localStorage: storageOf("localStorage"),
    locks: lockManager,
    network: Effect.sync(() => ({
      isOnline: window.navigator.onLine,
      isHttps: window.location.protocol === "https:",
      refusedByPolicy
    }))
  }
})

/**
 * The page in which this program runs. Provide it last (`Layer.provide`), so that it is built first: then the code is
 * removed from the address bar before any request.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Page> = Layer.scoped(Page, make)
