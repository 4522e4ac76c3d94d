/**
 * Guards of the EHR's pages and forms: the user is signed in, and the form came from a page of the EHR.
 *
 * The cookie is `SameSite=Strict`, so a request after a link or redirect from another site has no cookie. The EHR then
 * shows a page that loads the same address again from this site, with the cookie.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { buttonLink, pageHeading } from "../ui/Components.js"
import type { Child } from "../ui/Html.js"
import { html } from "../ui/Html.js"
import type { Page } from "../ui/Page.js"
import { respond, seeOther } from "../ui/Page.js"
import { queryOf } from "../ui/query.js"
import type { Ehr } from "./Ehr.js"
import type { Person } from "./record.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** A page request of a signed-in user. */
export interface PageRequest {
  readonly person: Person
  readonly query: URLSearchParams
  /** The parameter of the path. */
  readonly param: string
}

/** An error page. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly title: string
  readonly detail: string
}> {}

/** Allows frames of the EHR: an app in such a frame redirects to these pages. */
export const inOwnFrame: ReadonlyArray<string> = ["'self'"]

/** A path of this site only, for redirects that a form asks for. */
export const localPath = (ehr: Ehr, path: string | null | undefined): string => {
  if (path === null || path === undefined || !path.startsWith("/") || !URL.canParse(path, ehr.origin)) return "/"
  const url = new URL(path, ehr.origin)
  // `/.//evil.example` is a path here, and another site once it stands alone.
  return url.origin === ehr.origin && !url.pathname.startsWith("//") ? `${url.pathname}${url.search}` : "/"
}

/** The user's menu in the header. */
export const account = (person: Person): Child =>
  html`<span>${person.name}</span><form method="post" action="/logout"><button type="submit" class="button">Sign out</button></form>`

/** Sends a page. */
export const show = (ehr: Ehr, page: Page): Response => respond(ehr.site, page)

/** The error page. */
export const problemPage = (ehr: Ehr, { detail, status, title }: Problem): Response =>
  show(ehr, {
    title,
    status,
    focused: true,
    policy: { framedBy: inOwnFrame, openedByApps: true },
    main: html`<div class="card">${pageHeading(title, { lead: detail })}
<p class="actions">${buttonLink("/", "To the patient list", "primary")}</p></div>`
  })

const cameFromElsewhere = ({ headers }: Request): boolean => {
  const site = headers["sec-fetch-site"]
  return site === "cross-site" || site === "same-site"
}

const reloadPage = (ehr: Ehr, address: string): Response =>
  show(ehr, {
    title: "One moment",
    focused: true,
    refresh: { seconds: 0, to: address },
    policy: { framedBy: inOwnFrame, openedByApps: true },
    main: html`${pageHeading("One moment")}
<p><a href="${address}">Continue</a></p>`
  })

/** The signed-in user. */
export const signedIn = (ehr: Ehr, request: Request): Effect.Effect<Person | undefined> =>
  ehr.signIns.find(request.cookies[ehr.cookie] ?? "")

const signInAt = (next: string): string => `/login?${new URLSearchParams({ next }).toString()}`

const answerProblem = (ehr: Ehr) => (problem: Problem): Effect.Effect<Response> =>
  Effect.succeed(problemPage(ehr, problem))

/** A page for signed-in users. */
export const page = (
  ehr: Ehr,
  path: HttpLayerRouter.PathInput,
  render: (visit: PageRequest) => Effect.Effect<Page, Problem>
): HttpLayerRouter.Route =>
  HttpLayerRouter.route("GET", path, (request) =>
    Effect.gen(function*() {
      const address = localPath(ehr, request.url)
      const person = yield* signedIn(ehr, request)
      if (person === undefined) {
        return cameFromElsewhere(request) ? reloadPage(ehr, address) : seeOther(signInAt(address))
      }
      const { params } = yield* HttpLayerRouter.RouteContext
      const rendered = yield* render({ person, query: queryOf(request), param: params["id"] ?? "" })
      return show(ehr, { account: account(person), ...rendered })
    }).pipe(Effect.catchTag("Problem", answerProblem(ehr))))

/** A page without sign-in. */
export const openPage = (
  ehr: Ehr,
  path: HttpLayerRouter.PathInput,
  render: (query: URLSearchParams, person: Person | undefined) => Effect.Effect<Page>
): HttpLayerRouter.Route =>
  HttpLayerRouter.route("GET", path, (request) =>
    Effect.gen(function*() {
      const person = yield* signedIn(ehr, request)
      return show(ehr, yield* render(queryOf(request), person))
    }))

/**
 * Whether a page of the EHR sent this request, by `Sec-Fetch-Site`, which no page can set, or by `Origin` in old
 * browsers. A request without both is rejected.
 */
const isOwn = (ehr: Ehr, { headers }: Request): boolean => {
  const site = headers["sec-fetch-site"]
  return site === undefined ? headers["origin"] === ehr.origin : site === "same-origin"
}

const readForm = (request: Request): Effect.Effect<URLSearchParams, Problem> =>
  Effect.gen(function*() {
    const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase()
    if (type !== "application/x-www-form-urlencoded") {
      return yield* new Problem({
        status: 415,
        title: "Not a form",
        detail: "This address accepts only forms of this site."
      })
    }
    const body = yield* Effect.mapError(request.text, () =>
      new Problem({
        status: 400,
        title: "Not readable",
        detail: "The form is incomplete. Please send it again."
      }))
    return new URLSearchParams(body)
  })

/** The form of a request that a page of the EHR sent. */
const ownForm = (ehr: Ehr, request: Request): Effect.Effect<URLSearchParams, Problem> =>
  isOwn(ehr, request)
    ? readForm(request)
    : new Problem({
      status: 403,
      title: "Sent from another site",
      detail: "Another site made your browser send this form. Nothing was changed. Please use the page of this EHR."
    })

/**
 * A form for signed-in users. It is uninterruptible, because a browser aborts the first request of a double click.
 * `returnTo` is the page after a sign-in.
 */
export const action = (
  ehr: Ehr,
  path: HttpLayerRouter.PathInput,
  act: (form: URLSearchParams, person: Person) => Effect.Effect<Response, Problem>,
  returnTo: (form: URLSearchParams) => string = () => path
): HttpLayerRouter.Route =>
  HttpLayerRouter.route("POST", path, (request) =>
    Effect.gen(function*() {
      const form = yield* ownForm(ehr, request)
      const person = yield* signedIn(ehr, request)
      return person === undefined ? seeOther(signInAt(localPath(ehr, returnTo(form)))) : yield* act(form, person)
    }).pipe(Effect.catchTag("Problem", answerProblem(ehr))), { uninterruptible: true })

/** A form without sign-in. */
export const openAction = (
  ehr: Ehr,
  path: HttpLayerRouter.PathInput,
  act: (form: URLSearchParams, request: Request) => Effect.Effect<Response, Problem>
): HttpLayerRouter.Route =>
  HttpLayerRouter.route(
    "POST",
    path,
    (request) =>
      Effect.flatMap(ownForm(ehr, request), (form) => act(form, request)).pipe(
        Effect.catchTag("Problem", answerProblem(ehr))
      ),
    { uninterruptible: true }
  )
