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
  /** The number of bytes until the end of the file, if the server declares it. */
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

/**
 * The length of the file after the requested byte, if the response begins there, without compression, and is of the
 * same version. The response may be shorter: a server decides how much of a range it sends (RFC 9110, section 15.3.7).
 */
const lengthAfter = (response: StreamedResponse, from: number, etag: string | undefined): number | undefined => {
  const [, first, total] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15})$/i.exec(response.headers["content-range"] ?? "") ??
    []
  const current = strongEtag(response)
  const isSame = etag === undefined || current === undefined || etag === current
  const length = Number(total) - from
  return isSame && isIdentity(response) && Number(first) === from && length > 0 ? length : undefined
}

/** Requests the file, or its range from a position on; `undefined`: the server does not have this range. */
export const openAt = <E, R>(
  fhir: Authorized<E, R>,
  { fail, index }: FileContext<E, R>,
  file: ManifestFile,
  position: Position,
  isRange: boolean
): Effect.Effect<Opened | undefined, FhirError | E, R | Scope.Scope> => {
  const request = (headers: Readonly<Record<string, string>>) =>
    fhir.open({
      interaction: "export file",
      url: file.url,
      headers: { accept: "application/fhir+ndjson", ...headers },
      omitToken: !file.requiresAccessToken,
      file: { index, type: file.type, url: Url.forDisplay(file.url) },
      retry: "never"
    })
  const whole = (response: StreamedResponse): Effect.Effect<Opened, FhirError, Scope.Scope> => {
    const { status } = response
    // Another 2xx is not the file: 202 has none yet, and 206 has a part.
    if (status !== 200 && status !== 203 && status !== 204) {
      return fail({ reason: "NotFhir", detail: `HTTP status ${status} instead of 200`, status })
    }
    return Effect.map(
      gunzipIfCompressed(
        response.body,
        isFhirError,
        () => fail({ reason: "Truncated", detail: "the file is not valid gzip" })
      ),
      (body) => ({ body, length: lengthOf(response), isRange: false, etag: strongEtag(response) })
    )
  }
  if (!isRange) return Effect.flatMap(request({ "accept-encoding": "gzip" }), whole)
  const { etag, offset } = position
  // One byte more than needed, which must be the newline before the position.
  const headers = {
    "accept-encoding": "identity",
    range: `bytes=${offset - 1}-`,
    ...(etag === undefined ? {} : { "if-range": etag })
  }
  return Effect.flatMap(request(headers), (response) => {
    if (response.status !== 206) return whole(response)
    const length = lengthAfter(response, offset - 1, etag)
    return length === undefined
      ? Effect.succeed(undefined)
      : Effect.map(Stream.toPull(response.body), (body): Opened => ({ body, length, isRange: true, etag }))
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
