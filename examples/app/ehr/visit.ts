/**
 * What happens before a page or a button of the EHR does anything: is the person signed in, and did a page of the EHR itself make the browser
 * send this?
 *
 * The cookie is `SameSite=Strict`, so that it is not there when another site led here, be it by a link or by an app's redirect. What is shown then
 * is a page that loads the same address once more, from this site itself, and that request has the cookie.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { pageHeading } from "../ui/Components.js"
import type { Child } from "../ui/Html.js"
import { html } from "../ui/Html.js"
import type { Page } from "../ui/Page.js"
import { respond, seeOther } from "../ui/Page.js"
import { queryOf } from "../ui/query.js"
import type { Ehr } from "./Ehr.js"
import type { Person } from "./record.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Somebody who is signed in looks at a page. */
export interface Visit {
  readonly person: Person
  readonly query: URLSearchParams
  /** The part of the path that has no fixed name. */
  readonly param: string
}

/** A page that says why there is no other. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly title: string
  readonly detail: string
}> {}

/** May stand in a frame of the EHR: an app that runs there is sent to these pages. */
export const inOwnFrame: ReadonlyArray<string> = ["'self'"]

/** A path of this site, and of no other: what a form says where to go on. */
export const localPath = (ehr: Ehr, path: string | null | undefined): string => {
  if (path === null || path === undefined || !path.startsWith("/") || !URL.canParse(path, ehr.origin)) return "/"
  const url = new URL(path, ehr.origin)
  // `/.//evil.example` is a path here, and another site once it stands alone.
  return url.origin === ehr.origin && !url.pathname.startsWith("//") ? `${url.pathname}${url.search}` : "/"
}

/** At the right of the header. */
export const account = (person: Person): Child =>
  html`<span>${person.name}</span><form method="post" action="/logout"><button type="submit" class="button">Sign out</button></form>`

/** Sends a page. */
export const show = (ehr: Ehr, page: Page): Response => respond(ehr.site, page)

/** The page that says what went wrong. */
export const problemPage = (ehr: Ehr, { detail, status, title }: Problem): Response =>
  show(ehr, {
    title,
    status,
    focused: true,
    policy: { framedBy: inOwnFrame, openedByApps: true },
    main: html`${pageHeading(title, { lead: detail })}
<p><a href="/">To the patient list</a></p>`
  })

const cameFromElsewhere = ({ headers }: Request): boolean => {
  const site = headers["sec-fetch-site"]
  return site === "cross-site" || site === "same-site"
}

const onceMore = (ehr: Ehr, address: string): Response =>
  show(ehr, {
    title: "One moment",
    focused: true,
    refresh: { seconds: 0, to: address },
    policy: { framedBy: inOwnFrame, openedByApps: true },
    main: html`${pageHeading("One moment")}
<p><a href="${address}">Continue</a></p>`
  })

/** Who is signed in, if anybody is. */
export const signedIn = (ehr: Ehr, request: Request): Effect.Effect<Person | undefined> =>
  ehr.signIns.find(request.cookies[ehr.cookie] ?? "")

const signInAt = (next: string): string => `/login?${new URLSearchParams({ next }).toString()}`

const answerProblem = (ehr: Ehr) => (problem: Problem): Effect.Effect<Response> =>
  Effect.succeed(problemPage(ehr, problem))

/** A page for people who are signed in. */
export const page = (
  ehr: Ehr,
  path: HttpLayerRouter.PathInput,
  render: (visit: Visit) => Effect.Effect<Page, Problem>
): HttpLayerRouter.Route =>
  HttpLayerRouter.route("GET", path, (request) =>
    Effect.gen(function*() {
      const address = localPath(ehr, request.url)
      const person = yield* signedIn(ehr, request)
      if (person === undefined) {
        return cameFromElsewhere(request) ? onceMore(ehr, address) : seeOther(signInAt(address))
      }
      const { params } = yield* HttpLayerRouter.RouteContext
      const rendered = yield* render({ person, query: queryOf(request), param: params["id"] ?? "" })
      return show(ehr, { account: account(person), ...rendered })
    }).pipe(Effect.catchTag("Problem", answerProblem(ehr))))

/** A page for anybody. */
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
 * Whether a page of the EHR made the browser send this: by `Sec-Fetch-Site`, which no page can write, or by `Origin` where an old browser has only
 * that. A request with neither is not believed.
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
        detail: "This address takes the forms of this site only."
      })
    }
    const body = yield* Effect.mapError(request.text, () =>
      new Problem({
        status: 400,
        title: "Not readable",
        detail: "The form did not arrive whole. Please send it again."
      }))
    return new URLSearchParams(body)
  })

/** The form of a request that a page of the EHR sent. */
const ownForm = (ehr: Ehr, request: Request): Effect.Effect<URLSearchParams, Problem> =>
  isOwn(ehr, request)
    ? readForm(request)
    : new Problem({
      status: 403,
      title: "Sent from somewhere else",
      detail:
        "Another site made your browser send this form. Nothing was done. If you meant it, use the page of this EHR."
    })

/**
 * A button for people who are signed in. Of two clicks a browser gives the first up: what that one began is done all the same. `returnTo` says where to go on when one has to
 * sign in first.
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

/** A button for anybody. */
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
