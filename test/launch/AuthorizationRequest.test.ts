import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as AuthorizationRequest from "../../src/launch/AuthorizationRequest.js"

const request: AuthorizationRequest.AuthorizationRequest = {
  clientId: "app",
  redirectUri: "https://app.example/callback?tenant=1",
  scopes: ["launch/patient", "patient/Observation.rs?category=http://terminology.hl7.org/x|vital-signs", "openid"],
  state: "state-123",
  aud: "https://ehr.example/fhir/",
  codeChallenge: "challenge"
}
const endpoint = "https://auth.example/authorize"
const url = (changes: Partial<AuthorizationRequest.AuthorizationRequest> = {}, at = endpoint) =>
  AuthorizationRequest.toUrl(at, AuthorizationRequest.toParams({ ...request, ...changes }))

describe("AuthorizationRequest", () => {
  it("[SMART-3] [SMART-32] [SMART-33] [SMART-34] [SMART-37] [SMART-44] [SMART-45] a standalone launch has exactly its parameters", () => {
    assert.deepStrictEqual(AuthorizationRequest.toParams(request), [
      ["response_type", "code"],
      ["client_id", "app"],
      ["redirect_uri", "https://app.example/callback?tenant=1"],
      ["scope", request.scopes.join(" ")],
      ["state", "state-123"],
      ["aud", "https://ehr.example/fhir/"],
      ["code_challenge", "challenge"],
      ["code_challenge_method", "S256"]
    ])
  })

  it("a nonce is sent if there is one, and each name once", () => {
    assert.strictEqual(url({ nonce: "n1" }).searchParams.get("nonce"), "n1")
    const at = "https://auth.example/authorize?&state=old&tenant=1&&state=older&x=%2B#top"
    assert.strictEqual(
      AuthorizationRequest.toUrl(at, [["state", "new one"]]).href,
      "https://auth.example/authorize?tenant=1&x=%2B&state=new%20one"
    )
    assert.strictEqual(
      AuthorizationRequest.toUrl("https://auth.example/authorize?state=old#top", [["state", "s"]]).href,
      "https://auth.example/authorize?state=s"
    )
    assert.strictEqual(
      AuthorizationRequest.toUrl("https://auth.example/authorize#top", [["state", "s"]]).href,
      "https://auth.example/authorize?state=s"
    )
  })

  it("[SMART-36] [SMART-211] a standalone launch has no launch parameter, and nothing optional is sent", () => {
    for (const name of ["launch", "max_age", "nonce", "prompt", "resource", "response_mode"]) {
      assert.isFalse(url().searchParams.has(name), name)
    }
  })

  it.each(["xyz123", "a+b/c=d&e%f?g#h", "mit Ü & ☃", "%41", "a b", "", "..//", "'\"<>`\\"])(
    "[SMART-35] sends launch %j byte for byte",
    (launch) => {
      const sent = url({ launch })
      assert.strictEqual(sent.searchParams.get("launch"), launch)
      assert.strictEqual(new URL(sent.href).searchParams.get("launch"), launch)
    }
  )

  it.each(["https://ehr.example/fhir", "https://EHR.example:443/fhir/", "https://ehr.example/a%2Fb/../c"])(
    "[SMART-41] sends aud %s verbatim",
    (aud) => assert.strictEqual(url({ aud }).searchParams.get("aud"), aud)
  )

  it("encodes scopes once, and spaces as %20", () => {
    const { href } = url()
    assert.include(
      href,
      "scope=launch%2Fpatient%20patient%2FObservation.rs%3Fcategory%3Dhttp%3A%2F%2Fterminology.hl7.org%2Fx%7Cvital-signs%20openid"
    )
    assert.notInclude(href, "+")
    assert.strictEqual(url().searchParams.get("scope"), request.scopes.join(" "))
  })

  it("keeps the query of the endpoint unchanged and drops its fragment", () => {
    const sent = url({}, `${endpoint}?tenant=a%2fb+c&flag&x=1&x=2#frag`)
    assert.isTrue(sent.href.startsWith(`${endpoint}?tenant=a%2fb+c&flag&x=1&x=2&response_type=code&`))
    assert.strictEqual(sent.hash, "")
  })

  it("replaces parameters of the authorization request in the query of the endpoint", () => {
    const own = "state=evil&%73tate=evil2&client_id=evil&aud=evil&code_challenge_method=plain&redirect_uri=evil&keep=1"
    const sent = url({}, `${endpoint}?${own}`)
    for (const name of ["state", "client_id", "aud", "code_challenge_method", "redirect_uri"]) {
      assert.strictEqual(sent.searchParams.getAll(name).length, 1, name)
    }
    assert.notInclude(sent.href, "evil")
    assert.strictEqual(sent.searchParams.get("keep"), "1")
  })

  it.prop(
    "the URL of any values has exactly these values, with lone surrogates replaced",
    [FastCheck.fullUnicodeString(), FastCheck.string16bits(), FastCheck.array(FastCheck.stringMatching(/^[!-~]+$/))],
    ([state, launch, scopes]) => {
      const sent = url({ state, launch, scopes })
      assert.strictEqual(sent.searchParams.get("state"), state)
      assert.strictEqual(sent.searchParams.get("launch"), new URLSearchParams([["", launch]]).get(""))
      assert.strictEqual(sent.searchParams.get("scope"), scopes.join(" "))
      assert.strictEqual([...sent.searchParams].length, 9)
      assert.strictEqual(sent.origin + sent.pathname, endpoint)
      assert.strictEqual(sent.hash, "")
    }
  )
})
