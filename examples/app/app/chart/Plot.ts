/**
 * A vital sign as an SVG and as a table. The positions along the time axis are percentages, so that the text has the
 * same size on every screen. Colours come from the style sheet; series and values out of range also differ in the shape
 * of their marks.
 */
import * as DateTime from "effect/DateTime"
import { badge, table } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import * as Fhir from "./Fhir.js"
import type { Point, Series, Vital } from "./Vitals.js"

const HEIGHT = 220
const TOP = 10
const BOTTOM = 28

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

/** The values that the axis shows: all points and ranges, and at least the span of the vital sign. */
export const domain = ({ axis, series }: Pick<Vital, "axis" | "series">): readonly [min: number, max: number] => {
  const values = series.flatMap(({ points, range }) => [
    ...points.map(({ value }) => value),
    ...[range?.low, range?.high].flatMap((bound) => bound ?? [])
  ])
  const [min, max] = [Math.min(...values), Math.max(...values)]
  if ("from" in axis) return [Math.min(min, axis.from), Math.max(max, axis.to)]
  const margin = Math.max(0, (axis.span - (max - min)) / 2)
  return [Math.max(0, min - margin), max + margin]
}

const dayOf = (at: number): string => DateTime.formatIsoDateUtc(DateTime.unsafeMake(at))

const monthOf = (at: number): string =>
  DateTime.formatUtc(DateTime.unsafeMake(at), { locale: "en", month: "short", year: "numeric" })

const MARKS: Readonly<Record<Fhir.Flag | "series-0" | "series-1", string>> = {
  high: "M0-6 6 5-6 5z",
  low: "M0 6 6-5-6-5z",
  "series-0": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  "series-1": "M-4-4h8v8h-8z"
}

/** A key in text: the shapes of the series. */
const SYMBOLS = ["●", "■"]

const FLAGS: Readonly<Record<Fhir.Flag, string>> = { high: "▲ high", low: "▼ low" }

/** A value out of its range, in words. */
export const flagBadge = (flag: Fhir.Flag | undefined, label = ""): Child =>
  flag !== undefined && badge(`${label} ${FLAGS[flag]}`.trim(), "warning")

/** Such as `127/81`: the latest values of all series. */
const valuesAt = ({ series }: Vital, at: number): ReadonlyArray<readonly [Series, Point | undefined]> =>
  series.map((one) => [one, one.points.find((point) => point.at === at)] as const)

const reading = (vital: Vital, at: number): Html => {
  const found = valuesAt(vital, at)
  return html`<span class="nowrap">${found.map(([, point]) => point?.value ?? "–").join("/")}</span>${
    found.map(([{ label }, point]) =>
      point?.flag !== undefined && html` ${flagBadge(point.flag, found.length > 1 ? label : "")}`
    )
  }`
}

const latestOf = ({ series }: Vital): number => Math.max(...series.flatMap(({ points }) => points.map(({ at }) => at)))

const describe = ({ series, unit }: Vital): string =>
  series.map(({ label, points, range }) => {
    const values = points.map(({ value }) => value)
    const last = points.at(-1)
    const flagged = points.filter(({ flag }) => flag !== undefined).length
    return `${label}: ${points.length} ${points.length === 1 ? "value" : "values"}, from ${Math.min(...values)} to ${
      Math.max(...values)
    } ${unit}${last === undefined ? "" : `, the latest ${last.value} on ${dayOf(last.at)}`}${
      range === undefined ? "" : `; reference range ${Fhir.rangeText(range)}, ${flagged} out of range`
    }.`
  }).join(" ")

const percent = (share: number): string => `${(share * 100).toFixed(2)}%`

const picture = (vital: Vital): Html => {
  const times = vital.series.flatMap(({ points }) => points.map(({ at }) => at))
  const [from, to] = [Math.min(...times), Math.max(...times)]
  const scale = ticks(...domain(vital), 8)
  const [bottom, top] = [scale[0] ?? 0, scale.at(-1) ?? 1]
  const x = (at: number) => percent(to === from ? 0.5 : (at - from) / (to - from))
  const y = (value: number) => HEIGHT - BOTTOM - ((value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM)

  const band = ({ range }: Series): Html | false => {
    if (range === undefined) return false
    const [upper, lower] = [y(range.high ?? top), y(range.low ?? bottom)]
    return html`<rect class="range" x="0" width="100%" y="${upper.toFixed(1)}" height="${(lower - upper).toFixed(1)}"/>`
  }

  const curve = ({ points }: Series, index: number): Html => {
    const last = points.at(-1)
    return html`<g class="series-${index}">${
      points.slice(1).map((point, i) => {
        const before = points[i] ?? point
        return html`<line x1="${x(before.at)}" y1="${y(before.value).toFixed(1)}" x2="${x(point.at)}" y2="${
          y(point.value).toFixed(1)
        }"/>`
      })
    }${
      points.map(({ at, flag, value }) =>
        html`<svg class="${flag === undefined ? "point" : "point flagged"}" x="${x(at)}" y="${
          y(value).toFixed(1)
        }"><path d="${MARKS[flag ?? (index === 0 ? "series-0" : "series-1")]}"/></svg>`
      )
    }${
      last !== undefined &&
      html`<text x="${x(last.at)}" dx="12" y="${(y(last.value) + 4).toFixed(1)}">${last.value}</text>`
    }</g>`
  }

  const dates = to === from ? [from] : [from, (from + to) / 2, to]
  return html`<svg class="plot" width="100%" height="${HEIGHT}" role="img" aria-labelledby="plot-${vital.id}-title plot-${vital.id}-text">
<title id="plot-${vital.id}-title">${vital.title} in ${vital.unit}, ${dayOf(from)} to ${dayOf(to)}</title>
<desc id="plot-${vital.id}-text">${describe(vital)}</desc>
${vital.series.map(band)}<g class="grid">${
    scale.map((value) =>
      html`<line x1="0" x2="100%" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text x="0" dx="-10" y="${
        (y(value) + 4).toFixed(1)
      }" text-anchor="end">${value}</text>`
    )
  }${dates.map((at) => html`<text x="${x(at)}" y="${HEIGHT - 6}" text-anchor="middle">${monthOf(at)}</text>`)}</g>
${vital.series.map(curve)}
</svg>`
}

/** The shapes, and the ranges that are drawn. */
const key = ({ series, unit }: Vital): Html => {
  const ranges = series.flatMap(({ label, range }) =>
    range === undefined ? [] : [`${series.length > 1 ? `${label.toLowerCase()} ` : ""}${Fhir.rangeText(range)}`]
  )
  return html`<p class="key">${
    series.length > 1 && series.map(({ label }, i) => html`<span>${SYMBOLS[i] ?? ""} ${label}</span> `)
  }${
    ranges.length > 0 &&
    html`<span>▒ Reference range ${ranges.join(", ")} ${unit}</span> <span>▲ above it ▼ below it</span>`
  }</p>`
}

const asTable = (vital: Vital): Html => {
  const times = [...new Set(vital.series.flatMap(({ points }) => points.map(({ at }) => at)))].sort((a, b) => b - a)
  return table({
    caption: `${vital.title} in ${vital.unit}`,
    columns: ["Date", vital.series.map(({ label }) => label).join("/")],
    rows: times.map((at) => [dayOf(at), reading(vital, at)]),
    empty: ""
  })
}

export const plot = (vital: Vital): Html => {
  const latest = latestOf(vital)
  return html`<figure class="vital"><figcaption><h3>${vital.title}</h3>
<p><strong>${reading(vital, latest)}</strong> <small>${vital.unit}, <span class="nowrap">${
    dayOf(latest)
  }</span></small></p></figcaption>
${picture(vital)}
${key(vital)}
<details><summary>${vital.title} as a table</summary><div>${asTable(vital)}</div></details></figure>`
}
