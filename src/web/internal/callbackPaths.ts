/**
 * The callback paths of an app: its own, one segment below it (for servers that are added later), and those of the
 * configured redirect URIs. Apps on one router may share servers, but each path belongs to one app.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Url from "../../base/Url.js"
import * as WebApp from "../WebApp.js"

const METHODS = ["GET", "POST"] as const

/** Handles the callbacks of one app at a path. */
export type Handler = (
  method: (typeof METHODS)[number],
  path: string
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

interface Owner {
  readonly app: WebApp.Service
  readonly isOwn: boolean
  readonly handler: Handler
}

/** The owners on one router, by route path. */
export type Owners = Map<string, Owner>

/**
 * The apps and paths of a router. `HttpLayerRouter.serve` builds its layer twice, but a route can be added only once. A
 * memoised layer would not help: the second of two apps would have no routes.
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

/** The route path of a redirect URI of this app. */
const patternOf = (app: WebApp.Service, redirectUri: string): string | undefined => {
  const url = Url.parse(redirectUri)
  if (url === undefined || url.origin !== app.origin) return undefined
  const path = withoutSlash(url.pathname)
  if (!WebApp.isPlainPath(path) || ["/", app.paths.launch, app.paths.logout].includes(path)) return undefined
  const below = path.startsWith(`${ownPath(app)}/`) ? path.slice(ownPath(app).length + 1) : undefined
  return below === undefined || below.includes("/") ? path : `${ownPath(app)}/:server`
}

/** Whether this app handles callbacks at this redirect URI. */
export const isMounted = (owners: Owners, app: WebApp.Service, redirectUri: string | undefined): boolean => {
  const pattern = redirectUri === undefined ? undefined : patternOf(app, redirectUri)
  return pattern !== undefined && owners.get(pattern)?.app === app
}

/**
 * The callback routes that the router does not have yet. A path belongs to the app that has it as its own callback
 * path, otherwise to the first app with a server that uses it.
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
