/** NDJSON files as Parquet, and a clinical question about them, by DuckDB in the same process. */
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** A statement failed. */
export class DuckDbError extends Data.TaggedError("DuckDbError")<{ readonly cause: unknown }> {
  override get message(): string {
    return "DuckDB rejected a statement"
  }
}

const attempt = <A>(run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (cause) => new DuckDbError({ cause }) })

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

const connect = Effect.acquireRelease(
  Effect.flatMap(attempt(() => DuckDBInstance.create()), (instance) => attempt(() => instance.connect())),
  (connection) => Effect.sync(() => connection.closeSync())
)

/** The columns of a type. `codes` are those of all code systems. `body` keeps the rest: FHIR has too many elements. */
const COLUMNS: Readonly<Record<string, string>> = {
  Patient: "body->>'$.birthDate' AS birth_date, body->>'$.gender' AS gender",
  Observation: `split_part(body->>'$.subject.reference', 'Patient/', 2) AS patient,
    body->>'$.code.coding[*].code' AS codes, CAST(body->>'$.effectiveDateTime' AS TIMESTAMPTZ) AS effective,
    CAST(body->>'$.valueQuantity.value' AS DOUBLE) AS value, body->>'$.status' AS status`,
  Condition: `split_part(body->>'$.subject.reference', 'Patient/', 2) AS patient,
    body->>'$.code.coding[*].code' AS codes, body->>'$.clinicalStatus.coding[0].code' AS clinical_status`
}

/** Writes `Patient.parquet` and so on beside the NDJSON files, line by line: memory does not grow with the file. */
export const toParquet = (directory: string, types: ReadonlyArray<string> = Object.keys(COLUMNS)) =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* connect
    yield* Effect.forEach(types, (type) =>
      attempt(() =>
        connection.run(`COPY (
          SELECT body->>'$.id' AS id, ${COLUMNS[type] ?? "NULL AS unused"}, body
          FROM read_json(${quote(join(directory, `${type}.ndjson`))}, format = 'newline_delimited', records = false,
            columns = { body: 'JSON' }, maximum_object_size = 16777216)
        ) TO ${quote(join(directory, `${type}.parquet`))} (FORMAT parquet, COMPRESSION zstd)`)
      ))
  }))

/** A patient with an elevated pressure and without a diagnosis. */
export interface Finding {
  readonly patient: string
  readonly systolic: number
}

/**
 * Which patients have a latest systolic blood pressure (LOINC 8480-6) of at least 140 mmHg, and no active hypertension
 * (SNOMED CT 38341003, ICD-10 I10) among their conditions? In US Core, the pressure is a component of a panel.
 */
export const undiagnosedHypertension = (directory: string) =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* connect
    const table = (type: string) => `read_parquet(${quote(join(directory, `${type}.parquet`))})`
    const result = yield* attempt(() =>
      connection.runAndReadAll(`
        WITH valid AS (
          SELECT * FROM ${table("Observation")} WHERE status IN ('final', 'amended', 'corrected')
        ), components AS (
          SELECT patient, effective, unnest(body->'$.component[*]') AS component FROM valid
        ), systolics AS (
          SELECT patient, effective, value FROM valid WHERE list_contains(codes, '8480-6')
          UNION ALL
          SELECT patient, effective, CAST(component->>'$.valueQuantity.value' AS DOUBLE) FROM components
          WHERE list_contains(component->>'$.code.coding[*].code', '8480-6')
        ), latest AS (
          SELECT patient, arg_max(value, effective) AS systolic FROM systolics GROUP BY patient
        )
        SELECT latest.patient, latest.systolic FROM latest
        WHERE latest.systolic >= 140 AND latest.patient NOT IN (
          SELECT patient FROM ${table("Condition")}
          WHERE list_has_any(codes, ['38341003', 'I10']) AND clinical_status = 'active' AND patient IS NOT NULL
        )
        ORDER BY latest.patient`)
    )
    return result.getRowObjects().map(({ patient, systolic }): Finding => ({
      patient: String(patient),
      systolic: Number(systolic)
    }))
  }))
