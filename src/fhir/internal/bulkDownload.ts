/**
 * Requests one file of an export (Bulk Data Access 3.0, "File Request"), from a byte on if the server supports it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Url from "../../base/Url.js"
import type { Authorized } from "../FhirClient.js"
import { FhirError, type Fields, isFhirError } from "../FhirError.js"
import type { Job, Position } from "./bulkCheckpoint.js"
import type { ManifestFile } from "./bulkManifest.js"
import type { CurrentJob, OnWait, RefreshOptions } from "./bulkRefresh.js"
import type { StreamedResponse } from "./fhirMessage.js"
import { gunzipIfCompressed, type Pull } from "./gunzip.js"

/**
 * How a file is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileOptions extends RefreshOptions {
  /** The maximum size of a line. Default 8 MiB. */
  readonly maxLineBytes?: number | undefined
  /**
   * If an `output` or `deleted` file has more or fewer resources than its `count`: `fail` (the default), or `warn`,
   * which is what the files of kind `error` always do.
   */
  readonly wrongCount?: "fail" | "warn" | undefined
}

/** What the reader of a file needs besides its position. */
export interface FileContext<E, R> {
  readonly job: CurrentJob<E, R>
  readonly index: number
  readonly file: ManifestFile
  readonly fhirBaseUrl: string
  /** Makes errors about the file. */
  readonly fail: (fields: Fields) => FhirError
  readonly options: FileOptions
  readonly onWait: OnWait
}

/** A file that is being received. */
export interface Opened {
  readonly body: Pull<FhirError>
  /** The number of bytes of `body`, if the server declares it. */
  readonly length: number | undefined
  readonly isRange: boolean
  readonly etag: string | undefined
}

const strongEtag = (response: StreamedResponse): string | undefined => {
  const etag = response.headers["etag"]
  return etag !== undefined && /^"[^"\r\n]{1,200}"$/.test(etag) && isIdentity(response) ? etag : undefined
}

const isIdentity = ({ headers }: StreamedResponse): boolean =>
  headers["content-encoding"] === undefined || /^\s*identity\s*$/i.test(headers["content-encoding"])

const lengthOf = (response: StreamedResponse): number | undefined => {
  const length = response.headers["content-length"]
  return isIdentity(response) && length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** Whether the response begins at the requested byte, without compression. */
const isRangeFrom = (response: StreamedResponse, from: number): boolean =>
  response.status === 206 && isIdentity(response) &&
  /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1] === String(from)

/** Requests the file, from a position on if possible. */
export const openAt = <E, R>(
  fhir: Authorized<E, R>,
  { fail, index }: FileContext<E, R>,
  file: ManifestFile,
  position: Position,
  isRange: boolean
): Effect.Effect<Opened, FhirError | E, R | Scope.Scope> => {
  const request = (headers: Readonly<Record<string, string>>) =>
    fhir.open({
      interaction: "export file",
      url: file.url,
      headers: { accept: "application/fhir+ndjson", ...headers },
      omitToken: !file.requiresAccessToken,
      file: { index, type: file.type, url: Url.forDisplay(file.url) },
      retry: "never"
    })
  const whole = (response: StreamedResponse): Effect.Effect<Opened, never, Scope.Scope> =>
    Effect.map(
      gunzipIfCompressed(
        response.body,
        isFhirError,
        () => fail({ reason: "Truncated", detail: "the file is not valid gzip" })
      ),
      (body) => ({ body, length: lengthOf(response), isRange: false, etag: strongEtag(response) })
    )
  const openWhole = Effect.flatMap(request({ "accept-encoding": "gzip" }), whole)
  if (!isRange) return openWhole
  const { etag, offset } = position
  // One byte more than needed, which must be the newline before the position.
  const headers = {
    "accept-encoding": "identity",
    range: `bytes=${offset - 1}-`,
    ...(etag === undefined ? {} : { "if-range": etag })
  }
  return Effect.matchEffect(request(headers), {
    onFailure: (error) => isFhirError(error) && error.status === 416 ? openWhole : Effect.fail(error),
    onSuccess: (response) =>
      isRangeFrom(response, offset - 1)
        ? Effect.map(Stream.toPull(response.body), (body): Opened => ({
          body,
          length: lengthOf(response),
          isRange: true,
          etag
        }))
        : response.status === 206
        ? openWhole
        : whole(response)
  })
}

/** The server may have removed the files. */
export const withExpiry = <E>(error: FhirError | E, { expiresAt }: Job): Effect.Effect<FhirError | E> =>
  isFhirError(error) && expiresAt !== undefined && [401, 403, 404, 410].includes(error.status ?? 0)
    ? Effect.map(Clock.currentTimeMillis, (now) =>
      now < expiresAt ? error : new FhirError({
        ...error,
        detail: `${error.detail}; the server announced to remove the files at ${
          DateTime.formatIso(DateTime.unsafeMake(expiresAt))
        }`
      }))
    : Effect.succeed(error)
