/**
 * The version of a resource: its ETag and what else the headers of its response state (FHIR R4, section 3.1.0.1.3).
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as HttpDate from "../../base/HttpDate.js"
import { isJsonObject } from "../../base/JsonReader.js"
import type { FhirResponse } from "./fhirMessage.js"
import { isResource, type Stored } from "./resource.js"

const versionIn = (resource: unknown): string | undefined => {
  const meta = isResource(resource) ? resource["meta"] : undefined
  return isJsonObject(meta) && typeof meta["versionId"] === "string" ? meta["versionId"] : undefined
}

// Without a match of a RegExp, which takes 240 bytes: a Bundle may have thousands of entries.
const versionOf = (etag: string): string | undefined => {
  const from = etag.startsWith("W/\"") ? 3 : etag.startsWith("\"") ? 1 : 0
  return from > 0 && etag.length > from && etag.endsWith("\"") ? etag.slice(from, -1) : undefined
}

/** The version in an ETag (RFC 9110, section 8.8.3), else that of the resource. */
export const versionIdOf = (etag: string | undefined, resource: unknown): string | undefined =>
  (etag === undefined ? undefined : versionOf(etag)) ?? versionIn(resource)

/** The ETag of a version (FHIR R4, section 3.1.0.1.3). */
export const etagOf = (versionId: string | undefined): string | undefined =>
  versionId === undefined ? undefined : `W/"${versionId}"`

/** The resource with what the headers of its response state: version, ETag, location. */
export const storedOf = <A>(
  { headers, json, status }: Pick<FhirResponse, "headers" | "json" | "status">,
  resource: A
): Stored<A> => {
  const etag = headers["etag"]
  const versionId = versionIdOf(etag, json)
  return {
    resource,
    status,
    etag: etag ?? etagOf(versionId),
    versionId,
    lastModified: headers["last-modified"],
    location: headers["location"] ?? headers["content-location"]
  }
}

/** The date of the milliseconds, or the text if they are `NaN`. */
const convert = (text: string, millis: number, print: (date: Date) => string): string =>
  Option.match(DateTime.make(millis), { onNone: () => text, onSome: (date) => print(DateTime.toDateUtc(date)) })

/** The HTTP date of an instant, in whole seconds; another text as it is. */
export const toHttpDate = (text: string): string =>
  convert(text, /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN, (date) => date.toUTCString())

/** The instant of an HTTP date; another text as it is. */
export const toInstant = (text: string): string => convert(text, HttpDate.parse(text), (date) => date.toISOString())
