/**
 * A real Firefox for tests, over WebDriver BiDi: the one that `FIREFOX` names, else `firefox-esr` or `firefox` in PATH.
 * Playwright drives only its own build of Firefox.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { WebSocket } from "undici"
import { find as findProgram, fromEnvironment } from "./program.js"

export class FirefoxError extends Data.TaggedError("FirefoxError")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

const program = fromEnvironment("FIREFOX") ?? findProgram("firefox-esr") ?? findProgram("firefox")

/** Whether Firefox is installed. Tests that need it are skipped otherwise. */
export const available = program !== undefined

/** For the name of a suite, so that a skipped one says why. */
export const condition = available ? "" : " (skipped: no FIREFOX and no firefox in PATH)"

type Send = (method: string, params: object) => Promise<Record<string, unknown>>

const connect = (url: string): Promise<Send> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url}/session`)
    const waiting = new Map<
      number,
      { resolve: (result: Record<string, unknown>) => void; reject: (e: Error) => void }
    >()
    let id = 0
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(String(data))
      const command = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.type === "success") command?.resolve(message.result)
      else command?.reject(new Error(`${message.error}: ${message.message}`))
    })
    socket.addEventListener("error", () => reject(new Error(`no connection to ${url}`)))
    socket.addEventListener("open", () =>
      resolve((method, params) =>
        new Promise((resolve, reject) => {
          waiting.set(++id, { resolve, reject })
          socket.send(JSON.stringify({ id, method, params }))
        })
      ))
  })

const tried = <A>(step: () => Promise<A>) =>
  Effect.tryPromise({ try: step, catch: (failure) => new FirefoxError({ detail: String(failure) }) })

export interface Page {
  readonly goto: (url: string) => Effect.Effect<void, FirefoxError>
  readonly reload: Effect.Effect<void, FirefoxError>
  /** The string that an expression evaluates to in the page. */
  readonly text: (expression: string) => Effect.Effect<string, FirefoxError>
  /** Waits until there is such an element with this text, then clicks it as a person would. */
  readonly click: (selector: string, text: string) => Effect.Effect<void, FirefoxError>
  /** Waits until there is such an element with this text. */
  readonly sees: (selector: string, text: string) => Effect.Effect<void, FirefoxError>
}

/** A running Firefox with a new profile. */
export class Firefox extends Context.Tag("test/Firefox")<Firefox, {
  readonly newPage: Effect.Effect<Page, FirefoxError>
}>() {}

/** The visible, enabled element with this text. */
const find = (selector: string, text: string) =>
  `[...document.querySelectorAll(${JSON.stringify(selector)})].find((element) => ` +
  `element.checkVisibility() && !element.disabled && element.textContent.trim() === ${JSON.stringify(text)})`

const patiently = Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(300))

const pageOf = (send: Send, context: string): Page => {
  const text = (expression: string, userActivation = false) =>
    tried(() => send("script.evaluate", { expression, userActivation, awaitPromise: true, target: { context } })).pipe(
      Effect.filterOrFail(
        ({ type }) => type === "success",
        (result) => new FirefoxError({ detail: JSON.stringify(result) })
      ),
      Effect.map(({ result }) => String((result as { readonly value?: unknown }).value))
    )
  const until = (expression: string, userActivation = false) =>
    text(expression, userActivation).pipe(
      Effect.filterOrFail((value) => value === "true", () => new FirefoxError({ detail: `not true: ${expression}` })),
      Effect.retry(patiently),
      Effect.tapError(() => Effect.flatMap(text("document.body.innerText"), Effect.logInfo)),
      Effect.asVoid
    )
  return {
    goto: (url) => Effect.asVoid(tried(() => send("browsingContext.navigate", { context, url, wait: "complete" }))),
    reload: Effect.asVoid(tried(() => send("browsingContext.reload", { context, wait: "complete" }))),
    text,
    click: (selector, text) =>
      until(`(() => { const found = ${find(selector, text)}; found?.click(); return found !== undefined })()`, true),
    sees: (selector, text) => until(`${find(selector, text)} !== undefined`)
  }
}

/** One browser for the layer, which all tests of a suite share. */
export const layer: Layer.Layer<Firefox, FirefoxError> = Layer.scoped(
  Firefox,
  Effect.gen(function*() {
    const profile = mkdtempSync(join(tmpdir(), "firefox-"))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(
          program ?? "firefox",
          ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
          {
            stdio: ["ignore", "ignore", "pipe"]
          }
        )
      ),
      (child) =>
        Effect.async<void>((resume) => {
          child.once("exit", () => {
            rmSync(profile, { force: true, recursive: true })
            resume(Effect.void)
          })
          child.kill()
        })
    )
    const url = yield* tried(async () => {
      for await (const line of createInterface({ input: child.stderr })) {
        const url = /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1]
        if (url !== undefined) return url
      }
      throw new Error("Firefox has no WebDriver BiDi")
    }).pipe(Effect.timeoutFail({
      duration: "2 minutes",
      onTimeout: () => new FirefoxError({ detail: "Firefox did not start" })
    }))
    child.stderr.resume()
    const send = yield* tried(() => connect(url))
    yield* tried(() => send("session.new", { capabilities: {} }))
    return {
      newPage: Effect.map(
        tried(() => send("browsingContext.create", { type: "tab" })),
        ({ context }) => pageOf(send, String(context))
      )
    }
  })
)
