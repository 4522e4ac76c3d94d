/**
 * A tagged template for HTML that escapes text and attribute values with Hono (`hono/html`).
 */
import { html as escaping } from "hono/html"
import type { HtmlEscapedString } from "hono/utils/html"

/** A piece of HTML that is escaped already. Only `html` makes one. */
export type Html = HtmlEscapedString

/** A value in a template: text is escaped, HTML is not, lists are concatenated, `false` and `undefined` are empty. */
export type Child = Html | string | number | false | undefined | ReadonlyArray<Child>

/**
 * The template: ``html`<td title="${name}">${name}</td>` ``. Put attribute values in double quotes. Do not put URLs
 * from others in `href`: escaping does not make `javascript:` harmless.
 */
export const html = (strings: TemplateStringsArray, ...children: ReadonlyArray<Child>): Html =>
  // Hono's template returns a promise only for a promise among the children; `Child` has none.
  escaping(strings, ...children) as Html

/** No HTML. */
export const nothing: Html = html``
