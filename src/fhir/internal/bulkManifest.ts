/**
 * What a finished bulk export consists of, and how far it has been read (Bulk Data Access 2.0, "Complete Status").
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { isType } from "./resource.js"

/**
 * One file. `output` holds the resources, `deleted` Bundles of what is no longer there, `error` OperationOutcomes.
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
 * @since 0.1.0
 * @category models
 */
export type ManifestFile = typeof ManifestFile.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const Manifest = Schema.Struct({
  /** For `since` of the next export. */
  transactionTime: Schema.optional(Schema.String),
  requiresAccessToken: Schema.Boolean,
  files: Schema.Array(ManifestFile)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Manifest = typeof Manifest.Type

/**
 * Where an export stands: all that is needed to go on in another process. It holds no token, but URLs that may be signed: keep it as private as the
 * data. Encode and decode it with its schema, `Schema.parseJson(BulkExport.Checkpoint)`.
 *
 * @since 0.1.0
 * @category models
 */
export class Checkpoint extends Schema.Class<Checkpoint>("effect-safire/BulkExport/Checkpoint")({
  version: Schema.Literal(1),
  /** Where the server tells how the export is doing. */
  statusUrl: Schema.String,
  /** Absent until the server has finished. */
  manifest: Schema.optional(Manifest),
  /** By the place of the file in the manifest: lines that have been dealt with. */
  lines: Schema.Record({ key: Schema.String, value: Schema.Number }),
  /** Files that have been dealt with to their end. */
  done: Schema.Array(Schema.Number)
}) {}

/**
 * One manifest of an export, and the link to the one after it (Bulk Data Access 3.0, "Complete Status": `link` with the relation `next`).
 *
 * @internal
 */
export interface ManifestPage {
  readonly manifest: Manifest
  readonly next: string | undefined
}

/**
 * The manifest in an answer, or what is wrong with it. A link that cannot be read is a problem, not an absent link: files would be missing.
 *
 * @internal
 */
export const fromJson = (json: unknown): ManifestPage | string => {
  if (!isJsonObject(json)) return "it has no manifest"
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
        // It stands in errors.
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
  // Without a word about it a file is asked for with the token, where the token may go.
  const requiresAccessToken = boolean("requiresAccessToken") ?? true
  return problems.size > 0
    ? `its manifest has no usable ${[...problems].slice(0, 5).join(", ")}`
    : {
      manifest: { requiresAccessToken, files, ...(transactionTime === undefined ? {} : { transactionTime }) },
      next
    }
}

const areSameInstant = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined || a === b || Date.parse(a) === Date.parse(b)

/**
 * The manifests of one export as one, or what is wrong with them: another `transactionTime` is another export.
 *
 * @internal
 */
export const joined = (first: Manifest, rest: ReadonlyArray<Manifest>): Manifest | string => {
  const all = [first, ...rest]
  const other = all.findIndex(({ transactionTime }) => !areSameInstant(first.transactionTime, transactionTime))
  const transactionTime = all.find((one) => one.transactionTime !== undefined)?.transactionTime
  return other > 0
    ? `manifest ${other + 1} has another transactionTime than the first`
    : {
      // The token goes only where it may in any case: a manifest that asks for it must not be read without.
      requiresAccessToken: all.some(({ requiresAccessToken }) => requiresAccessToken),
      files: all.flatMap(({ files }) => files),
      ...(transactionTime === undefined ? {} : { transactionTime })
    }
}
