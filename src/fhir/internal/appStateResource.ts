/**
 * What app state looks like on the wire: a `Basic` resource of which only a few members are allowed (SMART App Launch 2.2, "App State"; rules
 * X-AS-3 and X-AS-8). Pure.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { reader } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { Resource } from "./resource.js"
import { isId, isType } from "./resource.js"

/**
 * What kind of state it is: an app's own system, and its own code.
 *
 * @since 0.1.0
 * @category models
 */
export interface Code {
  readonly system: string
  readonly code: string
}

/**
 * Texts by the URL of the extension that holds each.
 *
 * @since 0.1.0
 * @category models
 */
export type Values = Readonly<Record<string, string>>

/** @internal */
export interface Parts {
  readonly id: string
  readonly code: Code
  readonly subject: string | undefined
  readonly values: Values
}

/** The size a server has to take. */
export const DEFAULT_MAX_BYTES = 256 * 1024

/**
 * Where app state is kept (X-AS-2): an associated endpoint that offers it, else the FHIR base that does, else the deprecated member.
 *
 * @internal
 */
export const endpointOf = (configuration: SmartConfiguration): string | undefined => {
  const associated = configuration.associatedEndpoints?.find(({ capabilities }) =>
    capabilities.includes("smart-app-state")
  )
  return associated?.url ??
    (configuration.hasCapability("smart-app-state") ? configuration.fhirBaseUrl : configuration.smartAppStateEndpoint)
}

/**
 * The absolute reference to a resource of the server itself (X-AS-3); relative ones are made absolute.
 *
 * @internal
 */
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

/**
 * The resource to send, or what is wrong with it.
 *
 * @internal
 */
export const toResource = (
  { code, id, subject, values }: Omit<Parts, "id"> & { readonly id?: string | undefined },
  fhirBaseUrl: string,
  maxBytes: number
): Either.Either<string, string> => {
  if (code.system === "" || code.code === "") return Either.left("the code needs a system and a code")
  const urls = Object.keys(values)
  if (urls.some((url) => Url.parse(url) === undefined)) return Either.left("a value needs the URL of its extension")
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
      : Either.left(`${size} bytes are more than the ${maxBytes} a server has to take`)
  })
}

const ignore = () => undefined

/**
 * What a server gave, if it is app state.
 *
 * @internal
 */
export const fromResource = (resource: Resource): Either.Either<Parts, string> => {
  const { object, objects, string } = reader(resource, ignore)
  const id = string("id")
  const [coding, ...others] = reader(object("code") ?? {}, ignore).objects("coding") ?? []
  const { string: codingString } = reader(coding ?? {}, ignore)
  const system = codingString("system")
  const code = codingString("code")
  if (resource.resourceType !== "Basic" || id === undefined || !isId(id)) {
    return Either.left("it is no Basic with an id")
  }
  if (system === undefined || code === undefined || others.length > 0) return Either.left("it needs exactly one coding")
  const values: Record<string, string> = Object.create(null) as Record<string, string>
  for (const extension of objects("extension") ?? []) {
    const { string: member } = reader(extension, ignore)
    const url = member("url")
    const value = extension["valueString"]
    if (url === undefined || typeof value !== "string" || extension["extension"] !== undefined) {
      return Either.left("an extension holds something else than a valueString")
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
