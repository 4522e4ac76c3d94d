/** Where the demo goes: to the server of the environment, or to a sandbox of its own. */
import * as Config from "effect/Config"
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

const variables = (values: Readonly<Record<string, string>>): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromMap(new Map(Object.entries(values)), { pathDelim: "_" })

const withDefaults = (values: Readonly<Record<string, string>>) =>
  Effect.map(
    Effect.configProviderWith(Effect.succeed),
    (environment) => ConfigProvider.orElse(environment, () => variables(values))
  )

const optional = (name: string) => Config.option(Config.nonEmptyString(name))

const PERSON_TIMEOUT = "5 minutes"

/** A token that lives this long shows a refresh without a long wait. */
const SANDBOX_TOKEN_LIFETIME = "5 seconds"

const configured = (options: Options) =>
  Effect.gen(function*() {
    const provider = yield* withDefaults(options.iss === undefined ? {} : { SMART_FHIR_BASE_URL: options.iss })
    const redirectUri = yield* optional("SMART_REDIRECT_URI")
    const callback = options.backend || Option.isNone(redirectUri)
      ? Option.none()
      : Option.some(yield* Callback.listen(redirectUri.value, PERSON_TIMEOUT))
    return { provider, callback, sandbox: Option.none() }
  })

/** How the sandbox knows the client: by the secret or the public key that the environment gives it. */
const registration = Effect.gen(function*() {
  const secret = yield* Config.option(Config.redacted("SMART_CLIENT_SECRET"))
  const key = yield* optional("SMART_PRIVATE_KEY")
  if (Option.isSome(key)) {
    const keys = yield* Effect.provide(SigningKeys.SigningKeys, SigningKeys.layerConfig)
    const { keys: published } = yield* keys.publicJwks
    return { method: "private_key_jwt", jwks: { keys: published as ReadonlyArray<jose.JWK> } } as const
  }
  return Option.isSome(secret)
    ? { method: "client_secret_basic", secret: secret.value } as const
    : { method: "none" } as const
})

const generatedKey = Effect.map(Keys.generate("demo-key"), ({ privateJwk }) => Redacted.value(privateJwk))

const sandboxed = (options: Options) =>
  Effect.gen(function*() {
    const callback = yield* Callback.listen("http://127.0.0.1:0/callback", PERSON_TIMEOUT)
    const hasCredential = Option.isSome(yield* Config.option(Config.redacted("SMART_CLIENT_SECRET"))) ||
      Option.isSome(yield* optional("SMART_PRIVATE_KEY"))
    const clientId = Option.getOrElse(yield* optional("SMART_CLIENT_ID"), () => "demo-app")
    const defaults = yield* withDefaults({
      SMART_CLIENT_ID: clientId,
      SMART_REDIRECT_URI: callback.redirectUri,
      SMART_SCOPES: options.backend ? "system/*.rs" : "openid fhirUser launch/patient patient/*.rs offline_access",
      SMART_ALLOW_INSECURE_LOCALHOST: "true",
      ...(options.backend && !hasCredential ? { SMART_PRIVATE_KEY: yield* generatedKey } : {})
    })
    const authentication = yield* Effect.withConfigProvider(registration, defaults)
    const sandbox = yield* Sandbox.start({
      clients: [{ clientId, redirectUris: [callback.redirectUri], authentication }],
      accessTokenLifetime: SANDBOX_TOKEN_LIFETIME
    })
    return {
      provider: ConfigProvider.orElse(variables({ SMART_FHIR_BASE_URL: sandbox.fhirBaseUrl }), () => defaults),
      callback: Option.some(callback),
      sandbox: Option.some(sandbox)
    }
  })

export const make = (options: Options) =>
  Effect.gen(function*() {
    const fhirBaseUrl = yield* optional("SMART_FHIR_BASE_URL")
    const setting: Setting = Option.isSome(fhirBaseUrl) || options.iss !== undefined
      ? yield* configured(options)
      : yield* sandboxed(options)
    return setting
  })
