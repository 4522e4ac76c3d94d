/** A browser without a screen: tabs with storages of their own, popups, and what is said between them. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import { ConfigurationError, type Sessions } from "effect-safire"
import { BrowserLaunchError, Page } from "effect-safire/browser"
import { fakeLocks, fakeStorage } from "../support/webPlatform.js"

export interface Visited {
  readonly url: URL
  readonly keepInHistory: boolean
}

/** What pages of one browser share. */
export const makeBrowser = () => {
  const ends = new Map<string, Set<Queue.Queue<string>>>()
  const channel = (name: string): Effect.Effect<Page.Channel, never, never> =>
    Effect.map(Queue.unbounded<string>(), (received) => {
      const all = ends.get(name) ?? new Set()
      ends.set(name, all.add(received))
      return {
        received,
        send: (message) => Effect.sync(() => all.forEach((end) => end !== received && end.unsafeOffer(message)))
      }
    })
  return { locks: fakeLocks(), localStorage: fakeStorage(), channel, wires: ends }
}

export type Browser = ReturnType<typeof makeBrowser>

export interface Options {
  readonly browser?: Browser | undefined
  readonly sessionStorage?: Storage | undefined
  /** The browser opens no windows. */
  readonly blocksPopups?: boolean | undefined
  /** The browser lets the page keep nothing. */
  readonly blocksStorage?: boolean | undefined
  readonly network?: Partial<Page.Network> | undefined
}

const refused = new ConfigurationError({ reason: "Missing", fields: ["a storage"], detail: "a test" })

/** A page, and what a test sees of it. */
export const make = (address: string, options: Options = {}) => {
  const browser = options.browser ?? makeBrowser()
  const sessionStorage = options.sessionStorage ?? fakeStorage()
  const url = new URL(address)
  const purpose = Page.purposeOf(url)
  const left: Array<Visited> = []
  const popups: Array<{ destination: URL | undefined; isClosed: boolean }> = []
  const seen = {
    left,
    popups,
    isClosed: false,
    address: purpose === "Callback" ? Page.withoutParameters(url, purpose).href : url.href,
    /** Shows the page again, as from the back-forward cache. */
    comeBack: () => {}
  }
  const service: Page.Service = {
    purpose,
    arrivedAt: Redacted.make(url),
    removeParameters: Effect.sync(() => {
      seen.address = Page.withoutParameters(new URL(seen.address), purpose).href
    }),
    leave: ({ url }: Sessions.Destination, { keepInHistory }) =>
      Effect.async((resume) => {
        left.push({ url, keepInHistory })
        seen.comeBack = () => resume(Effect.void)
      }),
    openPopup: () =>
      Effect.suspend(() => {
        if (options.blocksPopups === true) return new BrowserLaunchError({ reason: "PopupBlocked", detail: "a test" })
        const popup: (typeof popups)[number] = { destination: undefined, isClosed: false }
        popups.push(popup)
        return Effect.succeed<Page.Popup>({
          go: ({ url }) =>
            Effect.sync(() => {
              popup.destination = url
            }),
          isClosed: Effect.sync(() => popup.isClosed),
          close: Effect.sync(() => {
            popup.isClosed = true
          }),
          channel: browser.channel
        })
      }),
    channelToOpener: browser.channel,
    close: Effect.sync(() => {
      seen.isClosed = true
    }),
    sessionStorage: options.blocksStorage === true ? refused : Effect.succeed(sessionStorage),
    localStorage: options.blocksStorage === true ? refused : Effect.succeed(browser.localStorage),
    locks: options.blocksStorage === true ? refused : Effect.succeed(browser.locks),
    network: Effect.succeed({ isOnline: true, isHttps: true, refusedByPolicy: new Set(), ...options.network })
  }
  return { ...seen, seen, sessionStorage, browser, layer: Layer.succeed(Page.Page, service) }
}
