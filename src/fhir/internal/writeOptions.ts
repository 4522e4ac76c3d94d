/**
 * The options of interactions that write, their headers, and patches (FHIR R4, sections 3.1.0.4 to 3.1.0.8).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type * as Params from "./params.js"
import type { FhirVersion, ResourceInput } from "./resourceTypes.js"

/**
 * One operation of a JSON Patch (RFC 6902, section 4).
 *
 * @since 0.1.0
 * @category models
 */
export type PatchOperation =
  | { readonly op: "add" | "replace" | "test"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }
  | { readonly op: "move" | "copy"; readonly path: string; readonly from: string }

/**
 * A JSON Patch, or a Parameters resource (FHIRPath Patch).
 *
 * @since 0.1.0
 * @category models
 */
export type Patch<V extends FhirVersion = "R4"> = ReadonlyArray<PatchOperation> | ResourceInput<V, "Parameters">

/**
 * Options of a write.
 *
 * @since 0.1.0
 * @category models
 */
export interface WriteOptions<V extends FhirVersion = "R4"> {
  /**
   * What the response should contain (`Prefer: return=…`). Servers may ignore it. Default `representation`; for
   * batches, transactions and a Binary, the server decides.
   */
  readonly prefer?: "minimal" | "representation" | "OperationOutcome" | undefined
  /** The provenance of the change, which the server stores with it (`X-Provenance`). */
  readonly provenance?: ResourceInput<V, "Provenance"> | undefined
}

/**
 * Conditions of a write: it is processed only if they hold.
 *
 * @since 0.1.0
 * @category models
 */
export interface MatchOptions {
  /** The ETag that the resource must still have; another one is a `PreconditionFailed`. Without it, any version. */
  readonly ifMatch?: string | undefined
}

/**
 * Options of `create`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CreateOptions<V extends FhirVersion = "R4"> extends WriteOptions<V> {
  /** Creates the resource only if no resource matches. If one does, the response has it, with the status 200. */
  readonly ifNoneExist?: Params.Params | undefined
}

/**
 * Options of `update`.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpdateOptions<V extends FhirVersion = "R4"> extends WriteOptions<V>, MatchOptions {
  /** `*` creates a resource of this id, and fails if it exists (FHIR R5, section 3.2.0.5). */
  readonly ifNoneMatch?: "*" | undefined
}

/**
 * Options of `patch`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PatchOptions<V extends FhirVersion = "R4"> extends WriteOptions<V>, MatchOptions {}

/** The headers of a write, or why they cannot be made. Headers are ASCII: JSON escapes the other characters. */
export const writeHeaders = <V extends FhirVersion>(
  { ifMatch, ifNoneMatch, prefer, provenance }: UpdateOptions<V>
): Either.Either<Readonly<Record<string, string>>, string> =>
  Either.try({
    try: () => ({
      ...(prefer === undefined ? {} : { prefer: `return=${prefer}` }),
      ...(ifMatch === undefined ? {} : { "if-match": ifMatch }),
      ...(ifNoneMatch === undefined ? {} : { "if-none-match": ifNoneMatch }),
      ...(provenance === undefined ? {} : {
        "x-provenance": JSON.stringify(provenance).replace(
          /[\u007f-\uffff]/g,
          (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
        )
      })
    }),
    catch: () => "the provenance cannot be encoded as JSON"
  })
