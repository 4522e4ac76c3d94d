/**
 * App state as a FHIR resource: a `Basic` with few allowed members (SMART App Launch 2.2, "App State"). Pure
 * functions.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { reader } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import * as Capabilities from "../../server/Capabilities.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import { isId, isType, type Resource } from "./resource.js"

/**
 * The kind of a state: a system and a code of the app.
 *
 * @since 0.1.0
 * @category models
 */
export interface Code {
  readonly system: string
  readonly code: string
}

/**
 * Texts by the URL of their extension.
 *
 * @since 0.1.0
 * @category models
 */
export type Values = Readonly<Record<string, string>>

/** The content of a state. */
export interface Parts {
  readonly id: string
  readonly code: Code
  readonly subject: string | undefined
  readonly values: Values
}

/** The size that every server must accept. */
export const DEFAULT_MAX_BYTES = 256 * 1024

/**
 * The endpoint for app state: an associated endpoint with the capability, else a FHIR base with it, else the
 * deprecated member.
 */
export const endpointOf = (configuration: SmartConfiguration): string | undefined => {
  const associated = configuration.associatedEndpoints?.find(({ capabilities }) =>
    capabilities.includes("smart-app-state")
  )
  return associated?.url ??
    (Capabilities.has(configuration, "smart-app-state")
      ? configuration.fhirBaseUrl
      : configuration.smartAppStateEndpoint)
}

/** The absolute reference to a resource of this server, or the problem. */
export const subjectOf = (subject: string, fhirBaseUrl: string): Either.Either<string, string> => {
  const base = FhirBaseUrl.append(fhirBaseUrl as FhirBaseUrl.FhirBaseUrl, "")
  const relative = Url.parse(subject) === undefined
    ? subject
    : subject.startsWith(base)
    ? subject.slice(base.length)
    : ""
  const [resourceType = "", id = "", ...more] = relative.split("/")
  return isType(resourceType) && isId(id) && more.length === 0
    ? Either.right(`${base}${resourceType}/${id}`)
    : Either.left("the subject must be a resource of this FHIR server, without a version")
}

/** The resource as JSON, or the problem. */
export const toResource = (
  { code, id, subject, values }: Omit<Parts, "id"> & { readonly id?: string | undefined },
  fhirBaseUrl: string,
  maxBytes: number
): Either.Either<string, string> => {
  if (code.system === "" || code.code === "") return Either.left("the code needs a system and a code")
  const urls = Object.keys(values)
  if (urls.some((url) => Url.parse(url) === undefined)) return Either.left("the key of each value must be a URL")
  const reference = subject === undefined ? Either.right(undefined) : subjectOf(subject, fhirBaseUrl)
  return Either.flatMap(reference, (absolute) => {
    const text = JSON.stringify({
      resourceType: "Basic",
      id,
      code: { coding: [{ system: code.system, code: code.code }] },
      subject: absolute === undefined ? undefined : { reference: absolute },
      extension: urls.length === 0 ? undefined : urls.map((url) => ({ url, valueString: values[url] }))
    })
    const size = new TextEncoder().encode(text).byteLength
    return size <= maxBytes
      ? Either.right(text)
      : Either.left(`the state has ${size} bytes; the limit is ${maxBytes}`)
  })
}

const ignore = () => undefined

/** Parses a resource as app state, or describes the problem. */
export const fromResource = (resource: Resource): Either.Either<Parts, string> => {
  const { object, objects, string } = reader(resource, ignore)
  const id = string("id")
  const [coding, ...others] = reader(object("code") ?? {}, ignore).objects("coding") ?? []
  const { string: codingString } = reader(coding ?? {}, ignore)
  const system = codingString("system")
  const code = codingString("code")
  if (resource.resourceType !== "Basic" || id === undefined || !isId(id)) {
    return Either.left("the resource is not a Basic with an id")
  }
  if (system === undefined || code === undefined || others.length > 0) {
    return Either.left("the code of the resource does not have exactly one coding")
  }
  const values: Record<string, string> = Object.create(null) as Record<string, string>
  for (const extension of objects("extension") ?? []) {
    const { string: member } = reader(extension, ignore)
    const url = member("url")
    const value = extension["valueString"]
    if (url === undefined || typeof value !== "string" || extension["extension"] !== undefined) {
      return Either.left("an extension has no valueString")
    }
    values[url] = value
  }
  const subject = object("subject")
  return Either.right({
    id,
    code: { system, code },
    subject: subject === undefined ? undefined : reader(subject, ignore).string("reference"),
    values
  })
}
