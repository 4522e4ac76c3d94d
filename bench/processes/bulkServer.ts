/** A bulk server: one file of the requested size, generated while it is sent. */
import type { ServerResponse } from "node:http"
import { createServer } from "node:http"

const bytes = Number(process.argv[2] ?? 200_000_000)

const line = (index: number): string =>
  `${
    JSON.stringify({
      resourceType: "Observation",
      id: `o${index}`,
      status: "final",
      category: [{
        coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }]
      }],
      code: { coding: [{ system: "http://loinc.org", code: "8867-4", display: "Heart rate" }], text: "Heart rate" },
      subject: { reference: `Patient/p${index % 1000}` },
      effectiveDateTime: "2024-05-01T10:00:00Z",
      valueQuantity: { value: 60 + index % 60, unit: "beats/minute", system: "http://unitsofmeasure.org", code: "/min" }
    })
  }\n`

const BLOCK = Buffer.from(Array.from({ length: 200 }, (_, index) => line(index)).join(""))
const blocks = Math.max(1, Math.round(bytes / BLOCK.byteLength))

process.on("disconnect", () => process.exit())

const manifest = {
  requiresAccessToken: true,
  output: [{ type: "Observation", url: "/fhir/file", count: 200 * blocks }],
  error: []
}

const sendFile = (response: ServerResponse): void => {
  let left = blocks
  const send = () => {
    while (left > 0) {
      left -= 1
      if (!response.write(BLOCK)) {
        response.once("drain", send)
        return
      }
    }
    response.end()
  }
  response.writeHead(200, {
    "content-type": "application/fhir+ndjson",
    "content-length": String(blocks * BLOCK.byteLength)
  })
  send()
}

const server = createServer(({ method, url = "" }, response) => {
  if (url.includes("$export")) response.writeHead(202, { "content-location": "/fhir/status" }).end()
  else if (method === "DELETE") response.writeHead(202).end()
  else if (url === "/fhir/status") {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(manifest))
  } else sendFile(response)
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.send?.({ port: typeof address === "object" && address !== null ? address.port : 0 })
})
