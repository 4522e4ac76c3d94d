/**
 * The bearer challenge of a `WWW-Authenticate` header (RFC 9110, section 11.6.1; RFC 6750, section 3).
 *
 * @internal
 */
import { safeText } from "./Redaction.js"

export interface BearerChallenge {
  readonly error: string | undefined
  readonly errorDescription: string | undefined
  /** The scope that the request needs. */
  readonly scope: string | undefined
}

type Parameters = Map<string, string>

const MAX_LENGTH = 8_192

const SEPARATORS = /[\s,]*/y
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const EQUALS = /[ \t]*=[ \t]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/sy
const UP_TO_COMMA = /[^,]*/y

/**
 * The parameters of each challenge with the scheme `Bearer`, up to the first syntax error. One pass, from left to
 * right.
 */
const bearerParameters = (header: string): ReadonlyArray<Parameters> => {
  const found: Array<Parameters> = []
  let current: Parameters | undefined
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match === null) return undefined
    at = pattern.lastIndex
    return match
  }
  while (at < header.length) {
    take(SEPARATORS)
    const name = take(TOKEN)?.[0].toLowerCase()
    if (name === undefined) break
    if (take(EQUALS) === undefined) {
      current = new Map()
      if (name === "bearer") found.push(current)
    } else {
      const value = take(QUOTED)?.[1]?.replace(/\\(.)/gs, "$1") ?? take(UP_TO_COMMA)?.[0] ?? ""
      if (current !== undefined && !current.has(name)) current.set(name, value)
    }
  }
  return found
}

/** The server's error about a bearer token, without any of `secrets`. */
export const bearer = (header: string | undefined, secrets: ReadonlyArray<string>): BearerChallenge => {
  const challenges = bearerParameters((header ?? "").slice(0, MAX_LENGTH))
  const challenge = challenges.find((parameters) => parameters.has("error")) ?? challenges[0]
  const read = (name: string, maxLength?: number): string | undefined => {
    const value = challenge?.get(name)
    return value === undefined || value === "" ? undefined : safeText(value, secrets, maxLength)
  }
  return { error: read("error", 80), errorDescription: read("error_description"), scope: read("scope") }
}
