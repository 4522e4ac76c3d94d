/**
 * The page as far as a launch touches it: its address, its windows, its storage. All that this room knows of the DOM stands here, so that a test can put
 * another page in its place.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { ConfigurationError } from "../base/ConfigurationError.js"
import type { Destination } from "../session/Sessions.js"
import { BrowserLaunchError } from "./BrowserLaunchError.js"

/**
 * What the page was loaded for: `Callback` from an authorization server, `EhrLaunch`, or neither.
 *
 * @since 0.1.0
 * @category models
 */
export type Purpose = "Callback" | "EhrLaunch" | "Visit"

/**
 * Read from the query alone; whether any of it is to be believed is another question.
 *
 * @since 0.1.0
 * @category accessors
 */
export const purposeOf = ({ searchParams }: URL): Purpose => {
  if (searchParams.has("state") && (searchParams.has("code") || searchParams.has("error"))) return "Callback"
  return searchParams.has("iss") && searchParams.has("launch") ? "EhrLaunch" : "Visit"
}

const OF_A_CALLBACK = ["code", "state", "iss", "error", "error_description", "error_uri", "session_state"]
const OF_A_LAUNCH = ["iss", "launch"]

/**
 * The address without what a callback or an EHR launch added; the app's own parameters and the fragment stay.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutParameters = (url: URL, purpose: Purpose): URL => {
  const next = new URL(url)
  const names = purpose === "Callback" ? OF_A_CALLBACK : purpose === "EhrLaunch" ? OF_A_LAUNCH : []
  for (const name of names) next.searchParams.delete(name)
  return next
}

/**
 * Both ends of a talk between a page and its popup. Only pages of the same origin take part.
 *
 * @since 0.1.0
 * @category models
 */
export interface Wire {
  readonly send: (message: string) => Effect.Effect<void>
  readonly received: Queue.Dequeue<string>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Popup {
  readonly go: (destination: Destination) => Effect.Effect<void>
  /** Also true of one that the browser has cut off from this page, because what it shows asked for that (`Cross-Origin-Opener-Policy`). */
  readonly isClosed: Effect.Effect<boolean>
  /** As long as it shows nothing yet; from then on it is its own to close. */
  readonly close: Effect.Effect<void>
  readonly wire: (name: string) => Effect.Effect<Wire, never, Scope.Scope>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PopupSize {
  readonly width: number
  readonly height: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly purpose: Purpose
  /** The address the page was loaded with. It may hold a code. */
  readonly arrivedAt: Redacted.Redacted<URL>
  /** Takes the parameters of what was dealt with out of the address bar and of the history. A callback's are out from the beginning. */
  readonly forgetArrival: Effect.Effect<void>
  /** Goes elsewhere. Comes back only when the browser shows this very page again, from its back-forward cache. */
  readonly leave: (destination: Destination, options: { readonly keepInHistory: boolean }) => Effect.Effect<void>
  /** Opens an empty window, at once: browsers allow it only as long as they remember a click. */
  readonly openPopup: (size: PopupSize) => Effect.Effect<Popup, BrowserLaunchError>
  /** The other end of `Popup.wire`, where this page is what came to show in the popup. */
  readonly wireToOpener: (name: string) => Effect.Effect<Wire, never, Scope.Scope>
  /** Closes this window, where the browser lets a page do so. */
  readonly close: Effect.Effect<void>
  readonly sessionStorage: Effect.Effect<Storage, ConfigurationError>
  readonly localStorage: Effect.Effect<Storage, ConfigurationError>
  readonly locks: Effect.Effect<LockManager, ConfigurationError>
  /** What a failed `fetch` is explained with. */
  readonly network: Effect.Effect<Network>
}

/**
 * What the browser lets a page know about why a request may have failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Network {
  readonly isOnline: boolean
  /** The page came over https, from where browsers let it ask over https only. */
  readonly isHttps: boolean
  /** Origins to which the page's own Content Security Policy let no request go. */
  readonly refusedByPolicy: ReadonlySet<string>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Page extends Context.Tag("effect-safire/browser/Page")<Page, Service>() {}

const part = <A>(field: string, get: () => A | undefined): Effect.Effect<A, ConfigurationError> =>
  Effect.try({ try: get, catch: () => undefined }).pipe(
    Effect.flatMap(Effect.fromNullable),
    Effect.mapError(() =>
      new ConfigurationError({
        reason: "Missing",
        fields: [field],
        detail:
          "sessions and launches are kept in Web Storage under Web Locks; both need a page from https or localhost that may store data. In a frame " +
          "of another site browsers may refuse both: there a launch in a popup works, with tokens in memory"
      })
    )
  )

/** @internal */
export const storageOf = (field: "localStorage" | "sessionStorage"): Effect.Effect<Storage, ConfigurationError> =>
  part<Storage>(field, () => globalThis[field])

/** @internal */
export const lockManager: Effect.Effect<LockManager, ConfigurationError> = part<LockManager>(
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
  // Called on the prototype, because a form's own `submit` is whatever field has that name.
  HTMLFormElement.prototype.submit.call(form)
}

interface Envelope {
  readonly wire: string
  readonly message: string
}

const isEnvelope = (data: unknown): data is Envelope =>
  typeof data === "object" && data !== null && "wire" in data && typeof data.wire === "string" &&
  "message" in data && typeof data.message === "string"

/**
 * A broadcast reaches a popup that was cut off from this page; `postMessage` reaches one whose storage is another partition, because this page is in a
 * frame of another site. Each to this origin and from it only.
 */
const wire = (window: Window, peer: () => Window | null, name: string): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.gen(function*() {
    const received = yield* Queue.sliding<string>(16)
    const { origin } = window.location
    const channel = yield* Effect.acquireRelease(
      Effect.sync(() => new BroadcastChannel(name)),
      (channel) => Effect.sync(() => channel.close())
    )
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") received.unsafeOffer(data)
    }
    const onMessage = ({ data, origin: from, source }: MessageEvent<unknown>) => {
      if (from === origin && source !== null && source === peer() && isEnvelope(data) && data.wire === name) {
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
          channel.postMessage(message)
          const envelope: Envelope = { wire: name, message }
          peer()?.postMessage(envelope, origin)
        })
    }
  })

/**
 * Where the popup has another way back it is cut off from this page, so that nothing it comes to show can send this page elsewhere. In a frame of another site
 * there is no other way.
 */
const popupOf = (window: Window, popup: Window): Popup => {
  let isOurs = true
  return {
    go: (destination) =>
      Effect.sync(() => {
        if (window.top === window) {
          popup.opener = null
          isOurs = false
        }
        go(popup, destination, false)
      }),
    isClosed: Effect.sync(() => popup.closed),
    close: Effect.sync(() => {
      if (isOurs) popup.close()
    }),
    wire: (name) => wire(window, () => popup, name)
  }
}

const featuresOf = ({ height, width }: PopupSize, { outerHeight, outerWidth, screenX, screenY }: Window): string => {
  const left = Math.round(screenX + Math.max(0, outerWidth - width) / 2)
  const top = Math.round(screenY + Math.max(0, outerHeight - height) / 2)
  return `popup,width=${width},height=${height},left=${left},top=${top}`
}

/** Origins to which the page's policy lets no request go, as far as it has shown by now. */
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
 * The first thing it does is to take the code of a callback out of the address bar.
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
    forgetArrival: Effect.sync(() => replaceAddress(window, withoutParameters(new URL(window.location.href), purpose))),
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
    wireToOpener: (name) =>
      // A page of another origin may have opened this one: what is sent names the origin it is for.
      wire(window, (): Window | null => window.opener, name),
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
 * The page this program runs in. Give it last (`Layer.provide`), so that it is built first: nothing has then been requested or shown while a code stood in
 * the address bar.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Page> = Layer.scoped(Page, make)
