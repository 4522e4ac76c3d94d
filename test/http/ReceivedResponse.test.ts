import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as ReceivedResponse from "../../src/http/ReceivedResponse.js"

const response = (
  status: number,
  body: string,
  headers: ReceivedResponse.ReceivedResponse["headers"] = {}
): ReceivedResponse.ReceivedResponse => ({ url: "https://ehr.example/doc?code=SECRET#x", status, headers, body })

describe("ReceivedResponse", () => {
  it.each<readonly [number, "Status" | "NotFound" | undefined]>([
    [200, undefined],
    [299, undefined],
    [199, "Status"],
    [300, "Status"],
    [404, "NotFound"],
    [403, "Status"],
    [410, "NotFound"],
    [411, "Status"],
    [503, "Status"]
  ])("HTTP status %i of a document: %s", (status, reason) => {
    const json = ReceivedResponse.parseJsonValue(response(status, "[1]"))
    if (reason === undefined) assert.deepStrictEqual(json, Either.right([1]))
    else assert.deepStrictEqual(json, Either.left({ reason, detail: `HTTP status ${status}` }))
    const object = ReceivedResponse.parseJsonObject(response(status, "{\"a\":1}"))
    if (reason === undefined) assert.deepStrictEqual(object, Either.right({ a: 1 }))
    else assert.deepStrictEqual(object, Either.left({ reason, detail: `HTTP status ${status}` }))
  })

  it("the error for a body that is not JSON has its media type and no part of it", () => {
    for (
      const [headers, mediaType] of [
        [{ "content-type": "Text/HTML; charset=SECRET" }, "text/html"],
        [{ "content-type": "<SECRET>" }, "no content type"],
        [{}, "no content type"]
      ] as const
    ) {
      assert.deepStrictEqual(
        ReceivedResponse.parseJsonValue(response(200, "<p>SECRET", headers)),
        Either.left({ reason: "NotJson", detail: `HTTP status 200, a body that is not JSON (${mediaType})` })
      )
    }
  })

  it.each([
    ["[]", "an array"],
    ["null", "object"],
    ["\"SECRET\"", "string"],
    ["7", "number"],
    ["true", "boolean"]
  ])("%s is JSON and not a JSON object", (body, type) => {
    assert.deepStrictEqual(
      ReceivedResponse.parseJsonObject(response(201, body)),
      Either.left({ reason: "NotObject", detail: `HTTP status 201, a body that is ${type}` })
    )
  })

  it("the fields of an error have the URL without its query, the status and Retry-After", () => {
    assert.deepStrictEqual(ReceivedResponse.errorFields(response(503, "", { "retry-after": "7" }), 0), {
      url: "https://ehr.example/doc",
      status: 503,
      retryAfter: Duration.seconds(7)
    })
    assert.isUndefined(ReceivedResponse.errorFields(response(503, ""), 0).retryAfter)
  })
})
