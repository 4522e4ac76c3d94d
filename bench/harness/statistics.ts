/**
 * The median and the spread of several rounds.
 */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

const at = (sorted: ReadonlyArray<number>, fraction: number): number => {
  const position = (sorted.length - 1) * fraction
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

/** The median, and the quartiles around it. */
export const spread = (values: ReadonlyArray<number>): Spread => {
  const sorted = [...values].sort((a, b) => a - b)
  return { median: at(sorted, 0.5), low: at(sorted, 0.25), high: at(sorted, 0.75) }
}

/** The ratio of each round: other load affects both sides. */
export const ratios = (values: ReadonlyArray<number>, others: ReadonlyArray<number>): Spread =>
  spread(values.flatMap((value, round) => {
    const other = others[round]
    return other === undefined || other === 0 ? [] : [value / other]
  }))
