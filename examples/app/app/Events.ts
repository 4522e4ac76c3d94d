/**
 * The event log: the library's spans, all outgoing requests and all log messages, the latest few hundred of each in
 * memory. It needs a `Tracer`, a `Logger` and one wrapper of the `HttpClient`.
 *
 * It stores no query, header or body of a request, and of an error only its kind and its message; the library's
 * messages have no secrets and no patient data.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { ConformanceWarning, Sessions } from "effect-safire"

/** Why a step failed. */
export interface Failure {
  /** Such as `TokenError`. */
  readonly kind: string
  readonly reason: string | undefined
  readonly message: string | undefined
}

/** A step that has ended. */
export interface Step {
  readonly id: string
  readonly parent: string | undefined
  /** The same for all steps of one page request or timer. */
  readonly trace: string
  readonly name: string
  /** Milliseconds since 1970, with fractions. */
  readonly startedAt: number
  readonly millis: number
  /** The key of the server, or its address. */
  readonly server: string | undefined
  readonly request: { readonly method: string; readonly url: string; readonly status: number | undefined } | undefined
  readonly outcome: "ok" | "failed" | "interrupted"
  readonly failure: Failure | undefined
}

/** A line of the log. */
export interface Line {
  readonly at: number
  readonly level: "info" | "warning" | "error"
  readonly message: string
  /** The reference that the error page shows. */
  readonly reference: string | undefined
  readonly kind: string | undefined
}

export interface Service {
  /** The latest first. */
  readonly steps: Effect.Effect<ReadonlyArray<Step>>
  readonly lines: Effect.Effect<ReadonlyArray<Line>>
  /** Tolerated deviations of servers from the specification. */
  readonly warnings: Effect.Effect<ReadonlyArray<ConformanceWarning.ConformanceWarning>>
  /** Adds a line to this log only. */
  readonly note: (message: string) => Effect.Effect<void>
  readonly clear: Effect.Effect<void>
}

export class Events extends Context.Tag("examples/app/Events")<Events, Service>() {}

/** The latest `size` of something. */
const boundedList = <A>(size: number) => {
  const kept: Array<A> = []
  return {
    add: (one: A) => {
      kept.push(one)
      if (kept.length > size) kept.shift()
    },
    clear: () => {
      kept.length = 0
    },
    latestFirst: () => kept.slice().reverse()
  }
}

/** Errors whose message is made for a log. Of other errors only the kind is stored. */
const LOGGABLE_ERRORS: ReadonlySet<string> = new Set([
  "AuthorizationError",
  "ConfigurationError",
  "DiscoveryError",
  "FhirError",
  "IdTokenError",
  "LaunchError",
  "MetadataError",
  "RegistrationError",
  "SessionError",
  "TokenAudienceError",
  "TokenError",
  "UnknownServerError"
])

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

const failureOf = (cause: Cause.Cause<unknown>): Failure => {
  const error: unknown = Option.getOrUndefined(Cause.failureOption(cause))
  if (typeof error !== "object" || error === null || !("_tag" in error)) {
    return { kind: "Defect", reason: undefined, message: undefined }
  }
  const kind = String(error._tag)
  return {
    kind,
    reason: "reason" in error ? text(error.reason) : undefined,
    message: LOGGABLE_ERRORS.has(kind) && "message" in error ? text(error.message) : undefined
  }
}

/** An address without query, and without what names a resource: `/fhir/Patient/…`. */
const shownUrl = ({ url, urlParams }: HttpClientRequest.HttpClientRequest): string => {
  const [address = "", query] = url.split("?")
  const shown = address.replace(/(\/[A-Z][A-Za-z]+)\/[^/]+/g, "$1/…")
  return query === undefined && urlParams.length === 0 ? shown : `${shown}?…`
}

/** A path of the app, without the session handle: it is not a credential, but private. */
const shownPath = (path: string): string => path.replace(/^\/(sessions|logout)\/[^/]+/, "/$1/…")

/** Adds a span for each outgoing request, so that the log shows each attempt of a retry. */
const withRequestSpans = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) =>
    answer.pipe(
      Effect.tap(({ status }) => Effect.annotateCurrentSpan("status", status)),
      Effect.withSpan("request", {
        kind: "client",
        captureStackTrace: false,
        attributes: { method: request.method, url: shownUrl(request) }
      })
    ))

const tracer = (add: (step: Step) => void): Tracer.Tracer => {
  let made = 0
  const parents = new Set<string>()
  return Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => {
      const spanId = `step-${++made}`
      const above = Option.getOrUndefined(parent)
      if (above !== undefined) parents.add(above.spanId)
      const attributes = new Map<string, unknown>()
      let status: Tracer.SpanStatus = { _tag: "Started", startTime }
      const end = (endTime: bigint, exit: Exit.Exit<unknown, unknown>) => {
        status = { _tag: "Ended", startTime, endTime, exit }
        const isPage = name.startsWith("http.server")
        // Skips pages of the app that sent no request.
        if (!parents.delete(spanId) && isPage) return
        const method = text(attributes.get(isPage ? "http.request.method" : "method"))
        const code = attributes.get("status")
        const failed = Exit.isFailure(exit) ? exit.cause : undefined
        const interrupted = failed !== undefined && Cause.isInterruptedOnly(failed)
        add({
          id: spanId,
          parent: above?.spanId,
          trace: span.traceId,
          name,
          startedAt: Number(startTime / 1000n) / 1000,
          millis: Number(endTime - startTime) / 1e6,
          server: text(attributes.get("smart.server")) ?? text(attributes.get("smart.url")),
          request: method === undefined ? undefined : {
            method,
            url: isPage ? shownPath(text(attributes.get("url.path")) ?? "") : text(attributes.get("url")) ?? "",
            status: typeof code === "number" ? code : undefined
          },
          outcome: failed === undefined ? "ok" : interrupted ? "interrupted" : "failed",
          failure: failed === undefined || interrupted ? undefined : failureOf(failed)
        })
      }
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId,
        traceId: above?.traceId ?? `trace-${spanId}`,
        parent,
        context,
        get status() {
          return status
        },
        attributes,
        links: [...links],
        sampled: true,
        kind,
        end,
        attribute: (key, value) => {
          attributes.set(key, value)
        },
        event: () => {},
        addLinks: () => {}
      }
      return span
    }
  })
}

const CHANGE_TEXTS: Record<Sessions.SessionChange["kind"], string> = {
  Started: "started",
  Renewed: "its tokens were renewed",
  RelaunchNeeded: "a new launch is needed",
  Ended: "ended"
}

const levelOf = (level: LogLevel.LogLevel): Line["level"] =>
  LogLevel.greaterThanEqual(level, LogLevel.Error)
    ? "error"
    : LogLevel.greaterThanEqual(level, LogLevel.Warning)
    ? "warning"
    : "info"

/** Logs warnings, errors, and messages with a reference, because a user may ask about it. */
const logger = (add: (line: Line) => void): Logger.Logger<unknown, void> =>
  Logger.make(({ annotations, date, logLevel, message }) => {
    const annotation = (name: string) => text(Option.getOrUndefined(HashMap.get(annotations, name)))
    const reference = annotation("reference")
    if (reference === undefined && LogLevel.lessThan(logLevel, LogLevel.Warning)) return
    const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
    const kind = [annotation("error"), annotation("reason")].filter((part) => part !== undefined).join(" ")
    add({
      at: date.getTime(),
      level: levelOf(logLevel),
      message: parts.flatMap((part) => text(part) ?? []).join(" "),
      reference,
      kind: kind === "" ? annotation("problem") ?? annotation("code") : kind
    })
  })

/**
 * Records the steps of the layers it is provided to, and gives them an `HttpClient` with spans.
 */
export const layer: Layer.Layer<Events | HttpClient.HttpClient, never, HttpClient.HttpClient> = Layer.unwrapEffect(
  Effect.sync(() => {
    const steps = boundedList<Step>(800)
    const lines = boundedList<Line>(200)
    const warnings = boundedList<ConformanceWarning.ConformanceWarning>(200)
    const events = Layer.scoped(
      Events,
      Effect.gen(function*() {
        const reported = yield* ConformanceWarning.ConformanceWarnings
        yield* Effect.forkScoped(
          Stream.runForEach(reported.stream, (warning) => Effect.sync(() => warnings.add(warning)))
        )
        return {
          steps: Effect.sync(steps.latestFirst),
          lines: Effect.sync(lines.latestFirst),
          warnings: Effect.sync(warnings.latestFirst),
          note: (message) =>
            Effect.map(
              Clock.currentTimeMillis,
              (at) => lines.add({ at, level: "info", message, reference: undefined, kind: undefined })
            ),
          clear: Effect.sync(() => [steps, lines, warnings].forEach(({ clear }) => clear()))
        }
      })
    )
    return Layer.mergeAll(
      events,
      Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, withRequestSpans)),
      Layer.setTracer(tracer(steps.add)),
      Logger.add(logger(lines.add))
    ).pipe(Layer.provideMerge(ConformanceWarning.layer))
  })
)

/** Logs changes of sessions, without session ids, because they are credentials. */
export const layerSessions: Layer.Layer<never, never, Events | Sessions.Sessions> = Layer.scopedDiscard(
  Effect.gen(function*() {
    const events = yield* Events
    const { onChange } = yield* Sessions.Sessions
    yield* Effect.forkScoped(
      Stream.runForEach(onChange, ({ kind, server }) => events.note(`a session at ${server}: ${CHANGE_TEXTS[kind]}`))
    )
  })
)
