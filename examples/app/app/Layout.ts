/**
 * The layout of all pages of the app, and their security policy: allowed frames and form targets.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import type { Child } from "../ui/Html.js"
import { html } from "../ui/Html.js"
import type { Page, Site } from "../ui/Page.js"
import { respond } from "../ui/Page.js"
import { APP_NAME } from "./Hospital.js"

export const PATHS = {
  home: "/",
  backend: "/backend",
  registration: "/registration",
  log: "/log",
  server: (key: string) => `/servers/${encodeURIComponent(key)}`,
  launch: (key: string) => `/launch?server=${encodeURIComponent(key)}`,
  session: (handle: string) => `/sessions/${encodeURIComponent(handle)}`,
  chart: (handle: string) => `/sessions/${encodeURIComponent(handle)}/chart`
} as const

const site: Site = {
  theme: "app",
  name: APP_NAME,
  tagline: "a SMART app that shows each protocol step",
  nav: [
    { href: PATHS.home, label: "Hospitals" },
    { href: PATHS.backend, label: "Backend services" },
    { href: PATHS.registration, label: "Registration" },
    { href: PATHS.log, label: "Event log" }
  ],
  footer: html`A demonstration of effect-safire with synthetic patients. Do not enter real data.`
}

export interface AppPage
  extends Pick<Page, "title" | "main" | "current" | "account" | "focused" | "status" | "refresh">
{
  /** Whether one of its forms ends at an EHR. */
  readonly leadsToEhr?: boolean | undefined
}

export interface Service {
  readonly page: (page: AppPage) => HttpServerResponse.HttpServerResponse
}

export class Layout extends Context.Tag("examples/app/Layout")<Layout, Service>() {}

export interface Options {
  /** The EHRs that show the app in a frame. */
  readonly embeddedBy: ReadonlyArray<string>
  /** Where hospitals' login pages are. */
  readonly ehrOrigins: ReadonlyArray<string>
}

/** The app's own style sheet beside the shared one. A `link` of this kind may stand in a body. */
const withStyle = (main: Child): Child =>
  html`<link rel="stylesheet" href="/assets/app.css">
${main}`

export const make = ({ ehrOrigins, embeddedBy }: Options): Service => ({
  page: ({ leadsToEhr, main, ...page }) =>
    respond(site, {
      ...page,
      main: withStyle(main),
      script: true,
      policy: {
        formAction: leadsToEhr === true ? ehrOrigins : [],
        framedBy: embeddedBy.length === 0 ? [] : ["'self'", ...embeddedBy]
      }
      // Without a referrer a browser leaves out the origin as well, which tells the app's own forms from others' in
      // browsers without fetch metadata.
    }).pipe(HttpServerResponse.setHeader("referrer-policy", "same-origin"))
})
