/**
 * A SMART app that is a static page, a public client without a server. Run `npx tsx examples/browser-app/serve.ts` and
 * open the printed address.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Sessions } from "effect-safire"
import { BrowserLaunch, FetchFailure } from "effect-safire/browser"
import * as App from "./app.js"
import * as View from "./view.js"

const SETTING = "browser-app:tokens"
const STORAGES = ["memory", "sessionStorage", "localStorage"] as const
/** In a frame of another site the browser may refuse storage, and throws. */
const setting = Effect.runSync(Effect.option(Effect.try(() => localStorage.getItem(SETTING))))
const tokens = STORAGES.find((storage) => Option.contains(setting, storage)) ?? "memory"

const runtime = ManagedRuntime.make(App.layer({
  fhirBaseUrl: document.querySelector<HTMLMetaElement>("meta[name=fhir-base-url]")?.content ?? "",
  redirectUri: `${location.origin}/`,
  tokens
}))

type Failure =
  | BrowserLaunch.Failure
  | Effect.Effect.Error<ReturnType<typeof App.chart>>
  | Effect.Effect.Error<ReturnType<typeof App.renew>>

const isOver = (error: Failure): boolean =>
  error._tag === "SessionError" && ["NotFound", "NeedsRelaunch"].includes(error.reason)

/** A message for the user. Developers find the details in the network view, or in a log of `error.message`. */
const messageFor = (error: Failure): string => {
  if (isOver(error)) return "Your session has ended. Sign in to go on."
  switch (error._tag) {
    case "ConfigurationError":
      return "Your browser lets this page keep nothing here. Sign in in a new window."
    case "AuthorizationError":
      return error.reason === "AccessDenied"
        ? "Access was not given, so there is nothing to show. You can try again."
        : "The sign-in did not work. Please try again."
    case "BrowserLaunchError":
      switch (error.reason) {
        case "PopupBlocked":
          return "Your browser blocked the new window. Allow it for this page, or sign in in this window."
        case "PopupClosed":
          return "The window was closed before the sign-in was done."
        case "PopupTimedOut":
          return "The sign-in took too long. Please try again."
        case "Returned":
          return "You came back without signing in."
        case "SessionGone":
          return "This sign-in was used before. Please sign in again."
      }
      break
    case "SessionError":
      return error.reason === "LaunchNotFound"
        ? "This sign-in was not started in this tab, or was used before. Please sign in again."
        : "Your browser does not let this page keep what it needs."
    case "LaunchError":
    case "UnknownServerError":
      return "The link that led here does not come from the record system this page works with."
    default:
      return "The record system does not answer as it should. Please try again in a minute."
  }
}

const report = (error: Failure) =>
  Effect.gen(function*() {
    const explanation = yield* FetchFailure.explain(error)
    yield* View.problem(
      Option.match(explanation, {
        onNone: () => messageFor(error),
        onSome: ({ message }) => `The record system could not be asked: ${message}.`
      })
    )
  })

const showChart = (session: Sessions.SessionId) => Effect.flatMap(App.chart(session), View.chart)

const showCurrent = Effect.flatMap(
  Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ current }) => current),
  Option.match({ onNone: () => View.signedOut, onSome: showChart })
)

/** Runs a step of the app, and shows its failure on a page that the user can continue from. */
const step = <R>(doing: string, self: Effect.Effect<unknown, Failure, R>) =>
  self.pipe(
    View.busy(doing),
    Effect.catchAll((error) => {
      const isSignedOut = isOver(error) || error._tag !== "FhirError" && error._tag !== "TokenError"
      return Effect.zipRight(isSignedOut ? View.signedOut : Effect.ignore(showCurrent), report(error))
    })
  )

const open = Effect.gen(function*() {
  const launch = yield* BrowserLaunch.BrowserLaunch
  const opened = yield* launch.open
  switch (opened._tag) {
    case "SignedIn":
      return yield* showChart(opened.session)
    case "SignedOut":
      return yield* View.signedOut
    case "CallbackForwarded":
      return yield* View.forwarded
  }
})

const signIn = (window: "same" | "popup") =>
  BrowserLaunch.BrowserLaunch.pipe(
    // In a frame without storage `open` could not follow the EHR's launch, so it is followed here.
    Effect.flatMap(({ followLaunch, launch, purpose }) =>
      purpose === "EhrLaunch" && new URLSearchParams(location.search).has("launch")
        ? followLaunch({ window })
        : launch({ window })
    ),
    Effect.flatMap(showChart),
    // The launch comes first, because it must open the window at once.
    Effect.raceFirst(Effect.zipRight(View.cancelled, View.signedOut))
  )

const renew = Effect.gen(function*() {
  const { current } = yield* BrowserLaunch.BrowserLaunch
  const session = yield* current
  if (Option.isNone(session)) return yield* View.signedOut
  yield* App.renew(session.value)
  yield* showChart(session.value)
})

const signOut = Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ end }) => Effect.zipRight(end, View.signedOut))

/** Counts the renewals by this page. With "all tabs" other tabs count their own. */
const countRenewals = Effect.flatMap(Sessions.Sessions, ({ onChange }) =>
  onChange.pipe(
    Stream.filter(({ kind }) => kind === "Renewed"),
    Stream.scan(0, (count) => count + 1),
    Stream.runForEach(View.setRenewals)
  ))

/** Starts at once, inside the event handler. An unexpected failure shows a message instead of an empty page. */
const run = (self: Effect.Effect<unknown, never, ManagedRuntime.ManagedRuntime.Context<typeof runtime>>): void =>
  runtime.runFork(self).addObserver((exit) => {
    if (Exit.isFailure(exit)) Effect.runSync(View.problem("This page does not work in this browser."))
  })

run(countRenewals)
run(step("Opening …", open))

View.onClick("sign-in", () => run(step("Going to the record system …", signIn("same"))))
View.onClick("sign-in-popup", () => run(step("Waiting for the other window …", signIn("popup"))))
View.onClick("renew", () => run(step("Renewing …", renew)))
View.onClick("sign-out", () => run(step("Logging out …", signOut)))
View.onChoice("tokens", tokens, (place) => {
  const keep = Effect.try(() => localStorage.setItem(SETTING, place))
  run(Effect.ignore(Effect.zipRight(keep, Effect.sync(() => location.reload()))))
})
