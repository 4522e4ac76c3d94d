/**
 * The text of `docs/errors.md` about one error class.
 */
import type * as Effect from "effect/Effect"
import type { Met } from "./world.js"

export interface Entry {
  /** The error, from a run of the library where that is fast. */
  readonly example: Effect.Effect<Met, unknown>
  readonly cause: string
  readonly cure: string
  /** Whether the library repeated it, and whether the same call may be made again. */
  readonly again: string
}

export interface Section<Reason extends string = string> {
  /** Its `_tag`. */
  readonly name: string
  /** The literals of its `reason`, from its schema. */
  readonly literals: ReadonlyArray<string>
  readonly about: string
  readonly entries: Readonly<Record<Reason, Entry>>
  /** What every message must name: the server, its URL, or what stands for it. */
  readonly names: RegExp
}

/** Checked against the names of the reasons, so that later code does not need them. */
export const section = <Reason extends string>(self: Section<Reason>): Section => self

const anchor = (name: string): string => name.toLowerCase()

const facts = ({ isRetryable, processed }: Met): string =>
  [
    isRetryable === undefined ? undefined : `\`isRetryable\` ${isRetryable}`,
    processed === undefined ? undefined : `\`processed\` ${processed}`
  ].filter((fact) => fact !== undefined).join(", ")

const printEntry = (name: string, reason: string, { again, cause, cure }: Entry, example: Met): string =>
  `### ${name}: ${reason}\n\n` +
  `\`\`\`text\n${example.message}\n\`\`\`\n\n` +
  `- **Cause.** ${cause}\n- **Cure.** ${cure}\n- **Again?** ${again}${
    facts(example) === "" ? "" : ` (${facts(example)})`
  }\n`

/** A section as it stands in the document. */
export const print = (self: Section, examples: ReadonlyMap<string, Met>): string =>
  `## ${self.name}\n\n${self.about}\n\n` +
  self.literals.flatMap((reason) => {
    const entry = self.entries[reason]
    const example = examples.get(reason)
    return entry === undefined || example === undefined ? [] : [printEntry(self.name, reason, entry, example)]
  }).join("\n")

/** The sections and where they begin. */
export const contents = (sections: ReadonlyArray<Section>): string =>
  sections.map((self) =>
    `- [${self.name}](#${anchor(self.name)}): ${self.literals.map((one) => `\`${one}\``).join(", ")}`
  ).join("\n")

// Texts that several errors share.

export const nothingSent = "Not repeated: nothing was sent. The same call fails the same way until that is changed."

export const readOnly = "Retried by the `RetryPolicy`. The request changes nothing: you can safely repeat the call."

export const final =
  "Not repeated: the same call gets the same response until something changes. Calling again is safe."
