/**
 * What can be made to go wrong at the EHR, by name: troubles that happen to real apps, ready to be switched on, and every kind of fault the sandbox
 * has, to be put together by hand.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SandboxEhr } from "effect-safire/testing"

const { Fault } = SandboxEhr

type Fault = SandboxEhr.Fault.Fault
type Step = SandboxEhr.Fault.Step

/** The steps of the protocol, in the order an app takes them. */
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
  { step: "revoke", label: "Revocation" }
]

/** The step of this name. */
export const findStep = (name: string | undefined): Step | undefined => steps.find(({ step }) => step === name)?.step

/** The step in words. */
export const stepLabel = (step: Step | undefined): string =>
  steps.find((known) => known.step === step)?.label ?? "No step"

/** What a fault is called that nobody here gave a name. */
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
      return "The connection breaks"
    case "Mutate":
      return "Other members than there should be"
    case "Headers":
      return "Other headers"
    case "All":
      return fault.faults.map(describe).join(", ")
  }
}

/** A fault with the words that it is shown with. */
export interface NamedFault {
  readonly label: string
  readonly fault: Fault
}

/** Something that happens at real servers. */
export interface Trouble extends NamedFault {
  readonly id: string
  readonly step: Step
  /** What it tries an app with. */
  readonly detail: string
}

const trouble = (id: string, step: Step, label: string, detail: string, fault: Fault): Trouble => ({
  id,
  step,
  label,
  detail,
  fault
})

const withMembers = (added: Readonly<Record<string, unknown>>): Fault =>
  Fault.mutate((members) => ({ ...members, ...added }))

/** Troubles to switch on with one click. */
export const troubles: ReadonlyArray<Trouble> = [
  trouble("discovery-503", "discovery", "Busy: 503", "Discovery works again when it is repeated.", Fault.status(503)),
  trouble(
    "discovery-html",
    "discovery",
    "A web page with status 200",
    "A login wall where a document was expected.",
    Fault.html()
  ),
  trouble(
    "discovery-quirk",
    "discovery",
    "No capabilities, no PKCE promised",
    "Members that the specification demands are missing.",
    Fault.omit("capabilities", "code_challenge_methods_supported")
  ),
  trouble(
    "authorize-error",
    "authorize",
    "500 in place of the page",
    "The person never comes back.",
    Fault.status(500, { body: "Internal error" })
  ),
  trouble(
    "authorize-state",
    "authorize",
    "Another state",
    "The callback is not the answer to what was asked.",
    withMembers({ state: "made-up-by-somebody-else" })
  ),
  trouble(
    "authorize-iss",
    "authorize",
    "Another issuer",
    "The callback says it comes from another server.",
    withMembers({ iss: "https://elsewhere.example/auth" })
  ),
  trouble(
    "authorize-no-iss",
    "authorize",
    "No issuer",
    "The metadata promises an iss, the callback has none.",
    Fault.omit("iss")
  ),
  trouble(
    "token-429",
    "token",
    "Too many requests: 429, try again in 2 seconds",
    "The code is still good: the exchange may be repeated, later.",
    Fault.status(429, { headers: { "retry-after": "2" } })
  ),
  trouble(
    "token-lost",
    "token",
    "The answer gets lost",
    "The code is used up or the refresh token replaced, and the app never hears of it.",
    Fault.lostResponse
  ),
  trouble(
    "token-grant",
    "token",
    "invalid_grant",
    "The code or the refresh token is refused.",
    Fault.oauthError("invalid_grant")
  ),
  trouble(
    "token-client",
    "token",
    "invalid_client",
    "The app is not believed to be who it says.",
    Fault.oauthError("invalid_client", { status: 401 })
  ),
  trouble(
    "token-text",
    "token",
    "expires_in as text, odd token type",
    "Tolerable: a warning and no error.",
    withMembers({ expires_in: "300", token_type: "bearer" })
  ),
  trouble("token-no-scope", "token", "No scope in the answer", "What was granted is unknown.", Fault.omit("scope")),
  trouble(
    "token-no-patient",
    "token",
    "No patient in the answer",
    "The context that was asked for does not come.",
    Fault.omit("patient")
  ),
  trouble(
    "token-id-token",
    "token",
    "A forged id_token",
    "It is signed by nobody.",
    withMembers({ id_token: "e30.e30.e30" })
  ),
  trouble(
    "token-short",
    "token",
    "A token for 10 seconds",
    "It has to be renewed at once.",
    withMembers({ expires_in: 10 })
  ),
  trouble(
    "jwks-down",
    "jwks",
    "The keys cannot be had",
    "Nobody can say whether an id_token is genuine.",
    Fault.status(503)
  ),
  trouble(
    "fhir-401",
    "fhir",
    "The token is refused: 401",
    "Ended before its time.",
    Fault.status(401, { headers: { "www-authenticate": "Bearer error=\"invalid_token\"" } })
  ),
  trouble("fhir-403", "fhir", "Not allowed: 403", "The scopes do not reach so far.", Fault.status(403)),
  trouble("fhir-slow", "fhir", "Slow: 5 seconds", "Somebody waits in front of the screen.", Fault.delay("5 seconds")),
  trouble("fhir-big", "fhir", "An answer of 64 MB", "More than an app should take.", Fault.oversize(64 * 1024 * 1024)),
  trouble("fhir-drop", "fhir", "The connection breaks", "No answer at all.", Fault.drop)
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

/** A fault to be put together, as its form is filled in: every field is text, an empty one stands for its default. */
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

const afterwards = (fields: Fields): string => acted(fields) ? ", after the request was acted on" : ""

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** `Name: value`, one a line; a line of a name alone takes the header away. */
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

/** Every kind of fault that the sandbox has. */
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
          fault: Fault.oauthError(error, { status, description: "switched on by hand", processed: acted(fields) })
        }
      })
  },
  {
    id: "delay",
    label: "Late answer",
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
    detail: "Status 200 and HTML, as a login wall answers.",
    make: (fields) =>
      Either.right({ label: `A web page${afterwards(fields)}`, fault: Fault.html({ processed: acted(fields) }) })
  },
  {
    id: "not-json",
    label: "Broken JSON",
    detail: "Says it is JSON, and is not.",
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
    detail: "Status 200 and nothing else.",
    make: (fields) =>
      Either.right({
        label: `An empty answer${afterwards(fields)}`,
        fault: Fault.emptyBody({ processed: acted(fields) })
      })
  },
  {
    id: "drop",
    label: "Broken connection",
    detail: "With “acted on”, the answer gets lost; without, the request does.",
    make: (fields) =>
      Either.right({
        label: `The connection breaks${afterwards(fields)}`,
        fault: acted(fields) ? Fault.lostResponse : Fault.drop
      })
  },
  {
    id: "omit",
    label: "Leave members out",
    detail: "Reads: members, the names; of a JSON answer or of the redirect back to the app.",
    make: (fields) => {
      const omitted = names(fields("members"))
      return omitted.length === 0
        ? Either.left("members must name at least one")
        : Either.right({ label: `Without ${omitted.join(", ")}`, fault: Fault.omit(...omitted) })
    }
  },
  {
    id: "set",
    label: "Put members in",
    detail: "Reads: members, a JSON object; over those of a JSON answer or of the redirect back to the app.",
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
    detail: "Reads: headers; a name without a value takes that header away.",
    make: (fields) =>
      Either.flatMap(readHeaders(fields("headers")), ({ remove, set }) => {
        const changed = [...Object.keys(set), ...remove.map((name) => `no ${name}`)]
        return changed.length === 0
          ? Either.left("headers must have at least one line")
          : Either.right({ label: `Headers: ${changed.join(", ")}`, fault: Fault.headers({ set, remove }) })
      })
  }
]

/** The fault of a form filled in, with a wait before it if one is wanted. */
export const fromFields = (fields: Fields): Either.Either<NamedFault, string> => {
  const kind = kinds.find(({ id }) => id === fields("kind"))
  if (kind === undefined) return Either.left("choose what goes wrong")
  return Either.gen(function*() {
    const made = yield* kind.make(fields)
    const wait = kind.id === "delay" ? 0 : yield* number(fields, "seconds", 0, [0, 600])
    return wait === 0
      ? made
      : { label: `${made.label}, ${wait} s late`, fault: Fault.all(Fault.delay(wait * 1000), made.fault) }
  })
}

/** What the whole EHR answers while it is down. */
export const down: NamedFault = { label: "The EHR is down", fault: Fault.status(503, { body: "The EHR is down." }) }
