/** The environment of the demo: the server of the `SMART_*` variables, or a sandbox EHR. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { SigningKeys } from "effect-safire"
import type { SandboxEhr } from "effect-safire/testing"
import type * as jose from "jose"
import * as Keys from "../support/keys.js"
import * as Sandbox from "../support/sandbox.js"
import * as UdapSandbox from "../support/udapSandbox.js"
import * as Callback from "./Callback.js"
import * as Udap from "./Udap.js"

export interface Environment {
  /** The `SMART_*` variables, with defaults for the sandbox. */
  readonly provider: ConfigProvider.ConfigProvider
  /** Waits for the callback; none for a backend service. */
  readonly callback: Option.Option<Callback.Callback>
  /** The sandbox, if the demo started one; the demo then acts as the user, too. */
  readonly sandbox: Option.Option<SandboxEhr.Service>
  /** With `--udap`. */
  readonly udap: Option.Option<Udap.Operator>
}

export interface Options {
  readonly backend: boolean
  readonly udap: boolean
  /** The FHIR base URL of a launch URL; the demo uses it if no server is configured. */
  readonly iss: string | undefined
}

type Variables = Readonly<Record<string, string>>

/** A blank variable counts as absent, as in the library. */
const readVariables: Effect.Effect<Variables> = Effect.sync(() =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || value.trim() === "" ? [] : [[name, value]]
    )
  )
)

const providerOf = (variables: Variables): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" })

const USER_TIMEOUT = "5 minutes"

/** Short, so that the demo shows a refresh without a long wait. */
const SANDBOX_TOKEN_LIFETIME = "5 seconds"

/** The demo needs variables that are not set. */
export class MissingVariables extends Data.TaggedError("MissingVariables")<{
  readonly reason: "NotSet"
  readonly message: string
}> {}

/** Variables without a default, beside the server. */
const REQUIRED = {
  app: ["SMART_CLIENT_ID", "SMART_REDIRECT_URI", "SMART_SCOPES"],
  backend: ["SMART_CLIENT_ID", "SMART_SCOPES"]
} as const

/** With UDAP: the server assigns the client id, and the certificate is the credential. */
const REQUIRED_FOR_UDAP = ["SMART_SCOPES", "UDAP_COMMUNITY", "UDAP_ANCHORS", "UDAP_CERTIFICATE", "UDAP_PRIVATE_KEY"]

const requireVariables = ({ backend, udap }: Options, variables: Variables): Effect.Effect<void, MissingVariables> => {
  const required = udap ? REQUIRED_FOR_UDAP : REQUIRED[backend ? "backend" : "app"]
  const missing: Array<string> = required.filter((name) => variables[name] === undefined)
  if (
    backend && !udap && variables["SMART_PRIVATE_KEY"] === undefined && variables["SMART_CLIENT_SECRET"] === undefined
  ) {
    missing.push("SMART_PRIVATE_KEY (or SMART_CLIENT_SECRET)")
  }
  return missing.length === 0 ? Effect.void : new MissingVariables({
    reason: "NotSet",
    message: `set ${missing.join(", ")} for this server; docs/demo.md describes the variables`
  })
}

const configured = (options: Options, variables: Variables) =>
  Effect.gen(function*() {
    yield* requireVariables(options, variables)
    const provider = providerOf({
      ...(options.iss === undefined ? {} : { SMART_FHIR_BASE_URL: options.iss }),
      // With UDAP, the server assigns the client id.
      ...(options.udap ? { SMART_CLIENT_ID: "none" } : {}),
      ...variables
    })
    const redirectUri = variables["SMART_REDIRECT_URI"]
    const callback = options.backend || redirectUri === undefined
      ? Option.none()
      : Option.some(yield* Callback.listen(redirectUri, USER_TIMEOUT))
    const udap = options.udap
      ? Option.some(yield* Effect.withConfigProvider(Udap.fromEnvironment, providerOf(variables)))
      : Option.none()
    return { provider, callback, sandbox: Option.none(), udap }
  })

/** The client's authentication method at the sandbox: by the secret or key of the environment. */
const registration = (variables: Variables) =>
  Effect.gen(function*() {
    if (variables["SMART_PRIVATE_KEY"] !== undefined) {
      const keys = yield* Effect.provide(SigningKeys.SigningKeys, SigningKeys.layerConfig)
      const { keys: published } = yield* keys.publicJwks
      return { method: "private_key_jwt", jwks: { keys: published as ReadonlyArray<jose.JWK> } } as const
    }
    const secret = variables["SMART_CLIENT_SECRET"]
    return secret === undefined
      ? { method: "none" } as const
      : { method: "client_secret_basic", secret: Redacted.make(secret) } as const
  }).pipe(Effect.withConfigProvider(providerOf(variables)))

const generatedKey = Effect.map(Keys.generate("demo-key"), ({ privateJwk }) => Redacted.value(privateJwk))

const sandboxed = (options: Options, given: Variables) =>
  Effect.gen(function*() {
    const callback = options.backend
      ? Option.none()
      : Option.some(
        yield* Callback.listen(given["SMART_REDIRECT_URI"] ?? "http://127.0.0.1:0/callback", USER_TIMEOUT)
      )
    const redirectUris = Option.match(callback, { onNone: () => [], onSome: ({ redirectUri }) => [redirectUri] })
    const hasCredential = given["SMART_CLIENT_SECRET"] !== undefined || given["SMART_PRIVATE_KEY"] !== undefined
    const clientId = given["SMART_CLIENT_ID"] ?? "demo-app"
    const variables: Variables = {
      SMART_SCOPES: options.backend ? "system/*.rs" : "openid fhirUser launch/patient patient/*.rs offline_access",
      SMART_ALLOW_INSECURE_LOCALHOST: "true",
      ...(options.backend && !options.udap && !hasCredential ? { SMART_PRIVATE_KEY: yield* generatedKey } : {}),
      ...given,
      SMART_CLIENT_ID: clientId,
      ...Object.fromEntries(redirectUris.map((redirectUri) => ["SMART_REDIRECT_URI", redirectUri]))
    }
    const settings: SandboxEhr.Options = {
      clients: [{ clientId, redirectUris, authentication: yield* registration(variables) }],
      accessTokenLifetime: SANDBOX_TOKEN_LIFETIME
    }
    const udap = options.udap ? Option.some(yield* UdapSandbox.start(Udap.clientUri, settings)) : Option.none()
    const sandbox = Option.isSome(udap) ? udap.value.ehr : yield* Sandbox.start(settings)
    return {
      provider: providerOf({ ...variables, SMART_FHIR_BASE_URL: sandbox.fhirBaseUrl }),
      callback,
      sandbox: Option.some(sandbox),
      udap
    }
  })

export const make = (options: Options) =>
  Effect.gen(function*() {
    const variables = yield* readVariables
    const environment: Environment = variables["SMART_FHIR_BASE_URL"] !== undefined || options.iss !== undefined
      ? yield* configured(options, variables)
      : yield* sandboxed(options, variables)
    return environment
  })
