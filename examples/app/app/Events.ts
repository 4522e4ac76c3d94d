/**
 * What happened, step by step: the library's spans, every request that left, and what was logged, the latest few hundred of each in memory. That is all
 * it takes to make a debugger of an app: a `Tracer`, a `Logger` and one wrapper of the `HttpClient`.
 *
 * Only what is named here is kept: of a request no query, no header and no body, of an error its kind and its own one-line message, in which this library
 * puts neither secrets nor patient data.
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
  /** What a person or a timer set off: all its steps have the same. */
  readonly trace: string
  readonly name: string
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
  /** What stands on the page that a person saw. */
  readonly reference: string | undefined
  readonly kind: string | undefined
}

export interface Service {
  /** The latest first. */
  readonly steps: Effect.Effect<ReadonlyArray<Step>>
  readonly lines: Effect.Effect<ReadonlyArray<Line>>
  /** What servers did that their specification does not allow, and that was tolerated. */
  readonly warnings: Effect.Effect<ReadonlyArray<ConformanceWarning.ConformanceWarning>>
  /** Adds a line that is for nobody's log but this one. */
  readonly note: (message: string) => Effect.Effect<void>
  readonly clear: Effect.Effect<void>
}

export class Events extends Context.Tag("examples/app/Events")<Events, Service>() {}

/** The latest `size` of something. */
const ring = <A>(size: number) => {
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

/** Errors whose message is made for a log. Of any other only the kind is kept. */
const SPEAKING: ReadonlySet<string> = new Set([
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
    message: SPEAKING.has(kind) && "message" in error ? text(error.message) : undefined
  }
}

/** An address without query, and without what names a resource: `/fhir/Patient/…`. */
const shownUrl = ({ url, urlParams }: HttpClientRequest.HttpClientRequest): string => {
  const [address = "", query] = url.split("?")
  const shown = address.replace(/(\/[A-Z][A-Za-z]+)\/[^/]+/g, "$1/…")
  return query === undefined && urlParams.length === 0 ? shown : `${shown}?…`
}

/** A path of the app itself. What stands for a session there is no credential, but nobody else's business either. */
const shownPath = (path: string): string => path.replace(/^\/(sessions|logout)\/[^/]+/, "/$1/…")

/** Every request that leaves is a step, too: attempts that a retry repeats are seen one by one. */
const observed = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
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
        // A page of the app that asked nobody anything is no news.
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
          startedAt: Number(startTime / 1_000_000n),
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

const WORDS: Record<Sessions.SessionChange["kind"], string> = {
  Started: "started",
  Renewed: "its tokens were renewed",
  RelaunchNeeded: "only a new launch can help",
  Ended: "ended"
}

const levelOf = (level: LogLevel.LogLevel): Line["level"] =>
  LogLevel.greaterThanEqual(level, LogLevel.Error)
    ? "error"
    : LogLevel.greaterThanEqual(level, LogLevel.Warning)
    ? "warning"
    : "info"

/** Warnings and errors, and whatever has a reference: a person may ask about it. */
const logger = (add: (line: Line) => void): Logger.Logger<unknown, void> =>
  Logger.make(({ annotations, date, logLevel, message }) => {
    const said = (name: string) => text(Option.getOrUndefined(HashMap.get(annotations, name)))
    const reference = said("reference")
    if (reference === undefined && LogLevel.lessThan(logLevel, LogLevel.Warning)) return
    const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
    const kind = [said("error"), said("reason")].filter((part) => part !== undefined).join(" ")
    add({
      at: date.getTime(),
      level: levelOf(logLevel),
      message: parts.flatMap((part) => text(part) ?? []).join(" "),
      reference,
      kind: kind === "" ? said("problem") ?? said("code") : kind
    })
  })

/** Records whatever runs in layers that this is provided to, and gives them the observed client in place of their own. */
export const layer: Layer.Layer<Events | HttpClient.HttpClient, never, HttpClient.HttpClient> = Layer.unwrapEffect(
  Effect.sync(() => {
    const steps = ring<Step>(800)
    const lines = ring<Line>(200)
    const warnings = ring<ConformanceWarning.ConformanceWarning>(200)
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
      Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, observed)),
      Layer.setTracer(tracer(steps.add)),
      Logger.add(logger(lines.add))
    ).pipe(Layer.provideMerge(ConformanceWarning.layer))
  })
)

/** What becomes of sessions, as lines: a session's id is a credential and is not in them. */
export const layerSessions: Layer.Layer<never, never, Events | Sessions.Sessions> = Layer.scopedDiscard(
  Effect.gen(function*() {
    const events = yield* Events
    const { onChange } = yield* Sessions.Sessions
    yield* Effect.forkScoped(
      Stream.runForEach(onChange, ({ kind, server }) => events.note(`a session at ${server}: ${WORDS[kind]}`))
    )
  })
)
