/**
 * The version of a resource: its ETag and what else the headers of its response state (FHIR R4, section 3.1.0.1.3).
 *
 * @since 0.1.0
 */
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
