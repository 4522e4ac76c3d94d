/**
 * The faults of the EHR: common faults of real servers, and each kind of fault of the sandbox, with a form for its
 * fields.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SandboxEhr } from "effect-safire/testing"

const { Fault } = SandboxEhr

type Fault = SandboxEhr.Fault.Fault
type Step = SandboxEhr.Fault.Step

/** The protocol steps in the order of a launch. */
export const steps: ReadonlyArray<{ readonly step: Step; readonly label: string }> = [
  { step: "discovery", label: "SMART configuration" },
  { step: "openid", label: "OpenID configuration" },
  { step: "jwks", label: "Keys of the EHR" },
  { step: "register", label: "Registration" },
  { step: "authorize", label: "Authorization" },
  { step: "token", label: "Tokens" },
  { step: "userinfo", label: "User info" },
  { step: "fhir", label: "FHIR API" },
  { step: "introspect", label: "Introspection" },
  { step: "revoke", label: "Revocation" },
  { step: "udap", label: "UDAP metadata" },
  { step: "crl", label: "Certificate revocation lists" },
  { step: "ocsp", label: "Certificate status" },
  { step: "idp", label: "Identity provider" }
]

/** The step of this name. */
export const findStep = (name: string | undefined): Step | undefined => steps.find(({ step }) => step === name)?.step

/** The label of a step. */
export const stepLabel = (step: Step | undefined): string =>
  steps.find((known) => known.step === step)?.label ?? "No step"

/** The label of a fault without a name. */
export const describe = (fault: Fault): string => {
  switch (fault._tag) {
    case "Status":
      return fault.headers["location"] === undefined
        ? `Status ${fault.status} with ${fault.body === "" ? "an empty body" : fault.contentType}`
        : `Redirect to ${fault.headers["location"]}`
    case "Delay":
      return `${Duration.toSeconds(fault.duration)} s late`
    case "Oversize":
      return `${Math.ceil(fault.bytes / 1024 / 1024)} MB of JSON`
    case "Drop":
      return "The connection fails"
    case "Mutate":
      return "Other members than there should be"
    case "Headers":
      return "Other headers"
    case "All":
      return fault.faults.map(describe).join(", ")
  }
}

/** A fault with its label. */
export interface NamedFault {
  readonly label: string
  readonly fault: Fault
}

/** A common fault of real servers. */
export interface CommonFault extends NamedFault {
  readonly id: string
  readonly step: Step
  /** The effect on an app. */
  readonly detail: string
}

const commonFault = (id: string, step: Step, label: string, detail: string, fault: Fault): CommonFault => ({
  id,
  step,
  label,
  detail,
  fault
})

const withMembers = (added: Readonly<Record<string, unknown>>): Fault =>
  Fault.mutate((members) => ({ ...members, ...added }))

/** Faults to add with one click. */
export const commonFaults: ReadonlyArray<CommonFault> = [
  commonFault("discovery-503", "discovery", "Busy: 503", "A retry of the discovery succeeds.", Fault.status(503)),
  commonFault(
    "discovery-html",
    "discovery",
    "A web page with status 200",
    "A login page instead of the document.",
    Fault.html()
  ),
  commonFault(
    "discovery-quirk",
    "discovery",
    "No capabilities and no PKCE methods",
    "Required members are missing.",
    Fault.omit("capabilities", "code_challenge_methods_supported")
  ),
  commonFault(
    "authorize-error",
    "authorize",
    "500 instead of the page",
    "The user does not return to the app.",
    Fault.status(500, { body: "Internal error" })
  ),
  commonFault(
    "authorize-state",
    "authorize",
    "Another state",
    "The callback does not belong to the request.",
    withMembers({ state: "state-of-another-request" })
  ),
  commonFault(
    "authorize-iss",
    "authorize",
    "Another issuer",
    "The callback names another server.",
    withMembers({ iss: "https://elsewhere.example/auth" })
  ),
  commonFault(
    "authorize-no-iss",
    "authorize",
    "No issuer",
    "The metadata declares iss; the callback has none.",
    Fault.omit("iss")
  ),
  commonFault(
    "token-429",
    "token",
    "Too many requests: 429, try again in 2 seconds",
    "The code is still valid; the app can retry later.",
    Fault.status(429, { headers: { "retry-after": "2" } })
  ),
  commonFault(
    "token-lost",
    "token",
    "The response is lost",
    "The server used up the code or rotated the refresh token.",
    Fault.lostResponse
  ),
  commonFault(
    "token-grant",
    "token",
    "invalid_grant",
    "The server rejects the code or the refresh token.",
    Fault.oauthError("invalid_grant")
  ),
  commonFault(
    "token-client",
    "token",
    "invalid_client",
    "The server rejects the app's credentials.",
    Fault.oauthError("invalid_client", { status: 401 })
  ),
  commonFault(
    "token-text",
    "token",
    "expires_in as text, odd token type",
    "Tolerated with a warning.",
    withMembers({ expires_in: "300", token_type: "bearer" })
  ),
  commonFault(
    "token-no-scope",
    "token",
    "No scope in the response",
    "The granted scopes are unknown.",
    Fault.omit("scope")
  ),
  commonFault(
    "token-no-patient",
    "token",
    "No patient in the response",
    "The requested context is missing.",
    Fault.omit("patient")
  ),
  commonFault(
    "token-id-token",
    "token",
    "A forged id_token",
    "Its signature is invalid.",
    withMembers({ id_token: "e30.e30.e30" })
  ),
  commonFault(
    "token-short",
    "token",
    "A token for 10 seconds",
    "The app must renew it immediately.",
    withMembers({ expires_in: 10 })
  ),
  commonFault(
    "jwks-down",
    "jwks",
    "The keys are unavailable",
    "The app cannot verify id_tokens.",
    Fault.status(503)
  ),
  commonFault(
    "fhir-401",
    "fhir",
    "The token is rejected: 401",
    "The token was revoked early.",
    Fault.status(401, { headers: { "www-authenticate": "Bearer error=\"invalid_token\"" } })
  ),
  commonFault("fhir-403", "fhir", "Not allowed: 403", "The scopes are insufficient.", Fault.status(403)),
  commonFault("fhir-slow", "fhir", "Slow: 5 seconds", "The user waits.", Fault.delay("5 seconds")),
  commonFault(
    "fhir-big",
    "fhir",
    "A response of 64 MB",
    "It exceeds the app's limit.",
    Fault.oversize(64 * 1024 * 1024)
  ),
  commonFault("fhir-drop", "fhir", "The connection fails", "No response.", Fault.drop)
]

/** How many times a fault happens. */
export const times: ReadonlyArray<{ readonly value: string; readonly label: string; readonly count: number }> = [
  { value: "1", label: "Once", count: 1 },
  { value: "2", label: "Twice", count: 2 },
  { value: "3", label: "3 times", count: 3 },
  { value: "5", label: "5 times", count: 5 },
  { value: "10", label: "10 times", count: 10 },
  { value: "always", label: "Until switched off", count: Infinity }
]

/** The fields of the fault form; an empty field has its default. */
export type Fields = (name: string) => string

/** A kind of fault with the fields it reads. */
export interface Kind {
  readonly id: string
  readonly label: string
  readonly detail: string
  readonly make: (fields: Fields) => Either.Either<NamedFault, string>
}

const number = (
  fields: Fields,
  name: string,
  fallback: number,
  [least, most]: readonly [number, number]
): Either.Either<number, string> => {
  const given = fields(name).trim()
  const value = given === "" ? fallback : Number(given)
  return Number.isInteger(value) && value >= least && value <= most
    ? Either.right(value)
    : Either.left(`${name} must be a whole number from ${least} to ${most}`)
}

const acted = (fields: Fields): boolean => fields("acted") !== ""

const afterwards = (fields: Fields): string => acted(fields) ? ", after processing" : ""

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Parses lines of `Name: value`; a name alone removes the header. */
const readHeaders = (
  lines: string
): Either.Either<
  { readonly set: Readonly<Record<string, string>>; readonly remove: ReadonlyArray<string> },
  string
> => {
  const read = lines.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "").map((line) => {
    const colon = line.indexOf(":")
    return colon < 0 ? [line, undefined] as const : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const
  })
  const wrong = read.find(([name, value]) =>
    !headerName.test(name) || (value !== undefined && !/^[\x20-\x7e]*$/.test(value))
  )
  return wrong !== undefined
    ? Either.left("a header is a name, a colon and plain text")
    : Either.right({
      set: Object.fromEntries(read.flatMap(([name, value]) => value === undefined ? [] : [[name, value]])),
      remove: read.flatMap(([name, value]) => value === undefined ? [name] : [])
    })
}

const decodeMembers = Schema.decodeUnknownOption(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
)

const names = (text: string): ReadonlyArray<string> => text.split(/[\s,]+/).filter((name) => name !== "")

/** All kinds of faults of the sandbox. */
export const kinds: ReadonlyArray<Kind> = [
  {
    id: "status",
    label: "Another status",
    detail: "Reads: status, body, headers.",
    make: (fields) =>
      Either.gen(function*() {
        const code = yield* number(fields, "status", 503, [200, 599])
        const { set } = yield* readHeaders(fields("headers"))
        return {
          label: `Status ${code}${afterwards(fields)}`,
          fault: Fault.status(code, { body: fields("body"), headers: set, processed: acted(fields) })
        }
      })
  },
  {
    id: "oauth",
    label: "OAuth error",
    detail: "Reads: status (400 if empty), error.",
    make: (fields) =>
      Either.map(number(fields, "status", 400, [200, 599]), (status) => {
        const error = fields("error").trim() || "invalid_grant"
        return {
          label: `OAuth error “${error}” with status ${status}${afterwards(fields)}`,
          fault: Fault.oauthError(error, { status, description: "added by hand", processed: acted(fields) })
        }
      })
  },
  {
    id: "delay",
    label: "Delay",
    detail: "Reads: seconds.",
    make: (fields) =>
      Either.map(number(fields, "seconds", 5, [1, 600]), (seconds) => ({
        label: `${seconds} s late${afterwards(fields)}`,
        fault: Fault.delay(seconds * 1000, { processed: acted(fields) })
      }))
  },
  {
    id: "redirect",
    label: "Redirect",
    detail: "Reads: location, an absolute URL.",
    make: (fields) => {
      const location = fields("location").trim() || "https://elsewhere.example/"
      return URL.canParse(location) && /^https?:/i.test(location)
        ? Either.right({
          label: `Redirect to ${location}${afterwards(fields)}`,
          fault: Fault.redirect(new URL(location).href, { processed: acted(fields) })
        })
        : Either.left("location must be an absolute URL")
    }
  },
  {
    id: "html",
    label: "Web page",
    detail: "Status 200 and HTML, like a login page.",
    make: (fields) =>
      Either.right({ label: `A web page${afterwards(fields)}`, fault: Fault.html({ processed: acted(fields) }) })
  },
  {
    id: "not-json",
    label: "Broken JSON",
    detail: "Content type JSON, invalid body.",
    make: (fields) =>
      Either.right({ label: `Broken JSON${afterwards(fields)}`, fault: Fault.notJson({ processed: acted(fields) }) })
  },
  {
    id: "oversize",
    label: "Oversize",
    detail: "Reads: megabytes.",
    make: (fields) =>
      Either.map(number(fields, "megabytes", 64, [1, 1024]), (megabytes) => ({
        label: `${megabytes} MB of JSON${afterwards(fields)}`,
        fault: Fault.oversize(megabytes * 1024 * 1024, { processed: acted(fields) })
      }))
  },
  {
    id: "empty",
    label: "Empty",
    detail: "Status 200 and an empty body.",
    make: (fields) =>
      Either.right({
        label: `An empty response${afterwards(fields)}`,
        fault: Fault.emptyBody({ processed: acted(fields) })
      })
  },
  {
    id: "drop",
    label: "Failed connection",
    detail: "The response is lost if the request is processed first, else the request.",
    make: (fields) =>
      Either.right({
        label: `The connection fails${afterwards(fields)}`,
        fault: acted(fields) ? Fault.lostResponse : Fault.drop
      })
  },
  {
    id: "omit",
    label: "Remove members",
    detail: "Reads: members, their names; of a JSON response or the callback URL.",
    make: (fields) => {
      const omitted = names(fields("members"))
      return omitted.length === 0
        ? Either.left("members must name at least one")
        : Either.right({ label: `Without ${omitted.join(", ")}`, fault: Fault.omit(...omitted) })
    }
  },
  {
    id: "set",
    label: "Add members",
    detail: "Reads: members, a JSON object; for a JSON response or the callback URL.",
    make: (fields) =>
      Option.match(decodeMembers(fields("members")), {
        onNone: () => Either.left("members must be a JSON object, such as {\"expires_in\": \"soon\"}"),
        onSome: (members) =>
          Either.right({ label: `With another ${Object.keys(members).join(", ")}`, fault: withMembers(members) })
      })
  },
  {
    id: "headers",
    label: "Other headers",
    detail: "Reads: headers; a name without a value removes the header.",
    make: (fields) =>
      Either.flatMap(readHeaders(fields("headers")), ({ remove, set }) => {
        const changed = [...Object.keys(set), ...remove.map((name) => `no ${name}`)]
        return changed.length === 0
          ? Either.left("headers must have at least one line")
          : Either.right({ label: `Headers: ${changed.join(", ")}`, fault: Fault.headers({ set, remove }) })
      })
  }
]

/** The fault of a submitted form, with an optional delay. */
export const fromFields = (fields: Fields): Either.Either<NamedFault, string> => {
  const kind = kinds.find(({ id }) => id === fields("kind"))
  if (kind === undefined) return Either.left("choose a fault")
  return Either.gen(function*() {
    const made = yield* kind.make(fields)
    const wait = kind.id === "delay" ? 0 : yield* number(fields, "seconds", 0, [0, 600])
    return wait === 0
      ? made
      : { label: `${made.label}, ${wait} s late`, fault: Fault.all(Fault.delay(wait * 1000), made.fault) }
  })
}

/** The response of all steps while the EHR is down. */
export const down: NamedFault = { label: "The EHR is down", fault: Fault.status(503, { body: "The EHR is down." }) }
