import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as TransportFailure from "../../src/http/TransportFailure.js"

const url = new URL("https://ehr.example/token?code=c0de")
const request = HttpClientRequest.post(url)
const response = HttpClientResponse.fromWeb(request, new Response("{", { status: 200 }))

const requestError = (cause: unknown, reason: HttpClientError.RequestError["reason"] = "Transport") =>
  TransportFailure.requestError(url, new HttpClientError.RequestError({ request, reason, cause }))
const bodyError = (cause: unknown) =>
  TransportFailure.bodyError(
    url,
    response,
    new HttpClientError.ResponseError({ request, response, reason: "Decode", cause })
  )
/** An error of a transport, as the cause of as many other errors. */
const wrapped = (fields: object, times = 0): unknown =>
  Array.from({ length: times }).reduce((cause: unknown) => ({ cause }), fields)

describe("an error of the transport", () => {
  it.each([
    ["ECONNREFUSED", "Unreachable", "no"],
    ["ENOTFOUND", "Unreachable", "no"],
    ["EAI_AGAIN", "Unreachable", "no"],
    ["EHOSTUNREACH", "Unreachable", "no"],
    ["ENETUNREACH", "Unreachable", "no"],
    ["EADDRNOTAVAIL", "Unreachable", "no"],
    ["UND_ERR_CONNECT_TIMEOUT", "Unreachable", "no"],
    ["EPROTO", "Unreachable", "no"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "Unreachable", "no"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "Unreachable", "no"],
    ["CERT_HAS_EXPIRED", "Unreachable", "no"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "Unreachable", "no"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "Unreachable", "no"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "Unreachable", "no"],
    ["ECONNRESET", "Unreachable", "unknown"],
    ["EPIPE", "Unreachable", "unknown"],
    ["ETIMEDOUT", "Unreachable", "unknown"],
    ["UND_ERR_SOCKET", "Unreachable", "unknown"],
    ["UND_ERR_HEADERS_TIMEOUT", "TimedOut", "unknown"],
    ["UND_ERR_BODY_TIMEOUT", "TimedOut", "unknown"],
    ["UND_ERR_HEADERS_OVERFLOW", "TooLarge", "unknown"],
    ["UND_ERR_RES_EXCEEDED_MAX_SIZE", "TooLarge", "unknown"],
    ["NO_ECONNREFUSED", "Unreachable", "unknown"],
    ["ECONNREFUSED_NOT", "Unreachable", "unknown"]
  ])("%s: %s, and the server processed the request: %s", (code, reason, processed) => {
    for (const depth of [0, 1, 5]) {
      const error = requestError(wrapped({ code }, depth))
      assert.deepStrictEqual([error.reason, error.processed, error.code, error.detail], [reason, processed, code, code])
    }
  })

  it("a time-out of the connection was not sent", () => {
    assert.strictEqual(requestError({ code: "ETIMEDOUT", syscall: "connect" }).processed, "no")
    assert.strictEqual(requestError({ code: "ETIMEDOUT", syscall: "read" }).processed, "unknown")
    assert.strictEqual(requestError({ code: "ECONNRESET", syscall: "connect" }).processed, "unknown")
  })

  it("what a transport observed has precedence over the code", () => {
    assert.strictEqual(requestError({ code: "ECONNRESET", processed: "no" }).processed, "no")
    assert.strictEqual(requestError({ code: "ECONNREFUSED", processed: "unknown" }).processed, "unknown")
    assert.strictEqual(requestError({ code: "ECONNREFUSED", processed: "perhaps" }).processed, "no")
  })

  it("the time limit of the whole request is named, before and in the body", () => {
    const code = "ERR_TOTAL_TIMEOUT"
    for (const error of [requestError({ code }), bodyError({ code })]) {
      assert.deepStrictEqual([error.reason, error.detail], ["TimedOut", "no complete response in time"])
      assert.isTrue(TransportFailure.isTotalTimeout(error))
    }
    assert.isFalse(TransportFailure.isTotalTimeout(requestError({ code, processed: "no" })))
    assert.isFalse(TransportFailure.isTotalTimeout(requestError({ code: "ECONNRESET" })))
  })

  it.each([
    undefined,
    null,
    "ECONNREFUSED",
    {},
    { code: 23 },
    { code: "lower" },
    { code: "E" },
    { code: "EX" },
    { code: "1ABC" },
    { code: "ECONNREFUSED at 10.0.0.1" },
    { code: "a ECONNREFUSED" },
    { code: `E${"X".repeat(81)}` },
    wrapped({ code: "ECONNREFUSED" }, 6)
  ])("%j has no code: no connection", (cause) => {
    const error = requestError(cause)
    assert.deepStrictEqual(
      [error.reason, error.processed, error.code, error.detail],
      ["Unreachable", "unknown", undefined, "no connection"]
    )
  })

  it("a cause that refers to itself ends", () => {
    const cause: { cause?: unknown } = {}
    cause.cause = cause
    assert.strictEqual(requestError(cause).detail, "no connection")
  })

  it.each(["Encode", "InvalidUrl"] as const)("a request that could not be made (%s) was not sent", (reason) => {
    const error = requestError(undefined, reason)
    assert.deepStrictEqual([error.processed, error.detail], ["no", `the request could not be made (${reason})`])
  })

  it("an incomplete body leaves open whether the server acted, and has the status", () => {
    const reset = bodyError({ code: "ECONNRESET" })
    assert.deepStrictEqual([reset.processed, reset.status, reset.code], ["unknown", 200, "ECONNRESET"])
    assert.strictEqual(reset.detail, "the body is incomplete (ECONNRESET)")
    assert.strictEqual(bodyError(undefined).detail, "the body is incomplete (connection lost)")
    assert.strictEqual(bodyError({ code: "ECONNREFUSED" }).processed, "unknown")
  })

  it("the URL has no query, and an error's fields have no secret", () => {
    const error = requestError({ code: "ECONNRESET" })
    assert.strictEqual(error.url, "https://ehr.example/token")
    const { detail, url } = TransportFailure.errorFields(
      new TransportFailure.TransportFailure({ ...error, detail: "got s3cret-1", url: "https://ehr.example/s3cret-1" }),
      ["s3cret-1"]
    )
    assert.deepStrictEqual([detail, url], ["got <redacted>", "https://ehr.example/<redacted>"])
  })

  it("a temporary failure: no connection, no response in time, or a status that says so", () => {
    const isTransient = (reason: string, status?: number) => TransportFailure.isTransient({ reason, status })
    assert.isTrue(isTransient("Unreachable"))
    assert.isTrue(isTransient("TimedOut"))
    for (const reason of ["Status", "Unavailable"]) {
      assert.deepStrictEqual([503, 429, 500, 404, undefined].map((status) => isTransient(reason, status)), [
        true,
        true,
        false,
        false,
        false
      ])
    }
    assert.isFalse(isTransient("TooLarge"))
    assert.isFalse(isTransient("RedirectRefused", 503))
  })
})

describe("the fields of an error class", () => {
  it("have an advice for each reason, with the names of the limits of the request", () => {
    const advice = TransportFailure.advice("tokenTimeout", "maxResponseBytes")
    assert.sameMembers(Object.keys(advice), [...TransportFailure.reasons])
    assert.include(advice.TimedOut, "HttpLimits.tokenTimeout")
    assert.include(advice.TooLarge, "HttpLimits.maxResponseBytes")
  })

  it("are those of the failure, without secrets of the request", () => {
    const fields = {
      reason: "RedirectRefused",
      url: "https://ehr.example/SECRET-1",
      processed: "unknown",
      detail: "it redirects to https://other.example/SECRET-1",
      code: undefined,
      status: 302
    } as const
    const failure = new TransportFailure.TransportFailure(fields)
    assert.deepStrictEqual(TransportFailure.errorFields(failure), fields)
    assert.deepStrictEqual(TransportFailure.errorFields(failure, ["SECRET-1"]), {
      ...fields,
      url: "https://ehr.example/<redacted>",
      detail: "it redirects to https://other.example/<redacted>"
    })
  })

  it("have no code that is not a string", () => {
    for (const code of [7, ["ECONNREFUSED"], { toString: () => "ECONNREFUSED" }]) {
      const error = requestError({ code })
      assert.deepStrictEqual([error.code, error.detail], [undefined, "no connection"])
    }
  })
})
