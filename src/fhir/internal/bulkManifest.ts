/**
 * The manifests of a bulk export (Bulk Data Access 3.0, "Complete Status"): the files that they list, and the link to
 * the next manifest.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isJsonObject, type JsonObject, reader } from "../../base/JsonReader.js"
import { isType } from "./resource.js"

/**
 * One file. `output` contains resources, `deleted` Bundles with the references of deleted resources, `error`
 * OperationOutcomes. The URL may be signed: protect it like the data.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ManifestFile = Schema.Struct({
  kind: Schema.Literal("output", "deleted", "error"),
  /** `Resource` if the file contains several types. */
  type: Schema.String,
  url: Schema.String,
  count: Schema.optional(Schema.Number),
  requiresAccessToken: Schema.Boolean,
  /** The resource type whose instances organize the file (`organizeOutputBy`). */
  organizedBy: Schema.optional(Schema.String),
  /** The URL of the file that continues the last block of an organized file. It repeats the header of the block. */
  continuesInFile: Schema.optional(Schema.String)
})

/**
 * A value of the schema `ManifestFile`.
 *
 * @since 0.1.0
 * @category models
 */
export type ManifestFile = typeof ManifestFile.Type

/** One manifest of an export. */
export interface Manifest {
  readonly transactionTime: string | undefined
  readonly files: ReadonlyArray<ManifestFile>
  /** The link to the next manifest. */
  readonly next: string | undefined
}

const NDJSON = /^(?:application\/)?(?:fhir\+)?ndjson(?:[ ;]|$)/i

/** Whether files of this format can be read line by line. */
export const isNdjson = (format: string): boolean => NDJSON.test(format.trim())

const DEFAULT_TYPES = { output: "Resource", deleted: "Bundle", error: "OperationOutcome" }

const filesOf = (
  json: JsonObject,
  refuse: (member: string) => void,
  shared: Pick<ManifestFile, "requiresAccessToken" | "organizedBy">
): ReadonlyArray<ManifestFile> => {
  const { objects } = reader(json, refuse)
  return (["output", "deleted", "error"] as const).flatMap((kind) =>
    (objects(kind) ?? []).flatMap((file) => {
      const { string: member } = reader(file, refuse)
      const url = member("url")
      const type = member("type")
      const { continuesInFile, count } = file
      if (url === undefined) refuse("url")
      return url === undefined ? [] : [{
        kind,
        // The type appears in errors.
        type: type !== undefined && isType(type) ? type : DEFAULT_TYPES[kind],
        url,
        ...(typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? { count } : {}),
        ...(kind === "output" ? shared : { requiresAccessToken: shared.requiresAccessToken }),
        ...(typeof continuesInFile === "string" ? { continuesInFile } : {})
      }]
    })
  )
}

/** Parses a manifest, or describes the problem. A malformed link does not count as absent: files would be missing. */
export const fromJson = (json: unknown): Manifest | string => {
  if (!isJsonObject(json)) return "the response has no manifest"
  const problems = new Set<string>()
  const refuse = (member: string) => {
    problems.add(member)
  }
  const { boolean, objects, string } = reader(json, refuse)
  const organizedBy = string("outputOrganizedBy")
  const files = filesOf(json, refuse, {
    // By default files need the token. The link policy still checks where it goes.
    requiresAccessToken: boolean("requiresAccessToken") ?? true,
    ...(organizedBy === undefined ? {} : { organizedBy })
  })
  const format = string("outputFormat")
  if (format !== undefined && !isNdjson(format)) refuse("outputFormat (the files are not NDJSON)")
  const transactionTime = string("transactionTime")
  if (!Array.isArray(json["output"])) refuse("output")
  const nextUrls = (objects("link") ?? [])
    .filter(({ relation }) => relation === "next")
    .map((link) => reader(link, refuse).string("url"))
  const [next] = nextUrls
  if (nextUrls.some((url) => url === undefined || url !== next)) refuse("link")
  return problems.size > 0
    ? `the manifest has no valid ${[...problems].slice(0, 5).join(", ")}`
    : { transactionTime, files, next }
}

/** Whether two texts of an instant are equal, or one is absent: another `transactionTime` is another export. */
export const areSameInstant = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined || a === b || Date.parse(a) === Date.parse(b)
