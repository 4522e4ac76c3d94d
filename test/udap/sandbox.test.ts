/** All flows of an app at the sandbox, over HTTP on a loopback port. */
import { createServer } from "node:http"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { BackendServices, FhirClient, RetryPolicy, Sessions, SessionStore, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import {
  AuthorizationExtension,
  Certification,
  ClientCertificate,
  TieredOAuth,
  TrustPolicy,
  UdapAuthentication,
  UdapDiscovery,
  UdapRegistration
} from "effect-safire/udap"

const REDIRECT = "https://app.example.org/callback"

const sandbox = (options: SandboxUdap.Options = {}) =>
  SandboxUdap.layerServer(options).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0 })))

const certificateOf = ({ chainPem, privateKeyPem }: SandboxUdap.Credentials) =>
  ClientCertificate.fromPem({ chain: chainPem, privateKey: privateKeyPem })

/** A backend service and an app with users at the sandbox, each with a certificate of its own. */
const apps = (change: Partial<UdapAuthentication.Options> = {}, kind?: SandboxUdap.CertificateKind) =>
  Layer.unwrapEffect(Effect.gen(function*() {
    const { fhirBaseUrl } = yield* SandboxEhr.SandboxEhr
    const udap = yield* SandboxUdap.SandboxUdap
    const [community = ""] = udap.communities
    const issue = (uri: string) =>
      Effect.flatMap(udap.issueCertificate({ uri, community, ...(kind === undefined ? {} : { kind }) }), certificateOf)
    const common = {
      community,
      clientName: "Growth Chart",
      contacts: ["mailto:it@example.org"],
      logoUri: "https://app.example.org/logo.png",
      ...change
    }
    const server = { fhirBaseUrl, allowInsecureLocalhost: true }
    return Layer.mergeAll(BackendServices.layerWith({}), Sessions.layerWith({}), FhirClient.layer).pipe(
      Layer.provideMerge(SmartServers.layer({
        backend: {
          ...server,
          scopes: ["system/*.rs"],
          authentication: UdapAuthentication.layer({
            certificate: yield* issue("https://app.example.org/backend"),
            ...common
          })
        },
        users: {
          ...server,
          redirectUri: REDIRECT,
          scopes: ["openid", "fhirUser", "udap", "launch/patient", "patient/*.rs", "offline_access"],
          authentication: UdapAuthentication.layer({
            certificate: yield* issue("https://app.example.org/users"),
            ...common
          })
        }
      })),
      Layer.provideMerge(UdapRegistration.layer),
      Layer.provideMerge(UdapDiscovery.layer()),
      Layer.provideMerge(TrustPolicy.layer({
        communities: {
          [community]: {
            anchors: yield* udap.anchors(community),
            crls: yield* udap.crls(community),
            revocation: "required"
          }
        },
        allowInsecureLocalhost: true
      })),
      Layer.provideMerge(SessionStore.layerMemory),
      Layer.provideMerge(FetchHttpClient.layer),
      Layer.provide(RetryPolicy.layer(RetryPolicy.none))
    )
  }))

const b2b = AuthorizationExtension.b2b({
  organizationId: "https://clinic.example.org",
  organizationName: "North Clinic",
  purposeOfUse: [AuthorizationExtension.purposeOfUse("TREAT")],
  subject: { kind: "System", name: "Night batch" }
})

const token = Effect.gen(function*() {
  const backend = yield* BackendServices.BackendServices
  return yield* backend.accessToken({ server: "backend", extensions: yield* b2b })
})

describe("an app at the sandbox, over HTTP", () => {
  it.live("a backend service registers, asserts hl7-b2b, and gets a token", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const accessToken = yield* Effect.provide(token, apps())
      assert.deepStrictEqual(yield* udap.tokenContext(Redacted.value(accessToken)), yield* b2b)
      const [registered, ...others] = yield* udap.registrations
      assert.lengthOf(others, 0)
      assert.deepInclude(registered, { clientUri: "https://app.example.org/backend", status: "Active" })
    }).pipe(Effect.provide(sandbox())), 60_000)

  it.live(
    "a user logs in, the session is renewed, and a person of an identity provider logs in",
    () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const udap = yield* SandboxUdap.SandboxUdap
        yield* Effect.gen(function*() {
          const sessions = yield* Sessions.Sessions
          const client = yield* Effect.flatMap(SmartServers.SmartServers, (servers) => servers.client("users"))
          const { url } = yield* sessions.startLaunch({ server: "users" })
          const id = yield* sessions.completeLaunch(yield* ehr.approve(url))
          const first = yield* sessions.accessToken(id)
          assert.notStrictEqual(
            Redacted.value(yield* sessions.accessTokenAfter(id, first)),
            Redacted.value(first)
          )
          const options = yield* TieredOAuth.authorizeOptions(client, { url: udap.identityProvider })
          const tiered = yield* client.authorize(options)
          const callback = yield* ehr.approve(tiered.url, { user: "Patient/patient-beta" })
          const { identity } = yield* client.exchange(callback, tiered.pending)
          assert.match(identity?.fhirUser?.url ?? "", /patient-beta/)
          const refused = yield* client.authorize({ ...options, params: { idp: "https://unknown.example.org" } })
          const error = yield* Effect.flip(
            Effect.flatMap(ehr.approve(refused.url), (refusal) => client.exchange(refusal, refused.pending))
          )
          assert.deepInclude(error, { _tag: "AuthorizationError", reason: "InvalidIdentityProvider" })
        }).pipe(Effect.provide(apps()))
      }).pipe(Effect.provide(sandbox())),
    60_000
  )

  it.live("an app sends a required certification, and cancels its registration", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const [community = ""] = udap.communities
      const { fhirBaseUrl } = yield* SandboxEhr.SandboxEhr
      yield* Effect.gen(function*() {
        const registration = yield* UdapRegistration.UdapRegistration
        const certificate = yield* Effect.flatMap(
          udap.issueCertificate({ uri: "https://app.example.org/third", community }),
          certificateOf
        )
        const request = {
          fhirBaseUrl,
          community,
          certificate,
          metadata: {
            clientName: "Growth Chart",
            contacts: ["mailto:it@example.org"],
            grantTypes: ["client_credentials" as const],
            scopes: ["system/*.rs"]
          },
          allowInsecureLocalhost: true
        }
        assert.deepInclude(yield* Effect.flip(registration.register(request)), { reason: "Missing" })
        const certifications = [yield* Certification.make(certificate, { name: "Basic", uris: ["urn:basic"] })]
        yield* registration.register({ ...request, certifications })
        yield* registration.cancel({ ...request, certifications })
      }).pipe(Effect.provide(apps()))
      assert.deepStrictEqual((yield* udap.registrations).map(({ status }) => status), ["Cancelled"])
    }).pipe(Effect.provide(sandbox({ udap: { requiredCertifications: ["urn:basic"] } }))), 60_000)

  it.live.each(["Revoked", "UnknownRoot"] as const)(
    "a certificate of the kind %s is refused at the registration",
    (kind) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.provide(token, apps({}, kind)))
        assert.deepInclude(error, { _tag: "ClientAuthenticationError", reason: "RegistrationFailed" })
        assert.deepInclude(
          { ...(error as { readonly cause?: object }).cause },
          { reason: "UnapprovedSoftwareStatement" }
        )
      }).pipe(Effect.provide(sandbox())),
    60_000
  )

  it.live(
    "a server whose metadata another key signed gets neither a registration nor an assertion",
    () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const udap = yield* SandboxUdap.SandboxUdap
        yield* udap.misbehave({ signature: "OtherKey" })
        const error = yield* Effect.flip(Effect.provide(token, apps()))
        assert.deepInclude(error, { _tag: "ClientAuthenticationError", reason: "ServerNotTrusted" })
        const steps = (yield* ehr.requests).map(({ step }) => step)
        assert.notInclude(steps, "register")
        assert.notInclude(steps, "token")
      }).pipe(Effect.provide(sandbox())),
    60_000
  )
})
