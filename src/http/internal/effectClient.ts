/**
 * Requests over any `HttpClient` of Effect within a time limit: what is not read to its end is aborted. A
 * `FastTransport` applies time limits itself.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRefs from "effect/FiberRefs"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as TimeLimit from "../../base/TimeLimit.js"
import { scopedRequests } from "../ScopedRequests.js"

const always = () => true

/**
 * The environment of a request. Without tracing headers, which break CORS, and without spans, which would hold URLs
 * with queries. `fetch` sends no cookies and follows no redirects; other clients ignore its settings.
 */
const environmentOf = <R>({ context, fiberRefs, runtimeFlags }: Runtime.Runtime<R>): Runtime.Runtime<R> => {
  const init = Context.getOption(context as Context.Context<never>, FetchHttpClient.RequestInit)
  return Runtime.make({
    context: Context.add(context, FetchHttpClient.RequestInit, {
      credentials: "omit",
      ...Option.getOrUndefined(init),
      redirect: "manual"
    }) as Context.Context<R>,
    fiberRefs: FiberRefs.updateManyAs(fiberRefs, {
      entries: [
        [HttpClient.currentTracerPropagation, [[FiberId.none, false]]],
        [HttpClient.currentTracerDisabledWhen, [[FiberId.none, always]]]
      ]
    }),
    runtimeFlags
  })
}

const isIsolated = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => {
  const init = Context.getOption(fiber.currentContext as Context.Context<never>, FetchHttpClient.RequestInit)
  return Option.isSome(init) && init.value.redirect === "manual" && init.value.credentials !== undefined &&
    !fiber.getFiberRef(HttpClient.currentTracerPropagation) &&
    fiber.getFiberRef(HttpClient.currentTracerDisabledWhen) === always
}

/** The client in the environment of a request, also if its caller has another. */
export const isolated = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transformResponse(client, (response) =>
    Effect.withFiberRuntime((fiber) =>
      isIsolated(fiber)
        ? response
        : Effect.flatMap(Effect.runtime<never>(), (runtime) => Effect.provide(response, environmentOf(runtime)))
    ))

/** Sends requests within one time limit. */
export interface Sender {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest,
    url: URL
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
  /** Closes a response whose body is not read. */
  readonly discard: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<void>
}

/** Responses whose body was read to its end: to abort their requests costs as much as a request. */
const complete = new WeakSet<HttpClientResponse.HttpClientResponse>()

export const markComplete = (response: HttpClientResponse.HttpClientResponse): void => void complete.add(response)

interface OpenRequest {
  readonly controller: AbortController
  response: HttpClientResponse.HttpClientResponse | undefined
}

/** A sender, and a function that aborts its requests whose bodies were not read to their ends. */
const abortableSender = (client: HttpClient.HttpClient): { readonly sender: Sender; readonly abort: () => void } => {
  let open: Array<OpenRequest> = []
  const abort = () => {
    for (const { controller, response } of open) {
      if (response === undefined || !complete.has(response)) controller.abort()
    }
    open = []
  }
  const abortable = HttpClient.transform(client, (effect, request) => {
    const opened: OpenRequest = { controller: new AbortController(), response: undefined }
    open.push(opened)
    scopedRequests.set(request, opened.controller)
    return Effect.map(effect, (response) => opened.response = response)
  })
  return { abort, sender: { execute: abortable.execute, discard: () => Effect.sync(abort) } }
}

/** A sender whose requests end with the scope, for responses that are read as streams. */
export const scopedSender = (client: HttpClient.HttpClient, scope: Scope.Scope): Sender => {
  const scoped = HttpClient.withScope(client)
  return { execute: (request) => Scope.extend(scoped.execute(request), scope), discard: () => Effect.void }
}

/** A time limit for all that `use` sends and reads. */
export const within = <A, E, R>(
  client: HttpClient.HttpClient,
  timeout: Duration.DurationInput,
  onTimeout: () => E,
  use: (sender: Sender) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const { abort, sender } = abortableSender(client)
    return TimeLimit.timeoutFail(use(sender), {
      limit: timeout,
      onTimeout,
      environment: environmentOf,
      awaitsInterruption: true,
      onEnd: abort
    })
  })
