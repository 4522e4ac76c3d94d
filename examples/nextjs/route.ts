/**
 * A route handler of Next.js: `app/[...smart]/route.ts` of your project. Next.js prefers pages and routes with a fixed
 * path, so this one gets `/launch`, `/callback`, `/logout` and `/patient`.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as PatientApp from "../support/patientApp.js"

/** `SMART_BASE_URL` is the address of the app, `SMART_FHIR_BASE_URL` that of the server. */
const routes = PatientApp.layer({
  baseUrl: process.env["SMART_BASE_URL"] ?? "http://localhost:3000",
  fhirBaseUrl: process.env["SMART_FHIR_BASE_URL"] ?? ""
})

const make = () => HttpLayerRouter.toWebHandler(routes)

/** The development server loads this module again after each change: the sessions stay, because the handler does. */
const shared = globalThis as { smartHandler?: ReturnType<typeof make> }
const { handler } = shared.smartHandler ??= make()

/** The routes depend on cookies and parameters. */
export const dynamic = "force-dynamic"
/** The transport and most stores need Node. */
export const runtime = "nodejs"

export const GET = (request: Request): Promise<Response> => handler(request)
export const POST = (request: Request): Promise<Response> => handler(request)
