/**
 * HTML as values: a tagged template that escapes all that is put into it, text and attributes alike. The escaping is Hono's (`hono/html`).
 */
import { html as escaping } from "hono/html"
import type { HtmlEscapedString } from "hono/utils/html"

/** A piece of HTML that is escaped already. Only `html` makes one. */
export type Html = HtmlEscapedString

/** What may stand in a template: text is escaped, HTML stays as it is, lists are put one after the other, nothing prints as nothing. */
export type Child = Html | string | number | false | undefined | ReadonlyArray<Child>

/**
 * The template: ``html`<td title="${name}">${name}</td>` ``. Put attribute values in double quotes. A URL that somebody else chose does
 * not belong in `href`: escaping does not make `javascript:` harmless.
 */
export const html = (strings: TemplateStringsArray, ...children: ReadonlyArray<Child>): Html =>
  // Only a promise among the children makes Hono's template answer with one, and `Child` has none.
  escaping(strings, ...children) as Html

/** No HTML. */
export const nothing: Html = html``
