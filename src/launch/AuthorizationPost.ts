/**
 * The authorization request as a form that a browser posts (SMART App Launch 2.2, requirements 50, 51, 52 and 133): for
 * servers with the capability `authorize-post`, if a URL would be too long. Pure.
 *
 * @since 0.1.0
 */
import { escape } from "../base/Html.js"
import * as AuthorizationRequest from "./AuthorizationRequest.js"

/**
 * An authorization request as a form (SMART App Launch 2.2, "authorize-post").
 *
 * @since 0.1.0
 * @category models
 */
export interface AuthorizationPost {
  /** The URL that receives the form, as `application/x-www-form-urlencoded`. */
  readonly action: string
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>
}

/** Called on the prototype, because a field named `submit` would hide the method of the form. */
const SCRIPT = "HTMLFormElement.prototype.submit.call(document.forms[0])"

/**
 * A `Content-Security-Policy` for the page: it allows the page's script by its hash. It does not restrict
 * `form-action`, because browsers also apply that to the redirects after the form, which lead back to the app.
 *
 * @since 0.1.0
 * @category constructors
 */
export const contentSecurityPolicy =
  "default-src 'none'; script-src 'sha256-ox4bri+xTrW3kuLTyRoak73QX8KZGuyP3JlQYusbSlA='; base-uri 'none'"

/**
 * A page that posts the form when it is loaded; without scripts, when the user presses its button. Serve it as
 * `text/html; charset=utf-8` with `Cache-Control: no-store` and `contentSecurityPolicy`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toHtml = ({ action, fields }: AuthorizationPost): string =>
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

/** An HTML form cannot send these characters unchanged. */
const isUnsendable = (value: string): boolean => /[\0\r\n]/.test(value)

/**
 * The form for an endpoint and its parameters. The endpoint's own query stays in the action, except for names that are
 * sent. `undefined` if the server would not receive a value unchanged.
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
  return { action: AuthorizationRequest.withoutParams(endpoint, sent).href, fields }
}
