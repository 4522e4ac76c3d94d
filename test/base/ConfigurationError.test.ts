import { assert, describe, it } from "@effect/vitest"
import { clientIdMissing, configurationError } from "../../src/base/ConfigurationError.js"

describe("ConfigurationError", () => {
  it("names the settings and the server, and cannot be repeated", () => {
    const error = configurationError("Insecure", ["redirectUri", "jwksUri"], "use https", "ehr")
    assert.strictEqual(error.message, "Configuration of ehr is not usable (Insecure redirectUri, jwksUri): use https")
    assert.deepInclude(error, {
      reason: "Insecure",
      fields: ["redirectUri", "jwksUri"],
      detail: "use https",
      server: "ehr"
    })
    assert.isFalse(error.isRetryable)
    assert.strictEqual(
      configurationError("Missing", ["clientId"], "add it").message,
      "Configuration is not usable (Missing clientId): add it"
    )
  })

  it("`clientIdMissing` is about the client id", () => {
    for (const server of ["ehr", undefined]) {
      const { fields, reason, server: named } = clientIdMissing(server)
      assert.deepStrictEqual([reason, fields, named], ["Missing", ["clientId"], server])
    }
  })
})
