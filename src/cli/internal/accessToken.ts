/**
 * The access token of `doctor`: from a file or from the environment, alone or in a token response (RFC 6749, section
 * 5.1). The command line has no option for it, because other users of the machine can read command lines.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { isJsonObject, parseJson, reader } from "../../base/JsonReader.js"

/**
 * An access token, with what its token response states.
 *
 * @since 0.1.0
 * @category models
 */
export interface AccessToken {
  readonly token: Redacted.Redacted
  /** The granted scopes, separated by spaces. */
  readonly scope: string | undefined
  /** The id of the patient in context. */
  readonly patient: string | undefined
}

/**
 * The token cannot be read. `detail` has no part of it.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidToken extends Data.TaggedError("InvalidToken")<{ readonly detail: string }> {}

const MAX_LENGTH = 65_536

/** The characters of a bearer token (RFC 6750, section 2.1). */
const isToken = (text: string): boolean => /^[A-Za-z0-9\-._~+/]+=*$/.test(text)

const scopeIn = (scope: unknown): string | undefined =>
  typeof scope === "string"
    ? scope
    : Array.isArray(scope) && scope.every((one) => typeof one === "string")
    ? scope.join(" ")
    : undefined

/**
 * The token in a text: a token alone, or a token response. `source` names the text in errors.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string, source: string): Either.Either<AccessToken, InvalidToken> => {
  const fail = (detail: string) => Either.left(new InvalidToken({ detail: `${source} ${detail}` }))
  const trimmed = text.trim()
  if (trimmed === "") return fail("is empty")
  if (trimmed.length > MAX_LENGTH) return fail(`has more than ${MAX_LENGTH} characters`)
  if (!trimmed.startsWith("{")) {
    return isToken(trimmed)
      ? Either.right({ token: Redacted.make(trimmed), scope: undefined, patient: undefined })
      : fail("has neither an access token alone nor a token response in JSON")
  }
  const json = parseJson(trimmed)?.value
  if (!isJsonObject(json)) return fail("is not valid JSON")
  const { string } = reader(json, () => undefined)
  const token = string("access_token") ?? ""
  return isToken(token)
    ? Either.right({ token: Redacted.make(token), scope: scopeIn(json["scope"]), patient: string("patient") })
    : fail("has no usable access_token")
}

/**
 * The token in a file, or else in the environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  file: Option.Option<string>,
  environment: Redacted.Redacted | undefined
): Effect.Effect<AccessToken | undefined, InvalidToken, FileSystem.FileSystem> =>
  Option.match(file, {
    onNone: () =>
      environment === undefined
        ? Effect.succeed(undefined)
        : Effect.suspend(() => parse(Redacted.value(environment), "SMART_ACCESS_TOKEN")),
    onSome: (path) =>
      Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(path)).pipe(
        // Without the path: it may be a token, given by mistake.
        Effect.mapError(() => new InvalidToken({ detail: "the token file cannot be read" })),
        Effect.flatMap((text) => parse(text, "the token file"))
      )
  })
