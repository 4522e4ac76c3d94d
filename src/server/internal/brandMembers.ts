/**
 * Reads the FHIR JSON of brand bundles: extensions, data-absent reasons, and URLs that are safe to show in a page.
 */
import { isJsonObject, type JsonObject, reader } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import type { Report, Reporter } from "../Finding.js"
import type { BrandCode } from "./brand.js"

/** @internal */
export type BrandReporter = Reporter<BrandCode>

/** @internal */
export const EXTENSION = "http://hl7.org/fhir/StructureDefinition/"

/**
 * Reports findings about one resource. `where` is its id or its position, not a text that it contains.
 *
 * @internal
 */
export const reporterFor = (where: string, { error, information, warning }: BrandReporter): BrandReporter => {
  const prefixed = (report: Report<BrandCode>): Report<BrandCode> => (code, about, message, advice) =>
    report(code, about, `${where}: ${message}`, advice)
  return { error: prefixed(error), warning: prefixed(warning), information: prefixed(information) }
}

/** @internal */
export const readerOf = (object: JsonObject, report: BrandReporter, prefix = "") =>
  reader(object, (inner, expected) => {
    const member = `${prefix}${inner}`
    report.warning("MemberMalformed", member, `${member} is not ${expected}`, "it counts as absent")
  })

/** @internal */
export const extensionsOf = (object: JsonObject, report: BrandReporter): ReadonlyArray<JsonObject> =>
  readerOf(object, report).objects("extension") ?? []

/**
 * Whether a data-absent-reason, in an extension of the object or of the member, explains why the member is absent.
 *
 * @internal
 */
export const isAbsentWithReason = (object: JsonObject, member: string, report: BrandReporter): boolean => {
  const beside = Object.hasOwn(object, `_${member}`) ? object[`_${member}`] : undefined
  const reasons = [object, ...(isJsonObject(beside) ? [beside] : [])]
    .flatMap((holder) => extensionsOf(holder, report))
    .filter((extension) => extension["url"] === `${EXTENSION}data-absent-reason`)
    .map((extension) => extension["valueCode"])
  if (reasons.some((reason) => reason !== "asked-declined" && reason !== "asked-unknown")) {
    report.error(
      "DataAbsentReasonOther",
      [member, "405"],
      "a data-absent-reason is neither asked-declined nor asked-unknown",
      "no other reason is allowed"
    )
  }
  return reasons.length > 0
}

/** @internal */
export const isLink = (url: URL): boolean => /^https?:$/.test(url.protocol)

/**
 * An inline image is allowed; another data URL could be a page.
 *
 * @internal
 */
export const isLogo = (url: URL): boolean => url.protocol === "https:" || /^data:image\//i.test(url.href)

/**
 * The value if it is a URL that fits. Reports it otherwise, and where it is not https.
 *
 * @internal
 */
export const fittingUrl = (
  value: string,
  fits: (url: URL) => boolean,
  member: string,
  report: BrandReporter
): ReadonlyArray<string> => {
  const url = Url.parse(value)
  const advice = "use an https URL"
  if (url === undefined || !fits(url)) {
    report.error("UrlUnfit", member, `${member} is not a URL of the right kind, and is ignored`, advice)
    return []
  }
  if (url.protocol === "http:") report.warning("UrlUnfit", member, `${member} is not https`, advice)
  return [value]
}

/**
 * Values of the parts of a complex extension.
 *
 * @internal
 */
export const parts = (extension: JsonObject, report: BrandReporter) => {
  const all = extensionsOf(extension, report)
  return (url: string, member: string): ReadonlyArray<unknown> =>
    all.filter((part) => part["url"] === url).flatMap((part) => {
      const value = Object.hasOwn(part, member) ? part[member] : undefined
      if (value !== undefined && value !== null) return [value]
      if (!isAbsentWithReason(part, member, report)) {
        report.warning("MemberMalformed", url, `${url} has no ${member}`, "it counts as absent")
      }
      return []
    })
}

/** @internal */
export const texts = (values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.filter((value): value is string => typeof value === "string" && value !== "")

/** @internal */
export const codesOf = (concept: JsonObject, report: BrandReporter): ReadonlyArray<string> =>
  (readerOf(concept, report).objects("coding") ?? []).flatMap((coding) => readerOf(coding, report).string("code") ?? [])

/** @internal */
export const lastUpdatedOf = (resource: JsonObject, report: BrandReporter): string | undefined => {
  const meta = readerOf(resource, report).object("meta")
  return meta === undefined ? undefined : readerOf(meta, report, "meta.").string("lastUpdated")
}

/** @internal */
export const websitesOf = (
  resource: JsonObject,
  member: "telecom" | "contact",
  report: BrandReporter
): ReadonlyArray<string> =>
  (readerOf(resource, report).objects(member) ?? [])
    .filter((point) => point["system"] === "url")
    .flatMap((point) => readerOf(point, report, `${member}.`).string("value") ?? [])
    .flatMap((value) => fittingUrl(value, isLink, member, report))

/** @internal */
export const referenceOf = (value: unknown): string | undefined =>
  isJsonObject(value) && typeof value["reference"] === "string" ? value["reference"] : undefined
