/**
 * The part of the output of `doctor` about a token and its scopes.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { safeText } from "../../http/Redaction.js"
import * as Scopes from "../../launch/Scopes.js"
import type { TypeAccess } from "./access.js"
import { type AccessProbe, isUsable, type ScopeSource, type SearchResult } from "./accessProbe.js"
import { heading } from "./report.js"
import type { Style } from "./style.js"

const SOURCES: Record<ScopeSource, string> = {
  option: "stated by --scope",
  tokenResponse: "from the token response",
  introspection: "from the server's introspection",
  jwt: "from the claims of the token, which are not verified"
}

const MAX_SHOWN_SCOPES = 200

const secretsOf = ({ token }: AccessProbe): ReadonlyArray<string> => token === undefined ? [] : [Redacted.value(token)]

/** The scopes as printable text without the token, which a server may repeat in them. */
const printed = (probe: AccessProbe): ReadonlyArray<string> =>
  (probe.scopes?.granted ?? []).slice(0, MAX_SHOWN_SCOPES)
    .map((scope) => safeText(Scopes.printScope(scope), secretsOf(probe)))

const WIDTH = 100

/** Words in lines of a limited width. */
const wrapped = (words: ReadonlyArray<string>, indent: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length + 1 > WIDTH) lines.push(`${indent}${word}`)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

const listed = (items: ReadonlyArray<string>): ReadonlyArray<string> =>
  items.map((item, index) => index === items.length - 1 ? item : `${item},`)

type Kind = "allowedAndOffered" | "allowedOnly" | "offeredOnly"

/** Types with the same interactions share one entry. */
const grouped = (
  types: ReadonlyArray<TypeAccess>,
  kind: Kind,
  secrets: ReadonlyArray<string>,
  style: Style
): ReadonlyArray<string> => {
  const groups = new Map<string, Array<string>>()
  for (const access of types) {
    const { constrained, contexts, type } = access
    const interactions = access[kind].map((code) =>
      kind !== "offeredOnly" && constrained.includes(code) ? `${code}*` : code
    )
    if (interactions.length > 0) {
      const of = kind === "offeredOnly" ? "" : ` (${contexts.join(", ")})`
      const key = `${interactions.join(", ")}${of}`
      groups.set(key, [...(groups.get(key) ?? []), safeText(type, secrets)])
    }
  }
  return groups.size === 0 ? [style.dim("  none")] : [...groups].flatMap(([interactions, names]) => [
    `  ${interactions}`,
    ...wrapped(listed(names), "    ")
  ])
}

const searchText = ({ reason, status, type }: SearchResult, secrets: ReadonlyArray<string>, style: Style): string =>
  reason === undefined
    ? `  ${style.green("✓")} ${safeText(type, secrets)}`
    : `  ${style.red("✗")} ${safeText(type, secrets)}: ${
      status === undefined ? reason : `HTTP status ${status} (${reason})`
    }`

const conclusion = (probe: AccessProbe): string => {
  const { active, expiresAt, isExpired, scopes, searches, token } = probe
  const expiry = expiresAt === undefined ? "" : DateTime.formatIso(expiresAt)
  if (active === false) return "The server says that the token is not active: it has expired, or was revoked."
  if (isExpired) return `The token expired at ${expiry}.`
  if ((searches ?? []).some(({ reason }) => reason === "Unauthorized")) return "The server refuses the token."
  if (scopes === undefined) return "The scopes of the token are not known."
  const until = expiry === "" ? "" : `, valid until ${expiry}`
  return `${token === undefined ? "Scopes" : "Token with scopes"} ${SOURCES[scopes.source]}${until}.`
}

const isConstrained = ({ allowedAndOffered, allowedOnly, constrained }: TypeAccess): boolean =>
  [...allowedAndOffered, ...allowedOnly].some((code) => constrained.includes(code))

const typesText = (
  types: ReadonlyArray<TypeAccess>,
  secrets: ReadonlyArray<string>,
  style: Style
): ReadonlyArray<string> => [
  ...heading("Allowed and offered by the server", style),
  ...grouped(types, "allowedAndOffered", secrets, style),
  ...heading("Allowed, but not in the CapabilityStatement of the server", style),
  ...grouped(types, "allowedOnly", secrets, style),
  ...heading("Offered by the server, but not allowed", style),
  ...grouped(types, "offeredOnly", secrets, style),
  ...(types.some(isConstrained) ? ["", style.dim("  * only for the search parameters in the scope")] : [])
]

/**
 * The lines after those about the server.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toText = (probe: AccessProbe, style: Style): ReadonlyArray<string> => {
  const { introspectionFailure, scopes, searches, types } = probe
  const secrets = secretsOf(probe)
  const granted = scopes?.granted ?? []
  const names = printed(probe)
  const hidden = granted.length - names.length
  return [
    ...heading("Access", style),
    `  ${isUsable(probe) ? style.green("✓") : style.red("✗")} ${conclusion(probe)}`,
    ...(introspectionFailure === undefined ? [] : [style.dim(`    introspection: ${introspectionFailure}`)]),
    ...(scopes === undefined
      ? [`    ${style.dim("→")} State them with --scope, or use a file with the whole token response.`]
      : [
        ...heading(`Granted scopes: ${granted.length}`, style),
        ...wrapped(names, "  "),
        ...(hidden > 0 ? [style.dim(`  and ${hidden} more`)] : [])
      ]),
    ...Either.match(types, {
      onLeft: (error) => ["", `  ${style.red("✗")} ${safeText(error.message, secrets, 1_000)}`],
      onRight: (found) => scopes === undefined ? [] : typesText(found, secrets, style)
    }),
    ...(searches === undefined ? [] : [
      ...heading("Searches", style),
      ...(searches.length === 0
        ? [style.dim("  none: no type may be searched")]
        : searches.map((search) => searchText(search, secrets, style)))
    ])
  ]
}

/**
 * The member `access` of the JSON document.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toJson = (probe: AccessProbe): object => {
  const { active, expiresAt, introspectionFailure, isExpired, scopes, searches, types } = probe
  return {
    usable: isUsable(probe),
    conclusion: conclusion(probe),
    scopeSource: scopes?.source ?? null,
    scopes: printed(probe),
    active: active ?? null,
    expiresAt: expiresAt === undefined ? null : DateTime.formatIso(expiresAt),
    expired: isExpired,
    introspectionFailure: introspectionFailure ?? null,
    ...Either.match(types, {
      onLeft: ({ detail, message, reason, status, url }): object => ({
        error: { reason, url, status, detail, message: safeText(message, secretsOf(probe), 1_000) }
      }),
      onRight: (found): object => ({ types: scopes === undefined ? null : found })
    }),
    searches: searches ?? null
  }
}

/**
 * A report without the token, if a text of the server has it in a place that was not expected.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutToken = (report: string, token: Redacted.Redacted | undefined): string =>
  token === undefined || Redacted.value(token).length < 8
    ? report
    : report.replaceAll(Redacted.value(token), "<redacted>")
