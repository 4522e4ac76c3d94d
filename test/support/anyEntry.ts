/**
 * Session store entries of each kind with values in each field, and a form in which two of them can be compared.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
// All entries that can be stored, also those that `Sessions` seldom makes.
import { CompletedLaunch, type Entry, PendingLaunch, StoredSession } from "../../src/session/internal/sessionEntry.js"
import { Identity } from "../../src/token/Identity.js"
import { LaunchContext } from "../../src/token/LaunchContext.js"
import { TokenSet } from "../../src/token/TokenSet.js"

/** From tomorrow to the end of the year 9999, the last date that the library writes. */
const expiresAt = FastCheck.integer({ min: Date.now() + 86_400_000, max: 253_402_300_799_999 }).map((millis) =>
  DateTime.unsafeMake(millis)
)

/** Any JSON of a server or an app, also with names that objects inherit. */
const members = FastCheck.dictionary(
  FastCheck.oneof(FastCheck.string(), FastCheck.constantFrom("constructor", "toString", "__proto__")),
  FastCheck.jsonValue()
).map((value): Record<string, unknown> => JSON.parse(JSON.stringify(value)))

const skipValidation = { disableValidation: true }

const tokenSet = FastCheck.record({
  tokens: Arbitrary.make(TokenSet),
  extensions: members,
  claims: members,
  identifier: members
}).map(({ claims, extensions, identifier, tokens }) => {
  const fhirContext = tokens.context.fhirContext?.map((item) => ({ ...item, identifier }))
  return new TokenSet({
    ...tokens,
    extensions: Redacted.make(extensions),
    identity: tokens.identity === undefined
      ? undefined
      : new Identity({ ...tokens.identity, claims: Redacted.make(claims) }, skipValidation),
    context: new LaunchContext({
      ...tokens.context,
      fhirContext,
      authorizationDetails: tokens.context.authorizationDetails?.map((detail) => ({ ...detail, fhirContext }))
    }, skipValidation)
  }, skipValidation)
})

export const anyEntry: FastCheck.Arbitrary<Entry> = FastCheck.oneof(
  FastCheck.record({ entry: Arbitrary.make(PendingLaunch), expiresAt, appState: FastCheck.jsonValue() }).map((
    { appState, entry, expiresAt }
  ) => new PendingLaunch({ ...entry, expiresAt, appState }, skipValidation)),
  FastCheck.record({ entry: Arbitrary.make(CompletedLaunch), expiresAt }).map(({ entry, expiresAt }) =>
    new CompletedLaunch({ ...entry, expiresAt }, skipValidation)
  ),
  FastCheck.record({
    entry: Arbitrary.make(StoredSession),
    expiresAt,
    appState: FastCheck.jsonValue(),
    tokens: tokenSet
  })
    .map(({ appState, entry, expiresAt, tokens }) =>
      new StoredSession({ ...entry, expiresAt, appState, tokens }, skipValidation)
    )
)

/** Tokens in the error of a failed renewal are in memory only. */
const NOT_STORED = "issued"

/**
 * The stored parts of a value, including secrets, as data without classes. Absent and undefined members are equal.
 */
export const plain = (value: unknown): unknown => {
  if (Redacted.isRedacted(value)) return { redacted: plain(Redacted.value(value)) }
  if (DateTime.isDateTime(value)) return { at: DateTime.toEpochMillis(value) }
  if (Duration.isDuration(value)) return { millis: Duration.toMillis(value) }
  if (Array.isArray(value)) return value.map(plain)
  // JSON has no negative zero.
  if (value === 0) return 0
  if (typeof value !== "object" || value === null) return value
  const fields = "_tag" in value && typeof value._tag === "string" && value instanceof Error ? { _tag: value._tag } : {}
  return Object.entries({ ...value, ...fields }).filter(([name, member]) => member !== undefined && name !== NOT_STORED)
    .sort(([a], [b]) => a < b ? -1 : 1).map(([name, member]) => [name, plain(member)])
}

/**
 * Texts of a hostile server: control characters, half of a surrogate pair, texts that look like another encoding.
 */
export const hostileTexts: ReadonlyArray<string> = [
  "\u0000",
  "\ud800",
  "\udfff\ud800",
  "\u2028\u2029",
  "\u{1f600}",
  "\\u0000",
  "\"}",
  "%00",
  "\ufeff"
]

export const hostileSession = (text: string, tokens: TokenSet): StoredSession =>
  new StoredSession({
    version: 1,
    expiresAt: DateTime.unsafeMake(253_402_300_799_999),
    server: text,
    createdAt: DateTime.unsafeMake(0),
    appState: { [text]: text },
    tokens: new TokenSet({
      ...tokens,
      accessToken: Redacted.make(text),
      refreshToken: Redacted.make(text),
      scopes: [text],
      extensions: Redacted.make({ [text]: text })
    }, skipValidation)
  }, skipValidation)
