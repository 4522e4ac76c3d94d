/**
 * One thing that a judged document does or lacks against its specification, and what to do about it. Findings are for people and programs that
 * judge a server; nothing in this library refuses to work because of one.
 *
 * @since 0.1.0
 */

/**
 * - `error`: something that the specification demands is not so
 * - `warning`: a recommendation is not followed, or two statements do not fit together
 * - `information`: worth knowing, and allowed
 *
 * @since 0.1.0
 * @category models
 */
export type Severity = "error" | "warning" | "information"

/**
 * @since 0.1.0
 * @category models
 */
export interface Finding<Code extends string> {
  readonly code: Code
  readonly severity: Severity
  /** The member that is meant, by its name on the wire. */
  readonly member?: string | undefined
  /** Number of the requirement in `hl7.fhir.uv.smart-app-launch_2.2.0`, where it has one. */
  readonly requirement?: string | undefined
  /** What was found, in one line. */
  readonly message: string
  /** What the operator of the server should do, or what it means for a client. */
  readonly advice: string
}

/** @internal */
export const finding = <Code extends string>(
  code: Code,
  severity: Severity,
  member: string | undefined,
  requirement: string | undefined,
  message: string,
  advice: string
): Finding<Code> => ({
  code,
  severity,
  ...(member === undefined ? {} : { member }),
  ...(requirement === undefined ? {} : { requirement }),
  message,
  advice
})

/**
 * Without those that say the same of the same member: a list of many sloppy entries makes one finding, in the place of its first.
 *
 * @internal
 */
export const distinct = <F extends Finding<string>>(findings: ReadonlyArray<F>): ReadonlyArray<F> => [
  ...new Map(findings.map((finding) => [`${finding.code} ${finding.member} ${finding.message}`, finding])).values()
]
