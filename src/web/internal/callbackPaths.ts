/**
 * The paths at which an app waits for callbacks: its own, one segment below it, so that a server added later can have a redirect URI of its own, and those
 * of the redirect URIs that servers are configured with. Apps on one router may share their servers, but a path belongs to one app.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Url from "../../base/Url.js"
import * as WebApp from "../WebApp.js"

const METHODS = ["GET", "POST"] as const

/** Answers the callbacks of one app that arrive at a path. */
export type Handler = (
  method: (typeof METHODS)[number],
  path: string
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

interface Owner {
  readonly app: WebApp.Service
  readonly isOwn: boolean
  readonly handler: Handler
}

/** The owners on one router, by path as the router takes it. */
export type Owners = Map<string, Owner>

/**
 * What a router has already: `HttpLayerRouter.serve` builds the layer that it is given twice, and a route can be added once. A layer that is not built anew
 * would be no help: the second of two apps would have no routes.
 */
export interface Mounted {
  readonly apps: Array<ReadonlyArray<unknown>>
  readonly owners: Owners
}

const mounted = new WeakMap<HttpLayerRouter.HttpRouter, Mounted>()

export const mountedOn = (router: HttpLayerRouter.HttpRouter): Mounted => {
  const known = mounted.get(router)
  if (known !== undefined) return known
  const none: Mounted = { apps: [], owners: new Map() }
  mounted.set(router, none)
  return none
}

const withoutSlash = (path: string): string => path.length > 1 ? path.replace(/\/$/, "") : path

const ownPath = (app: WebApp.Service): string => withoutSlash(app.paths.callback)

/** The path of a redirect URI that leads to this app, as a router takes it. */
const patternOf = (app: WebApp.Service, redirectUri: string): string | undefined => {
  const url = Url.parse(redirectUri)
  if (url === undefined || url.origin !== app.origin) return undefined
  const path = withoutSlash(url.pathname)
  if (!WebApp.isPlainPath(path) || ["/", app.paths.launch, app.paths.logout].includes(path)) return undefined
  const below = path.startsWith(`${ownPath(app)}/`) ? path.slice(ownPath(app).length + 1) : undefined
  return below === undefined || below.includes("/") ? path : `${ownPath(app)}/:server`
}

/** Whether callbacks that are sent to this redirect URI arrive at this app. */
export const isMounted = (owners: Owners, app: WebApp.Service, redirectUri: string | undefined): boolean => {
  const pattern = redirectUri === undefined ? undefined : patternOf(app, redirectUri)
  return pattern !== undefined && owners.get(pattern)?.app === app
}

/**
 * The routes of an app's callbacks that a router does not have yet. A path that an app has as its own is taken over from an app that only has a server with
 * it, and is left to the app that came first otherwise.
 */
export const routes = (
  owners: Owners,
  app: WebApp.Service,
  redirectUris: ReadonlyArray<string>,
  handler: Handler
): ReadonlyArray<HttpLayerRouter.Route<never, HttpServerRequest.HttpServerRequest | HttpLayerRouter.RouteContext>> => {
  const own = [ownPath(app), `${ownPath(app)}/:server`]
  const patterns = new Set([...own, ...redirectUris.flatMap((redirectUri) => patternOf(app, redirectUri) ?? [])])
  return Array.from(patterns).flatMap((pattern) => {
    const isOwn = own.includes(pattern)
    const before = owners.get(pattern)
    if (before !== undefined && !isOwn) return []
    owners.set(pattern, { app, isOwn, handler })
    if (before !== undefined && !before.isOwn) return []
    return METHODS.map((method) =>
      HttpLayerRouter.route(
        method,
        pattern as HttpLayerRouter.PathInput,
        Effect.flatMap(HttpLayerRouter.RouteContext, ({ params }) => {
          const path = pattern.replace(":server", () => encodeURIComponent(params["server"] ?? ""))
          return (owners.get(pattern)?.handler ?? handler)(method, path)
        })
      )
    )
  })
}
