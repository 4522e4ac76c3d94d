/**
 * A vital sign as an SVG and as a table. Colours come from the style sheet; series also differ in the shape of their
 * marks.
 */
import * as DateTime from "effect/DateTime"
import { table } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { Point, Series, Vital } from "./Vitals.js"

const WIDTH = 640
const HEIGHT = 240
const LEFT = 48
const TOP = 14
const BOTTOM = 34

/** Round values from below the smallest to above the largest, about `count` of them. */
export const ticks = (min: number, max: number, count = 5): ReadonlyArray<number> => {
  const span = max > min ? max - min : Math.max(Math.abs(max), 1) / 10
  const rough = span / (count - 1)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
  const first = Math.floor(min / step)
  const last = Math.max(Math.ceil(max / step), first + 1)
  // By index, since added steps would add up their errors.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

const dayOf = (at: number): string => DateTime.formatIsoDateUtc(DateTime.unsafeMake(at))

/** For what is written behind the last value. */
const rightOf = ({ series }: Vital): number => series.length > 1 ? 140 : 72

const round = (value: number): string => value.toFixed(1)

const mark = (shape: number, x: number, y: number): Html =>
  shape === 0
    ? html`<circle cx="${round(x)}" cy="${round(y)}" r="4"/>`
    : html`<rect x="${round(x - 4)}" y="${round(y - 4)}" width="8" height="8"/>`

/** Up to five dates along the axis, the first and the last among them. */
const dates = (from: number, to: number): ReadonlyArray<number> =>
  to === from ? [from] : Array.from({ length: 4 }, (_, i) => from + ((to - from) * i) / 3)

const describe = ({ series, unit }: Vital): string =>
  series.map(({ label, points }) => {
    const values = points.map(({ value }) => value)
    const last = points.at(-1)
    return `${label}: ${points.length} ${points.length === 1 ? "value" : "values"}, from ${Math.min(...values)} to ${
      Math.max(...values)
    } ${unit}${last === undefined ? "" : `, the latest ${last.value} on ${dayOf(last.at)}`}.`
  }).join(" ")

const picture = (vital: Vital): Html => {
  const points = vital.series.flatMap(({ points }) => points)
  const times = points.map(({ at }) => at)
  const values = points.map(({ value }) => value)
  const [from, to] = [Math.min(...times), Math.max(...times)]
  const scale = ticks(Math.min(...values), Math.max(...values))
  const [bottom, top] = [scale[0] ?? 0, scale.at(-1) ?? 1]
  const right = WIDTH - rightOf(vital)
  const x = (at: number) => LEFT + (to === from ? 0.5 : (at - from) / (to - from)) * (right - LEFT)
  const y = (value: number) => HEIGHT - BOTTOM - ((value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM)

  const curve = ({ label, points }: Series, shape: number): Html => {
    const last = points.at(-1)
    return html`<g class="series series-${shape}"><polyline points="${
      points.map(({ at, value }: Point) => `${round(x(at))},${round(y(value))}`).join(" ")
    }"/>${points.map(({ at, value }) => mark(shape, x(at), y(value)))}${
      last !== undefined &&
      html`<text x="${round(x(last.at) + 10)}" y="${round(y(last.value) + 4)}">${
        vital.series.length > 1 ? `${label} ` : ""
      }${last.value}</text>`
    }</g>`
  }

  return html`<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="plot-${vital.id}-title plot-${vital.id}-text">
<title id="plot-${vital.id}-title">${vital.title} in ${vital.unit}, ${dayOf(from)} to ${dayOf(to)}</title>
<desc id="plot-${vital.id}-text">${describe(vital)}</desc>
<g class="grid">${
    scale.map((value) =>
      html`<line x1="${LEFT}" x2="${right}" y1="${round(y(value))}" y2="${round(y(value))}"/><text x="${LEFT - 8}" y="${
        round(y(value) + 4)
      }" text-anchor="end">${value}</text>`
    )
  }${
    dates(from, to).map((at) =>
      html`<text x="${round(x(at))}" y="${HEIGHT - 10}" text-anchor="middle">${dayOf(at)}</text>`
    )
  }</g>
${vital.series.map(curve)}
</svg>`
}

const asTable = ({ series, title, unit }: Vital): Html => {
  const times = [...new Set(series.flatMap(({ points }) => points.map(({ at }) => at)))].sort((a, b) => b - a)
  return table({
    caption: `${title} in ${unit}`,
    columns: ["Date", ...series.map(({ label }) => label)],
    rows: times.map((at) => [
      dayOf(at),
      ...series.map(({ points }) => points.filter((point) => point.at === at).map(({ value }) => value).join(", "))
    ]),
    empty: ""
  })
}

export const plot = (vital: Vital): Html =>
  html`<figure class="vital"><figcaption><h3>${vital.title} <small>${vital.unit}</small></h3></figcaption>
${picture(vital)}
<details><summary>${vital.title} as a table</summary><div>${asTable(vital)}</div></details></figure>`
