/**
 * The authorization request as a form that a browser posts (SMART App Launch 2.2, requirements 50, 51, 52 and 133): for servers with the capability
 * `authorize-post`, where a URL would become too long. Pure.
 *
 * @since 0.1.0
 */
import { escape } from "../base/Html.js"
import * as AuthorizationRequest from "./AuthorizationRequest.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface AuthorizationPost {
  /** Where the form is posted to, as `application/x-www-form-urlencoded`. */
  readonly action: string
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>
  /**
   * A page that posts the form by itself, and at the press of a button where scripts do not run. Serve it as `text/html; charset=utf-8` with
   * `Cache-Control: no-store` and `contentSecurityPolicy`.
   */
  readonly html: string
}

/** Called on the prototype, because a form's own `submit` is whatever field has that name. */
const SCRIPT = "HTMLFormElement.prototype.submit.call(document.forms[0])"

/**
 * A `Content-Security-Policy` for the page: its one script by its hash, and nothing else. It does not restrict `form-action`, because browsers apply
 * that to the redirects after the form, too, which lead back to the app.
 *
 * @since 0.1.0
 * @category constructors
 */
export const contentSecurityPolicy =
  "default-src 'none'; script-src 'sha256-ox4bri+xTrW3kuLTyRoak73QX8KZGuyP3JlQYusbSlA='; base-uri 'none'"

const toHtml = (action: string, fields: AuthorizationPost["fields"]): string =>
  [
    "<!doctype html>",
    "<html lang=\"en\">",
    "<head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\"><title>Sign in</title></head>",
    "<body>",
    `<form method="post" action="${escape(action)}" accept-charset="utf-8">`,
    ...fields.map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`),
    "<noscript><p>Go on to sign in:</p></noscript>",
    "<button type=\"submit\">Continue</button>",
    "</form>",
    `<script>${SCRIPT}</script>`,
    "</body>",
    "</html>",
    ""
  ].join("\n")

/** What an HTML form cannot carry unchanged. */
const isUnsendable = (value: string): boolean => /[\0\r\n]/.test(value)

/**
 * The form for an endpoint and its parameters. The endpoint's own query stays in the action, except for names that are sent. Nothing where a value
 * would not arrive byte for byte.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  endpoint: string,
  fields: ReadonlyArray<readonly [string, string]>
): AuthorizationPost | undefined => {
  if (fields.some((pair) => pair.some(isUnsendable))) return undefined
  const sent = new Set(fields.map(([name]) => name))
  const action = AuthorizationRequest.withoutParams(endpoint, sent).href
  return { action, fields, html: toHtml(action, fields) }
}
