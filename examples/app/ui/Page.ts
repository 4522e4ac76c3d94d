/**
 * The layout of all pages of both sites: head, skip link, header with navigation, main, footer, and security headers
 * for health data.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Child, Html } from "./Html.js"
import { html } from "./Html.js"

/** A link in the header. */
export interface NavLink {
  readonly href: string
  readonly label: string
}

/** One of the two sites: the common parts of its pages. */
export interface Site {
  /** Chooses the layout (`style.css`): the two sites are two products. */
  readonly theme: "ehr" | "app"
  readonly name: string
  /** A few words under the name. */
  readonly tagline: string
  readonly nav: ReadonlyArray<NavLink>
  readonly footer: Child
}

/** One page. */
export interface Page {
  readonly title: string
  readonly main: Child
  /** The path of the page, or of the section it belongs to: that link of the navigation is marked. */
  readonly current?: string | undefined
  /** At the right of the header, such as the logged-in user. */
  readonly account?: Child
  /** Narrow, without navigation: for a page with one question. */
  readonly focused?: boolean | undefined
  readonly status?: number | undefined
  /**
   * Seconds after which the page is loaded anew, by the browser itself; or after which another one of the same site is.
   */
  readonly refresh?: number | { readonly seconds: number; readonly to: string } | undefined
  /** Whether `ui.js` is loaded (copy buttons, time in the reader's own time zone). */
  readonly script?: boolean | undefined
  readonly policy?: Policy | undefined
}

/** The permissions of a page beyond the default, as sources of a Content Security Policy. */
export interface Policy {
  /**
   * Other sites to which its forms lead. Chromium checks the redirects after a form, too: a page whose form ends at
   * another site must name that site's origin.
   */
  readonly formAction?: ReadonlyArray<string> | undefined
  /** The sites that it shows in frames (default: none). */
  readonly frames?: ReadonlyArray<string> | undefined
  /** The sites that may show it in a frame, also `'self'` (default: none). */
  readonly framedBy?: ReadonlyArray<string> | undefined
  /**
   * Whether another site may open it in a window that it waits for, as apps do with a login (default: no, the window is
   * cut off from its opener).
   */
  readonly openedByApps?: boolean | undefined
}

const sources = (list: ReadonlyArray<string> | undefined): string =>
  list === undefined || list.length === 0 ? "'none'" : list.join(" ")

/** The Content Security Policy of a page. */
export const contentSecurityPolicy = (policy: Policy, script: boolean): string =>
  [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    ...(script ? ["script-src 'self'"] : []),
    ...(policy.frames === undefined ? [] : [`frame-src ${sources(policy.frames)}`]),
    `form-action ${["'self'", ...(policy.formAction ?? [])].join(" ")}`,
    `frame-ancestors ${sources(policy.framedBy)}`,
    "base-uri 'none'"
  ].join("; ")

/** The headers of a page. */
export const headers = (page: Pick<Page, "policy" | "script">): Readonly<Record<string, string>> => ({
  "cache-control": "no-store",
  "content-security-policy": contentSecurityPolicy(page.policy ?? {}, page.script ?? false),
  "cross-origin-opener-policy": page.policy?.openedByApps === true ? "unsafe-none" : "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

/** The logos: a cross, and a line of vital signs. Both keep their shape with forced colours. */
const MARKS: Readonly<Record<Site["theme"], Html>> = {
  ehr:
    html`<svg class="mark" viewBox="0 0 34 34" aria-hidden="true"><rect width="34" height="34" rx="6"/><path d="M17 7v20M7 17h20"/></svg>`,
  app:
    html`<svg class="mark" viewBox="0 0 34 34" aria-hidden="true"><circle cx="17" cy="17" r="17"/><path d="M5 18h6l4-9 5 16 3-7h6"/></svg>`
}

const header = (site: Site, page: Page): Html =>
  html`<header class="site-header">
  <a class="brand" href="/">${
    MARKS[site.theme]
  }<span><strong>${site.name}</strong><small>${site.tagline}</small></span></a>
  ${
    page.focused !== true && html`<nav aria-label="Main"><ul>${
      site.nav.map(({ href, label }) =>
        html`<li><a href="${href}"${page.current === href && html` aria-current="page"`}>${label}</a></li>`
      )
    }</ul></nav>`
  }
  ${page.account !== undefined && html`<div class="account">${page.account}</div>`}
</header>`

const refreshOf = (refresh: NonNullable<Page["refresh"]>): string =>
  typeof refresh === "number" ? String(refresh) : `${refresh.seconds}; url=${refresh.to}`

/** The whole document. */
export const document = (site: Site, page: Page): Html =>
  html`<!doctype html>
<html lang="en" data-theme="${site.theme}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${page.refresh !== undefined && html`<meta http-equiv="refresh" content="${refreshOf(page.refresh)}">`}
<title>${page.title} · ${site.name}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/style.css">
${page.script === true && html`<script type="module" src="/assets/ui.js"></script>`}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
${header(site, page)}
<main id="main" tabindex="-1"${page.focused === true && html` class="focused"`}>
${page.main}
</main>
<footer class="site-footer">${site.footer}</footer>
</body>
</html>
`

/** The page as a response. */
export const respond = (site: Site, page: Page): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(document(site, page).toString(), {
    status: page.status ?? 200,
    contentType: "text/html; charset=utf-8",
    headers: headers(page)
  })

/** A redirect that browsers follow with GET. */
export const seeOther = (location: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 303,
    headers: { location, "cache-control": "no-store", "referrer-policy": "no-referrer" }
  })
