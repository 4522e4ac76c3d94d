/**
 * The sandbox EHR with a web site: users sign in, open records, launch apps, give consent and revoke it. Developers add
 * faults and read the request log.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import * as Assets from "../ui/Assets.js"
import { code } from "../ui/Components.js"
import { html } from "../ui/Html.js"
import { seeOther } from "../ui/Page.js"
import { resources as ownResources } from "./demoResources.js"
import type { App, Ehr } from "./Ehr.js"
import { makeAvailability, makeFormKeys, makeSignIns } from "./Ehr.js"
import { steps } from "./faults.js"
import { Problem, problemPage } from "./guards.js"
import * as Access from "./pages/Access.js"
import * as Chart from "./pages/Chart.js"
import * as Clients from "./pages/Clients.js"
import * as Consent from "./pages/Consent.js"
import * as Faults from "./pages/Faults.js"
import * as Log from "./pages/Log.js"
import * as Patients from "./pages/Patients.js"
import * as SignIn from "./pages/SignIn.js"
import { peopleOf } from "./record.js"

export type { App } from "./Ehr.js"
export { resources } from "./demoResources.js"
export { vitals } from "./vitals.js"

/** The settings of the site: those of the sandbox, and the apps that can be launched. */
export interface Options extends Omit<SandboxUdap.Options, "autoApprove" | "consentPage" | "fhirBaseUrl"> {
  /** Of the hospital (default: Sandbox Hospital). */
  readonly name?: string | undefined
  /** The apps in the patient list. They must be among `clients`, too. */
  readonly apps: ReadonlyArray<App>
}

const originOf = (address: HttpServer.Address): string =>
  address._tag === "UnixAddress" ? "http://localhost" : `http://${address.hostname}:${address.port}`

/** The EHR of a site, with the control of its UDAP. */
const assemble = (origin: string, { apps, name = "Sandbox Hospital", ...options }: Options) =>
  Effect.gen(function*() {
    const { resources = ownResources } = options
    const settings = {
      ...options,
      resources,
      fhirBaseUrl: `${origin}/fhir`,
      autoApprove: false,
      consentPage: (ticket: string) => `${origin}/consent?${new URLSearchParams({ ticket }).toString()}`
    }
    const { ehr: sandbox, udap } = options.udap === undefined
      ? { ehr: yield* SandboxEhr.make(settings), udap: undefined }
      : yield* SandboxUdap.make(settings)
    const ehr: Ehr = {
      site: {
        theme: "ehr",
        name,
        tagline: "Electronic health record",
        nav: [
          { href: "/", label: "Patients" },
          { href: "/access", label: "Apps with access" },
          { href: "/clients", label: "Registered apps" },
          { href: "/log", label: "Request log" },
          { href: "/faults", label: "Faults" }
        ],
        footer: html`A sandbox with synthetic users and records. FHIR base URL: ${code(sandbox.fhirBaseUrl)}`
      },
      origin,
      sandbox,
      apps,
      resources,
      people: peopleOf(resources),
      // Cookies ignore ports, so each EHR on this computer has its own cookie name.
      cookie: `ehr-session-${new URL(origin).port}`,
      signIns: makeSignIns(),
      formKeys: makeFormKeys(),
      availability: makeAvailability(sandbox, steps.map(({ step }) => step)),
      faultLabels: new WeakMap()
    }
    return { ehr, udap }
  })

const pages = (ehr: Ehr) =>
  Layer.merge(
    HttpLayerRouter.addAll([
      ...SignIn.routes(ehr),
      ...Patients.routes(ehr),
      ...Chart.routes(ehr),
      ...Consent.routes(ehr),
      ...Access.routes(ehr),
      ...Clients.routes(ehr),
      ...Faults.routes(ehr),
      ...Log.routes(ehr)
    ]),
    Assets.layer
  )

const broken = new Problem({
  status: 500,
  title: "Internal error",
  detail: "The log of this EHR has details."
})

const notFound = new Problem({
  status: 404,
  title: "Page not found",
  detail: "This EHR has no page at this address."
})

/** Sends protocol requests to the sandbox and all others to the site. */
const dispatch = (ehr: Ehr, site: HttpApp.Default<never, Scope.Scope>): HttpApp.Default<never, Scope.Scope> => {
  const { endpoints, fhirBaseUrl, issuer } = ehr.sandbox
  // The identity provider, and the CRLs of the trust communities.
  const roots = [...[fhirBaseUrl, issuer].map((url) => new URL(url).pathname), "/idp", "/pki"]
  const management = new URL(endpoints.management).pathname
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => {
    const path = url.split("?")[0] ?? ""
    // The sandbox's own page needs no sign-in.
    if (path === management) return Effect.succeed(seeOther("/access"))
    return roots.some((root) => path === root || path.startsWith(`${root}/`)) ? ehr.sandbox.httpApp : site
  })
}

/** The EHR at an origin: its sandbox and its `HttpApp`. */
export const make = (
  origin: string,
  options: Options
): Effect.Effect<
  {
    readonly sandbox: SandboxEhr.Service
    /** With the option `udap`. */
    readonly udap: SandboxUdap.Service | undefined
    readonly httpApp: HttpApp.Default<never, Scope.Scope>
  },
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const { ehr, udap } = yield* assemble(origin, options)
    // Each site has a router of its own, also if several are built together.
    const router = yield* HttpLayerRouter.toHttpEffect(pages(ehr)).pipe(
      Effect.provideServiceEffect(Layer.CurrentMemoMap, Layer.makeMemoMap)
    )
    const site = router.pipe(
      Effect.catchTag("RouteNotFound", () => Effect.succeed(problemPage(ehr, notFound))),
      Effect.catchAllDefect((defect) => Effect.as(Effect.logError("a page failed", defect), problemPage(ehr, broken)))
    )
    return { sandbox: ehr.sandbox, udap, httpApp: dispatch(ehr, site) }
  })

/**
 * The EHR on an `HttpServer`: its endpoints for apps and its pages for users. The FHIR base URL is `/fhir` at the
 * server's address.
 */
export const layer = (options: Options): Layer.Layer<SandboxEhr.SandboxEhr, never, HttpServer.HttpServer> =>
  Layer.scoped(
    SandboxEhr.SandboxEhr,
    Effect.gen(function*() {
      const server = yield* HttpServer.HttpServer
      const { httpApp, sandbox } = yield* make(originOf(server.address), options)
      yield* server.serve(httpApp).pipe(
        // Spans would carry codes and tickets in their URLs.
        HttpMiddleware.withTracerDisabledWhenEffect(() => true)
      )
      return sandbox
    })
  )
