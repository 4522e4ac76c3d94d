/**
 * The components of pages: cards, badges, lists of values, tables, banners, forms. They are plain HTML, styled by
 * `style.css`.
 */
import type { Child, Html } from "./Html.js"
import { html } from "./Html.js"

/** The meaning of a colour; the text beside it says the same. */
export type Tone = "neutral" | "info" | "good" | "warning" | "bad"

/** A word or two in a coloured pill. */
export const badge = (text: string, tone: Tone = "neutral"): Html => html`<span class="badge ${tone}">${text}</span>`

/** The heading of a page, and its actions. */
export const pageHeading = (title: string, options: {
  readonly lead?: Child
  readonly actions?: Child
} = {}): Html =>
  html`<div class="page-heading"><div><h1>${title}</h1>${
    options.lead !== undefined && html`<p class="lead">${options.lead}</p>`
  }</div>${options.actions !== undefined && html`<div class="actions">${options.actions}</div>`}</div>`

/** A box with a heading of the second level. */
export const card = (title: string, content: Child, options: {
  readonly id?: string | undefined
  readonly aside?: Child
} = {}): Html =>
  html`<section class="card"${options.id !== undefined && html` id="${options.id}"`}>
<div class="card-heading"><h2>${title}</h2>${options.aside !== undefined && html`<div>${options.aside}</div>`}</div>
${content}
</section>`

/** Names and values. */
export const keyValues = (entries: ReadonlyArray<readonly [name: string, value: Child]>): Html =>
  html`<dl class="values">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`

/**
 * A table with a caption; the first cell of each row is its heading. On a narrow screen each row is a card: the heading
 * and the second cell are on its first line, so the most important column is the second one.
 */
export const table = (options: {
  readonly caption: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<Child>>
  /** The text of a table without rows. */
  readonly empty: string
  readonly captionHidden?: boolean | undefined
}): Html =>
  options.rows.length === 0
    ? html`<p class="empty">${options.empty}</p>`
    : html`<div class="table" role="region" aria-label="${options.caption}" tabindex="0"><table>
<caption${options.captionHidden === true && html` class="visually-hidden"`}>${options.caption}</caption>
<thead><tr>${options.columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>${
      options.rows.map(([first, ...rest]) =>
        html`<tr><th scope="row">${first}</th>${
          rest.map((cell, i) => html`<td data-label="${options.columns[i + 1] ?? ""}">${cell}</td>`)
        }</tr>`
      )
    }</tbody>
</table></div>`

/** A message; with `live`, a screen reader announces it. */
export const banner = (tone: Tone, title: string, content?: Child, options: {
  readonly live?: boolean | undefined
} = {}): Html =>
  html`<div class="banner ${tone}"${options.live === true && html` role="${tone === "bad" ? "alert" : "status"}"`}>
<strong>${title}</strong>${content !== undefined && html`<div>${content}</div>`}
</div>`

/** The style of a button. */
export type ButtonKind = "primary" | "secondary" | "danger" | "quiet"

/** A button that sends its form, with a name and value of its own if it has one. */
export const submit = (label: Child, options: {
  readonly kind?: ButtonKind | undefined
  readonly name?: string | undefined
  readonly value?: string | undefined
  /** For a screen reader, if the label alone is not clear. */
  readonly describes?: string | undefined
  readonly newTab?: boolean | undefined
} = {}): Html =>
  html`<button type="submit" class="button ${options.kind ?? "primary"}"${
    options.name !== undefined && html` name="${options.name}" value="${options.value ?? ""}"`
  }${options.newTab === true && html` formtarget="_blank"`}>${label}${
    options.describes !== undefined && html`<span class="visually-hidden"> ${options.describes}</span>`
  }</button>`

/** A form that changes something. */
export const postForm = (action: string, content: Child, hidden: Readonly<Record<string, string>> = {}): Html =>
  html`<form method="post" action="${action}">${
    Object.entries(hidden).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)
  }${content}</form>`

/** A link that looks like a button. */
export const buttonLink = (href: string, label: Child, kind: ButtonKind = "secondary"): Html =>
  html`<a class="button ${kind}" href="${href}">${label}</a>`

/** A choice of one, as a list to open. */
export const select = (options: {
  readonly id: string
  readonly name: string
  readonly label: string
  readonly choices: ReadonlyArray<{ readonly value: string; readonly label: string }>
  readonly selected?: string | undefined
}): Html =>
  html`<div class="field"><label for="${options.id}">${options.label}</label>
<select id="${options.id}" name="${options.name}">${
    options.choices.map(({ label, value }) =>
      html`<option value="${value}"${value === options.selected && html` selected`}>${label}</option>`
    )
  }</select></div>`

/** A line of text to fill in. */
export const textField = (options: {
  readonly id: string
  readonly name: string
  readonly label: string
  readonly value?: string | undefined
  readonly hint?: Child
  readonly type?: "text" | "number" | "url" | undefined
}): Html =>
  html`<div class="field"><label for="${options.id}">${options.label}</label>
<input id="${options.id}" name="${options.name}" type="${options.type ?? "text"}" value="${
    options.value ?? ""
  }" autocomplete="off" spellcheck="false"${options.hint !== undefined && html` aria-describedby="${options.id}-hint"`}>
${options.hint !== undefined && html`<small id="${options.id}-hint">${options.hint}</small>`}</div>`

/** A box to tick, with an explanation below its label. */
export const checkbox = (options: {
  readonly id: string
  readonly name: string
  readonly value: string
  readonly label: Child
  readonly detail?: Child
  readonly checked?: boolean | undefined
  readonly disabled?: boolean | undefined
  readonly type?: "checkbox" | "radio" | undefined
}): Html =>
  html`<div class="choice"><input type="${
    options.type ?? "checkbox"
  }" id="${options.id}" name="${options.name}" value="${options.value}"${options.checked === true && html` checked`}${
    options.disabled === true && html` disabled`
  }${options.detail !== undefined && html` aria-describedby="${options.id}-detail"`}>
<label for="${options.id}">${options.label}</label>${
    options.detail !== undefined && html`<div class="detail" id="${options.id}-detail">${options.detail}</div>`
  }</div>`

/** Text that may break after each slash and before each parameter. */
const breakable = (text: string): Child =>
  text.split(/(?<=\/)(?!\/)|(?=[?&])/).map((part, i) => i === 0 ? part : html`<wbr>${part}`)

/** A URL, a path or another technical value. */
export const code = (text: string): Html => html`<code>${breakable(text)}</code>`

/** A code to be copied: with `ui.js` there is a button for it. */
export const copyable = (text: string): Html => html`<code class="copyable" data-copy>${breakable(text)}</code>`
