/**
 * Reading FHIR JSON that a publisher of brands wrote: extensions, data-absent reasons, URLs that a page may show.
 */
import { isJsonObject, type JsonObject, reader } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import { finding, type Severity } from "../Finding.js"
import type { BrandCode, BrandFinding } from "./brand.js"

/** @internal */
export type Report = (finding: BrandFinding) => void

/** @internal */
export const EXTENSION = "http://hl7.org/fhir/StructureDefinition/"

/**
 * How findings name the resource they are about: by its place or id, never by what it says of itself.
 *
 * @internal
 */
export const about = (where: string, report: Report) =>
(
  code: BrandCode,
  severity: Severity,
  member: string | undefined,
  requirement: string | undefined,
  problem: string,
  advice: string
): void => report(finding(code, severity, member, requirement, `${where}: ${problem}`, advice))

/** @internal */
export type Say = ReturnType<typeof about>

/** @internal */
export const readerOf = (object: JsonObject, say: Say, prefix = "") =>
  reader(
    object,
    (member, expected) =>
      say(
        "MemberMalformed",
        "warning",
        `${prefix}${member}`,
        undefined,
        `${prefix}${member} is not ${expected}`,
        "it counts as absent"
      )
  )

/** @internal */
export const extensionsOf = (object: JsonObject, say: Say): ReadonlyArray<JsonObject> =>
  readerOf(object, say).objects("extension") ?? []

/**
 * A publisher that asked and got no answer says so beside the value: `_value` of JSON, or an extension in its stead.
 *
 * @internal
 */
export const isAbsentWithReason = (object: JsonObject, member: string, say: Say): boolean => {
  const beside = Object.hasOwn(object, `_${member}`) ? object[`_${member}`] : undefined
  const reasons = [object, ...(isJsonObject(beside) ? [beside] : [])]
    .flatMap((holder) => extensionsOf(holder, say))
    .filter((extension) => extension["url"] === `${EXTENSION}data-absent-reason`)
    .map((extension) => extension["valueCode"])
  if (reasons.some((reason) => reason !== "asked-declined" && reason !== "asked-unknown")) {
    say(
      "DataAbsentReasonOther",
      "error",
      member,
      "405",
      "a data-absent-reason is neither asked-declined nor asked-unknown",
      "no other reason is allowed"
    )
  }
  return reasons.length > 0
}

const LINK = /^https?:$/
/** @internal */
export const checked = (
  value: string,
  fits: (url: URL) => boolean,
  member: string,
  say: Say
): ReadonlyArray<string> => {
  const url = Url.parse(value)
  const fit = url !== undefined && fits(url)
  if (!fit) {
    say(
      "UrlUnfit",
      "error",
      member,
      undefined,
      `${member} is no URL of the right kind; it is left out`,
      "give an https URL"
    )
  } else if (url.protocol === "http:") {
    say("UrlUnfit", "warning", member, undefined, `${member} is not https`, "give an https URL")
  }
  return fit ? [value] : []
}
/** @internal */
export const isLink = (url: URL): boolean => LINK.test(url.protocol)
// An image that is inline may be shown; any other data URL could be a page.
/** @internal */
export const isLogo = (url: URL): boolean => url.protocol === "https:" || /^data:image\//i.test(url.href)

/**
 * Values of the parts of a complex extension.
 *
 * @internal
 */
export const parts = (extension: JsonObject, say: Say) => {
  const all = extensionsOf(extension, say)
  return (url: string, member: string): ReadonlyArray<unknown> =>
    all.filter((part) => part["url"] === url).flatMap((part) => {
      const value = Object.hasOwn(part, member) ? part[member] : undefined
      if (value !== undefined && value !== null) return [value]
      if (!isAbsentWithReason(part, member, say)) {
        say("MemberMalformed", "warning", url, undefined, `${url} has no ${member}`, "it counts as absent")
      }
      return []
    })
}

/** @internal */
export const texts = (values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.filter((value): value is string => typeof value === "string" && value !== "")

/** @internal */
export const codesOf = (concept: JsonObject, say: Say): ReadonlyArray<string> =>
  (readerOf(concept, say).objects("coding") ?? []).flatMap((coding) => readerOf(coding, say).string("code") ?? [])

/** @internal */
export const lastUpdatedOf = (resource: JsonObject, say: Say): string | undefined => {
  const meta = readerOf(resource, say).object("meta")
  return meta === undefined ? undefined : readerOf(meta, say, "meta.").string("lastUpdated")
}

/** @internal */
export const websitesOf = (resource: JsonObject, member: "telecom" | "contact", say: Say): ReadonlyArray<string> =>
  (readerOf(resource, say).objects(member) ?? [])
    .filter((point) => point["system"] === "url")
    .flatMap((point) => readerOf(point, say, `${member}.`).string("value") ?? [])
    .flatMap((value) => checked(value, isLink, member, say))

/** @internal */
export const referenceOf = (value: unknown): string | undefined =>
  isJsonObject(value) && typeof value["reference"] === "string" ? value["reference"] : undefined
