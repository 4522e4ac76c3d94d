/**
 * Tiered OAuth: an identity provider authenticates the user (UDAP Security STU2, section 6). The sandbox registers
 * itself with the identity provider as a UDAP client.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Authorize from "./authorize.js"
import { assertionType } from "./clientAssertion.js"
import type { ConnectionReset } from "./faults.js"
import * as Http from "./http.js"
import type { ValidRequest } from "./state.js"
import * as Token from "./token.js"
import * as UdapJwt from "./udapJwt.js"
import type { Credentials } from "./udapPki.js"
import { MAX_LIFETIME, type UdapServer } from "./udapServer.js"

/** The sandbox as a client of an identity provider. */
interface IdpClient {
  readonly clientId: string
  readonly credentials: Credentials
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
}

/** An authorization request whose user is at the identity provider. */
interface PendingLogin {
  readonly request: ValidRequest
  readonly client: IdpClient
  readonly idp: string
  readonly nonce: string
  readonly challengeVerifier: string
}

const ONE_YEAR = 366 * 24 * 60 * 60

/** Requests to the identity provider, by its base URL. */
export type Send = (request: Http.SandboxRequest) => Effect.Effect<Http.SandboxResponse, ConnectionReset>

const jsonOf = (response: Http.SandboxResponse): UdapJwt.Claims =>
  response.status >= 200 && response.status < 300 && response.body._tag === "Json" &&
    Predicate.isRecord(response.body.value)
    ? response.body.value
    : {}

const request = (url: string, body: string, contentType: string): Http.SandboxRequest => {
  const { pathname, search } = new URL(url)
  return {
    method: body === "" ? "GET" : "POST",
    url: `${pathname}${search}`,
    path: pathname,
    query: Http.parsePairs(search),
    headers: body === "" ? {} : { "content-type": contentType },
    body
  }
}

const random = () => globalThis.crypto.randomUUID().replaceAll("-", "")

/** The logins of one sandbox at its identity provider. */
export const make = (server: UdapServer, idp: string, send: Send) => {
  const { pki, sandbox } = server
  const callback = `${sandbox.issuer}/udap/callback`
  const clients = new Map<string, IdpClient>()
  const logins = new Map<string, PendingLogin>()

  const refuse = (valid: ValidRequest, error: string, description: string) =>
    new Authorize.RedirectedError({ location: Authorize.errorRedirect(sandbox, valid, error, description) })

  const invalidIdp = (valid: ValidRequest, description: string) => refuse(valid, "invalid_idp", description)

  const sendJson = (url: string, body = "", contentType = "application/json"): Effect.Effect<UdapJwt.Claims> =>
    send(request(url, body, contentType)).pipe(
      Effect.map(jsonOf),
      Effect.orElseSucceed(() => ({}))
    )

  const timed = Effect.map(Clock.currentTimeMillis, (millis) => {
    const iat = Math.floor(millis / 1000)
    return { iat, exp: iat + MAX_LIFETIME, jti: random() }
  })

  const register = (valid: ValidRequest) =>
    Effect.gen(function*() {
      const metadata = yield* sendJson(`${idp}/.well-known/udap`)
      const { signed_metadata: jwt } = metadata
      const verified = yield* UdapJwt.verify(pki, typeof jwt === "string" ? jwt : "", ONE_YEAR).pipe(
        Effect.filterOrFail(({ claims, uris }) => claims["iss"] === idp && claims["sub"] === idp && uris.includes(idp)),
        Effect.mapError(() => invalidIdp(valid, "the identity provider is not trusted"))
      )
      const { claims: { authorization_endpoint: authorizationEndpoint, registration_endpoint: registration } } =
        verified
      const { token_endpoint: tokenEndpoint } = verified.claims
      if (
        typeof authorizationEndpoint !== "string" || typeof tokenEndpoint !== "string" ||
        typeof registration !== "string"
      ) {
        return yield* invalidIdp(valid, "the identity provider has not signed its endpoints")
      }
      const credentials = yield* pki.issue({ uri: sandbox.issuer, community: verified.community, keys: "p256" })
      const statement = yield* UdapJwt.sign({
        iss: sandbox.issuer,
        sub: sandbox.issuer,
        aud: registration,
        ...(yield* timed),
        client_name: "Sandbox EHR",
        redirect_uris: [callback],
        contacts: ["mailto:udap@ehr.sandbox.test"],
        logo_uri: `${sandbox.issuer}/logo.png`,
        grant_types: ["authorization_code"],
        response_types: ["code"],
        token_endpoint_auth_method: "private_key_jwt",
        scope: "openid udap"
      }, credentials)
      const { client_id: clientId } = yield* sendJson(
        registration,
        JSON.stringify({ software_statement: statement, udap: "1" })
      )
      return typeof clientId === "string"
        ? { clientId, credentials, authorizationEndpoint, tokenEndpoint }
        : yield* invalidIdp(valid, "the identity provider has registered no client")
    })

  const clientFor = (valid: ValidRequest): Effect.Effect<IdpClient, Authorize.RedirectedError> =>
    Effect.gen(function*() {
      if (valid.idp !== idp) return yield* invalidIdp(valid, "the sandbox knows no such identity provider")
      const known = clients.get(idp)
      if (known !== undefined) return known
      const client = yield* register(valid)
      clients.set(idp, client)
      return client
    })

  /** The authentication request to the identity provider. */
  const start = (valid: ValidRequest): Effect.Effect<URL, Authorize.RedirectedError> =>
    Effect.gen(function*() {
      const client = yield* clientFor(valid)
      const state = random()
      const nonce = random()
      const challengeVerifier = `${random()}${random()}`
      logins.set(state, { request: valid, client, idp, nonce, challengeVerifier })
      const url = new URL(client.authorizationEndpoint)
      url.search = new URLSearchParams({
        response_type: "code",
        client_id: client.clientId,
        redirect_uri: callback,
        scope: "openid udap",
        state,
        nonce,
        code_challenge: yield* Token.challengeOf(challengeVerifier),
        code_challenge_method: "S256"
      }).toString()
      return url
    })

  const verifyIdToken = ({ client, nonce, request: valid }: PendingLogin, jwt: unknown) =>
    UdapJwt.verify(pki, typeof jwt === "string" ? jwt : "", ONE_YEAR).pipe(
      Effect.filterOrFail(({ claims, uris }) =>
        claims["iss"] === idp && uris.includes(idp) && claims["aud"] === client.clientId && claims["nonce"] === nonce
      ),
      Effect.mapError(() => invalidIdp(valid, "the ID token of the identity provider is invalid")),
      Effect.map(({ claims }) => claims["sub"])
    )

  /** The user of this sandbox with a subject of the identity provider. */
  const userOf = (subject: unknown): string | undefined =>
    ["Practitioner", "Patient"].flatMap((type) => sandbox.store.search(type, []).map(({ id }) => `${type}/${id}`))
      .find((user) => Token.subjectOf(user) === subject)

  /** The authorization request of a callback from the identity provider, with its user. */
  const complete = (query: Http.Pairs): Effect.Effect<ValidRequest | undefined, Authorize.RedirectedError> =>
    Effect.gen(function*() {
      const params = Http.toParams(query)
      const state = params.get("state") ?? ""
      const login = logins.get(state)
      if (login === undefined) return undefined
      logins.delete(state)
      const { challengeVerifier, client, request: valid } = login
      const code = params.get("code")
      if (code === undefined) {
        return yield* params.get("error") === "access_denied"
          ? refuse(valid, "access_denied", "the identity provider has not authenticated the user")
          : invalidIdp(valid, "the identity provider responded with an error")
      }
      const assertion = yield* UdapJwt.sign({
        iss: client.clientId,
        sub: client.clientId,
        aud: client.tokenEndpoint,
        ...(yield* timed)
      }, client.credentials)
      const form = new URLSearchParams({
        grant_type: "authorization_code",
        code,
        redirect_uri: callback,
        code_verifier: challengeVerifier,
        client_assertion_type: assertionType,
        client_assertion: assertion,
        udap: "1"
      })
      const tokens = yield* sendJson(client.tokenEndpoint, form.toString(), "application/x-www-form-urlencoded")
      const user = userOf(yield* verifyIdToken(login, tokens["id_token"]))
      return user === undefined
        ? yield* refuse(valid, "access_denied", "the user of the identity provider is unknown here")
        : { ...valid, user }
    })

  return { callback, start, complete }
}
