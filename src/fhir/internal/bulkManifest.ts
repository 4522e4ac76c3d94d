/**
 * The manifest of a bulk export, its files, and the position of a reader in them (Bulk Data Access 3.0, "Complete
 * Status").
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { isType } from "./resource.js"

/**
 * One file. `output` contains resources, `deleted` Bundles with the references of deleted resources, `error`
 * OperationOutcomes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ManifestFile = Schema.Struct({
  kind: Schema.Literal("output", "deleted", "error"),
  type: Schema.String,
  url: Schema.String,
  count: Schema.optional(Schema.Number)
})

/**
 * A value of the schema `ManifestFile`.
 *
 * @since 0.1.0
 * @category models
 */
export type ManifestFile = typeof ManifestFile.Type

/**
 * The manifest of an export (Bulk Data Access, "Response - Output Manifest").
 *
 * @since 0.1.0
 * @category schemas
 */
export const Manifest = Schema.Struct({
  /** The instant of the export, for `since` of the next one. */
  transactionTime: Schema.optional(Schema.String),
  requiresAccessToken: Schema.Boolean,
  files: Schema.Array(ManifestFile)
})

/**
 * A value of the schema `Manifest`.
 *
 * @since 0.1.0
 * @category models
 */
export type Manifest = typeof Manifest.Type

/**
 * The position in an export: another process can resume from it. It contains no token, but URLs that may be signed:
 * protect it like the data. Encode and decode it with `Schema.parseJson(BulkExport.Checkpoint)`.
 *
 * @since 0.1.0
 * @category models
 */
export class Checkpoint extends Schema.Class<Checkpoint>("effect-safire/BulkExport/Checkpoint")({
  version: Schema.Literal(1),
  /** The URL for status requests. */
  statusUrl: Schema.String,
  /** Absent until the server has completed the export. */
  manifest: Schema.optional(Manifest),
  /** The number of processed lines, by the index of the file in the manifest. */
  lines: Schema.Record({ key: Schema.String, value: Schema.Number }),
  /** The indexes of the completely processed files. */
  done: Schema.Array(Schema.Number)
}) {}

/** One manifest of an export, with its `next` link (Bulk Data Access 3.0, "Complete Status"). */
export interface ManifestPage {
  readonly manifest: Manifest
  readonly next: string | undefined
}

/** Parses a manifest, or describes the problem. A malformed link does not count as absent: files would be missing. */
export const fromJson = (json: unknown): ManifestPage | string => {
  if (!isJsonObject(json)) return "the response has no manifest"
  const problems = new Set<string>()
  const refuse = (member: string) => {
    problems.add(member)
  }
  const { boolean, objects, string } = reader(json, refuse)
  const filesOf = (kind: ManifestFile["kind"]): ReadonlyArray<ManifestFile> =>
    (objects(kind) ?? []).flatMap((file) => {
      const { string: member } = reader(file, refuse)
      const url = member("url")
      const type = member("type")
      const count = file["count"]
      if (url === undefined) refuse("url")
      return url === undefined ? [] : [{
        kind,
        // The type appears in errors.
        type: type !== undefined && isType(type)
          ? type
          : (kind === "error" ? "OperationOutcome" : kind === "deleted" ? "Bundle" : "Resource"),
        url,
        ...(typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? { count } : {})
      }]
    })
  const files = [...filesOf("output"), ...filesOf("deleted"), ...filesOf("error")]
  const transactionTime = string("transactionTime")
  if (!Array.isArray(json["output"])) refuse("output")
  const nextUrls = (objects("link") ?? [])
    .filter(({ relation }) => relation === "next")
    .map((link) => reader(link, refuse).string("url"))
  const [next] = nextUrls
  if (nextUrls.some((url) => url === undefined || url !== next)) refuse("link")
  // By default files need the token. The link policy still checks where it goes.
  const requiresAccessToken = boolean("requiresAccessToken") ?? true
  return problems.size > 0
    ? `the manifest has no valid ${[...problems].slice(0, 5).join(", ")}`
    : {
      manifest: { requiresAccessToken, files, ...(transactionTime === undefined ? {} : { transactionTime }) },
      next
    }
}

/**
 * How far an export is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly phase: "Waiting" | "Reading" | "Done"
  /** The `X-Progress` of the server, during `Waiting`. */
  readonly message: string | undefined
  readonly files: number
  readonly filesDone: number
  /** The number of resources in this run. */
  readonly resources: number
  /** The total number of resources, if the manifest has a count for every file. */
  readonly expected: number | undefined
}

const areSameInstant = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined || a === b || Date.parse(a) === Date.parse(b)

/** Joins the manifests of one export, or describes the problem: another `transactionTime` is another export. */
export const join = (first: Manifest, rest: ReadonlyArray<Manifest>): Manifest | string => {
  const all = [first, ...rest]
  const other = all.findIndex(({ transactionTime }) => !areSameInstant(first.transactionTime, transactionTime))
  const transactionTime = all.find((one) => one.transactionTime !== undefined)?.transactionTime
  return other > 0
    ? `manifest ${other + 1} has another transactionTime than the first`
    : {
      // If one manifest needs the token, all files are read with it. The link policy checks where it goes.
      requiresAccessToken: all.some(({ requiresAccessToken }) => requiresAccessToken),
      files: all.flatMap(({ files }) => files),
      ...(transactionTime === undefined ? {} : { transactionTime })
    }
}
