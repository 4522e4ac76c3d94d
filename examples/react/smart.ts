/**
 * The SMART part of the page. It is outside of React: the module runs once for each page, and components can mount as
 * often as React wants.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { BrowserLaunch } from "effect-safire/browser"
import * as App from "../browser-app/app.js"

export const runtime = ManagedRuntime.make(App.layer({
  fhirBaseUrl: document.querySelector<HTMLMetaElement>("meta[name=fhir-base-url]")?.content ?? "",
  redirectUri: `${location.origin}/`,
  tokens: "sessionStorage"
}))

export type Services = ManagedRuntime.ManagedRuntime.Context<typeof runtime>

/** Completes a callback, follows an EHR launch, or restores the session: once, in its own fiber. */
const opening = runtime.runFork(Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ open }) => open))

/** The result of `open`. A component that unmounts interrupts its wait, not the launch. */
export const opened = Fiber.join(opening)

export const signIn = Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ launch }) => launch())

export const signOut = Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ end }) => end)
