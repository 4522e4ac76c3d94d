import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Discovery, type SmartClient } from "effect-safire"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import { ClientMetadata } from "../../src/client/ClientMetadata.js"
import * as RegisteredClient from "../../src/client/RegisteredClient.js"
import * as Registration from "../../src/client/Registration.js"
import { RegistrationError } from "../../src/client/RegistrationError.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import { OidcProvider } from "../support/OidcProvider.js"
import { connect, environment, failed, login } from "../support/oidcProviderApp.js"
import { redirectUri } from "../support/oidcProviderClients.js"
import { patientId } from "../support/oidcProviderConfiguration.js"
import { vectorJwk } from "../support/oidcProviderStore.js"

const local = { allowInsecureLocalhost: true }

const app = {
  redirectUris: [redirectUri],
  grantTypes: ["authorization_code", "refresh_token"],
  responseTypes: ["code"],
  clientName: "an app of a test"
}

const registrationLayer = Registration.layer.pipe(Layer.provide(Discovery.layer()))

const withRegistration = (options?: { readonly initialAccessToken: string }) =>
  Layer.provideMerge(registrationLayer, environment(options))

const register = (metadata: ConstructorParameters<typeof ClientMetadata>[0]) =>
  Effect.gen(function*() {
    const { fhirBaseUrl } = yield* OidcProvider
    const registration = yield* Registration.Registration
    return yield* registration.register(new ClientMetadata({ ...app, ...metadata }), { fhirBaseUrl, ...local })
  })

/** Logs in as a client that was registered. */
const loginAs = (registered: RegisteredClient.RegisteredClient, options?: RegisteredClient.ClientOptions) =>
  Effect.gen(function*() {
    const { authentication, clientId } = yield* RegisteredClient.toClient(registered, options)
    const client: SmartClient.Service = yield* connect(
      clientId,
      Layer.succeed(ClientAuthentication.ClientAuthentication, authentication)
    )
    const tokens = yield* login(client)
    return yield* client.refresh(tokens)
  })

const failure = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.filterOrDieMessage(
      failed(self),
      (error): error is E & RegistrationError => error instanceof RegistrationError,
      "not a RegistrationError"
    ),
    ({ error, operation, processed, reason, status }) => ({ operation, reason, error, status, processed })
  )

layer(withRegistration(), { excludeTestServices: true })("registration at oidc-provider", (it) => {
  for (
    const [method, secret] of [
      ["none", false],
      ["client_secret_basic", true],
      ["client_secret_post", true]
    ] as const
  ) {
    it.scoped(`[SMART-292] registers a ${method} client that can log in at once`, () =>
      Effect.gen(function*() {
        const registered = yield* register({ tokenEndpointAuthMethod: method })
        assert.strictEqual(registered.metadata.tokenEndpointAuthMethod, method)
        assert.deepStrictEqual(registered.metadata.redirectUris, [redirectUri])
        assert.deepStrictEqual([registered.changed, registered.deviations], [[], []])
        assert.strictEqual(registered.clientSecret !== undefined, secret)
        assert.isUndefined(registered.clientSecretExpiresAt)
        const tokens = yield* loginAs(registered)
        assert.strictEqual(tokens.context.patient, patientId)
      }))
  }

  it.scoped("[SMART-299] registers a private_key_jwt client with its JWKS by URL", () =>
    Effect.gen(function*() {
      const { issuer } = yield* OidcProvider
      const registered = yield* register({
        tokenEndpointAuthMethod: "private_key_jwt",
        tokenEndpointAuthSigningAlg: "ES384",
        jwksUri: `${issuer}/keys/by-url`
      })
      const signingKeys = yield* Effect.provide(
        SigningKeys.SigningKeys,
        SigningKeys.layerJwk({ jwk: Redacted.make(vectorJwk("ES384", "private")) })
      )
      assert.isUndefined(registered.clientSecret)
      const tokens = yield* loginAs(registered, { signingKeys })
      assert.strictEqual(tokens.context.patient, patientId)
    }))

  it.scoped("lists the members that the server changed", () =>
    Effect.gen(function*() {
      const registered = yield* register({
        tokenEndpointAuthMethod: "none",
        extensions: { launch_uris: ["https://app.example.test/launch"] }
      })
      assert.deepStrictEqual(registered.changed.map(({ member }) => member), ["launch_uris"])
    }))

  it.scoped("reads, updates and removes a registration with its registration access token, which an update replaces", () =>
    Effect.gen(function*() {
      const registration = yield* Registration.Registration
      const registered = yield* register({ tokenEndpointAuthMethod: "client_secret_basic" })

      const read = yield* registration.read(registered, local)
      assert.strictEqual(read.clientId, registered.clientId)
      assert.strictEqual(read.metadata.clientName, app.clientName)

      const changed = yield* registration.update(
        read,
        new ClientMetadata({ ...app, tokenEndpointAuthMethod: "client_secret_basic", clientName: "another name" }),
        local
      )
      assert.strictEqual(changed.metadata.clientName, "another name")
      assert.deepStrictEqual(changed.changed, [])
      const tokenOf = ({ registrationAccessToken: token }: RegisteredClient.RegisteredClient) =>
        token === undefined ? "" : Redacted.value(token)
      assert.notStrictEqual(tokenOf(changed), tokenOf(registered))
      assert.deepStrictEqual(yield* failure(registration.read(registered, local)), {
        operation: "read",
        reason: "Unauthorized",
        error: "invalid_token",
        status: 401,
        processed: "no"
      })
      assert.isDefined((yield* loginAs(changed)).refreshToken)

      yield* registration.remove(changed, local)
      assert.deepStrictEqual(yield* failure(registration.read(changed, local)), {
        operation: "read",
        reason: "Unauthorized",
        error: "invalid_token",
        status: 401,
        processed: "no"
      })
      assert.deepStrictEqual((yield* failed(loginAs(changed)))._tag, "WalkError")
    }))

  it.scoped("an update that the server refuses leaves the registration unchanged", () =>
    Effect.gen(function*() {
      const registration = yield* Registration.Registration
      const registered = yield* register({ tokenEndpointAuthMethod: "none" })
      const refused = yield* failure(
        registration.update(registered, new ClientMetadata({ ...app, tokenEndpointAuthMethod: "by-handshake" }), local)
      )
      assert.deepStrictEqual(refused, {
        operation: "update",
        reason: "Refused",
        error: "invalid_client_metadata",
        status: 400,
        processed: "no"
      })
      assert.strictEqual((yield* registration.read(registered, local)).metadata.tokenEndpointAuthMethod, "none")
    }))

  it.scoped("the token of another registration is refused", () =>
    Effect.gen(function*() {
      const registration = yield* Registration.Registration
      const registered = yield* register({ tokenEndpointAuthMethod: "none" })
      const other = yield* register({ tokenEndpointAuthMethod: "none" })
      const { registrationAccessToken } = other
      const mixed = new RegisteredClient.RegisteredClient({ ...registered, registrationAccessToken })
      const error = yield* failure(registration.remove(mixed, local))
      assert.deepStrictEqual([error.reason, error.operation, error.status], ["Unauthorized", "remove", 401])
      assert.strictEqual((yield* registration.read(registered, local)).clientId, registered.clientId)
    }))

  for (
    const [name, metadata, error] of [
      ["a method it does not know", { tokenEndpointAuthMethod: "by-handshake" }, "invalid_client_metadata"],
      ["a grant it does not know", { grantTypes: ["by-handshake"] }, "invalid_client_metadata"],
      ["a redirect URI it does not take", { redirectUris: [] }, "invalid_redirect_uri"]
    ] as const
  ) {
    it.scoped(`${name} is refused, with the server's error in the result`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* failure(register(metadata)), {
          operation: "register",
          reason: "Refused",
          error,
          status: 400,
          processed: "no"
        })
      }))
  }
})

const initialAccessToken = "an-initial-access-token-0123456789"

layer(withRegistration({ initialAccessToken }), { excludeTestServices: true })(
  "registration at oidc-provider with an initial access token",
  (it) => {
    const metadata = new ClientMetadata({ ...app, tokenEndpointAuthMethod: "none" })
    const registerWith = (token: string | undefined) =>
      Effect.gen(function*() {
        const server = yield* OidcProvider
        const registration = yield* Registration.Registration
        return yield* registration.register(metadata, {
          ...local,
          endpoint: server.metadata["registration_endpoint"] ?? "",
          initialAccessToken: token === undefined ? undefined : Redacted.make(token)
        })
      })

    it.scoped("sends the initial access token", () =>
      Effect.gen(function*() {
        const registered = yield* registerWith(initialAccessToken)
        assert.isDefined((yield* loginAs(registered)).refreshToken)
      }))

    it.scoped("is Unauthorized without it or with a wrong one, which the error does not contain", () =>
      Effect.gen(function*() {
        const without = yield* failure(registerWith(undefined))
        assert.deepStrictEqual([without.reason, without.status], ["Unauthorized", 401])
        const wrong = yield* failed(registerWith("a-wrong-token-0123456789"))
        assert.instanceOf(wrong, RegistrationError)
        assert.deepStrictEqual([wrong.reason, wrong.status, wrong.error], ["Unauthorized", 401, "invalid_token"])
        assert.notInclude(`${wrong.message}${JSON.stringify(wrong)}`, "a-wrong-token")
      }))
  }
)
