/**
 * A transaction of 500 entries, and the server's response to it.
 */
import type * as Setting from "./Setting.js"

export const ENTRIES = 500

const observation = (setting: Setting.Setting, index: number) => ({
  resourceType: "Observation" as const,
  status: "final" as const,
  code: { coding: [{ system: "http://loinc.org", code: "8867-4", display: "Heart rate" }] },
  subject: { reference: `Patient/${setting.patientId}` },
  effectiveDateTime: "2024-01-01T00:00:00Z",
  valueQuantity: { value: 60 + (index % 40), unit: "/min", system: "http://unitsofmeasure.org", code: "/min" }
})

export const requests = (setting: Setting.Setting) =>
  Array.from({ length: ENTRIES }, (_, index) => ({
    method: "POST" as const,
    url: "Observation",
    resource: observation(setting, index)
  }))

/** The Bundle by hand, as JSON. */
export const encode = (entries: ReturnType<typeof requests>): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: entries.map(({ resource, ...request }) => ({ resource, request }))
  })

export const response = (setting: Setting.Setting) => ({
  resourceType: "Bundle",
  type: "transaction-response",
  entry: Array.from({ length: ENTRIES }, (_, index) => ({
    resource: { ...observation(setting, index), id: `o-${index}`, meta: { versionId: "1" } },
    response: {
      status: "201 Created",
      etag: "W/\"1\"",
      location: `Observation/o-${index}/_history/1`,
      lastModified: "2024-01-01T00:00:00Z"
    }
  }))
})
