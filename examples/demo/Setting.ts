/** Where the demo goes: to the server of the environment, or to a sandbox of its own. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { SigningKeys } from "effect-safire"
import type { SandboxEhr } from "effect-safire/testing"
import type * as jose from "jose"
import * as Keys from "../support/keys.js"
import * as Sandbox from "../support/sandbox.js"
import * as Callback from "./Callback.js"

export interface Setting {
  /** The `SMART_*` variables, with the sandbox's behind them. */
  readonly provider: ConfigProvider.ConfigProvider
  /** Where the demo waits for the person to come back; none where no person is asked. */
  readonly callback: Option.Option<Callback.Callback>
  /** The sandbox, where there is one: then the demo plays the person, too. */
  readonly sandbox: Option.Option<SandboxEhr.Service>
}

export interface Options {
  readonly backend: boolean
  /** The FHIR base of a launch URL: without a configured server, the one that is meant. */
  readonly iss: string | undefined
}

type Variables = Readonly<Record<string, string>>

/** A variable that is set and blank counts as absent, as in the library. */
const environment: Effect.Effect<Variables> = Effect.sync(() =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || value.trim() === "" ? [] : [[name, value]]
    )
  )
)

const providerOf = (variables: Variables): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" })

const PERSON_TIMEOUT = "5 minutes"

/** A token that lives this long shows a refresh without a long wait. */
const SANDBOX_TOKEN_LIFETIME = "5 seconds"

const configured = (options: Options, given: Variables) =>
  Effect.gen(function*() {
    const provider = providerOf(options.iss === undefined ? given : { SMART_FHIR_BASE_URL: options.iss, ...given })
    const redirectUri = given["SMART_REDIRECT_URI"]
    const callback = options.backend || redirectUri === undefined
      ? Option.none()
      : Option.some(yield* Callback.listen(redirectUri, PERSON_TIMEOUT))
    return { provider, callback, sandbox: Option.none() }
  })

/** How the sandbox knows the client: by the secret or the public key that the environment gives it. */
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
        yield* Callback.listen(given["SMART_REDIRECT_URI"] ?? "http://127.0.0.1:0/callback", PERSON_TIMEOUT)
      )
    const redirectUris = Option.match(callback, { onNone: () => [], onSome: ({ redirectUri }) => [redirectUri] })
    const hasCredential = given["SMART_CLIENT_SECRET"] !== undefined || given["SMART_PRIVATE_KEY"] !== undefined
    const clientId = given["SMART_CLIENT_ID"] ?? "demo-app"
    const variables: Variables = {
      SMART_SCOPES: options.backend ? "system/*.rs" : "openid fhirUser launch/patient patient/*.rs offline_access",
      SMART_ALLOW_INSECURE_LOCALHOST: "true",
      ...(options.backend && !hasCredential ? { SMART_PRIVATE_KEY: yield* generatedKey } : {}),
      ...given,
      SMART_CLIENT_ID: clientId,
      ...Object.fromEntries(redirectUris.map((redirectUri) => ["SMART_REDIRECT_URI", redirectUri]))
    }
    const sandbox = yield* Sandbox.start({
      clients: [{ clientId, redirectUris, authentication: yield* registration(variables) }],
      accessTokenLifetime: SANDBOX_TOKEN_LIFETIME
    })
    return {
      provider: providerOf({ ...variables, SMART_FHIR_BASE_URL: sandbox.fhirBaseUrl }),
      callback,
      sandbox: Option.some(sandbox)
    }
  })

export const make = (options: Options) =>
  Effect.gen(function*() {
    const given = yield* environment
    const setting: Setting = given["SMART_FHIR_BASE_URL"] !== undefined || options.iss !== undefined
      ? yield* configured(options, given)
      : yield* sandboxed(options, given)
    return setting
  })
