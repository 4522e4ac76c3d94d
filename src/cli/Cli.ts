/**
 * `effect-safire doctor <fhirBaseUrl>`: what a server is, for people and for programs. Exit code 0: usable; 1: not usable, or not reachable; 2: the
 * command line or the environment is not right.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import type * as CliApp from "@effect/cli/CliApp"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { flag } from "../base/EnvironmentFlag.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as Examination from "./internal/probe.js"
import * as Report from "./internal/report.js"
import * as Style from "./internal/style.js"

/** Replaced by the bundler. */
declare const EFFECT_SAFIRE_VERSION: string | undefined
const version = typeof EFFECT_SAFIRE_VERSION === "string" ? EFFECT_SAFIRE_VERSION : "0.0.0"

class NotUsable extends Data.TaggedError("NotUsable") {}

const PROBLEMS: Record<FhirBaseUrl.Problem, string> = {
  NotAbsolute: "give it whole, such as https://ehr.example.org/fhir",
  NotHttp: "it starts with https://",
  HasCredentials: "leave out name and password",
  HasQuery: "leave out what follows the ?",
  HasFragment: "leave out what follows the #"
}

const WELL_KNOWN = "/.well-known/smart-configuration"

const fhirBaseUrl = Args.text({ name: "fhirBaseUrl" }).pipe(
  Args.withDescription("The base URL of the FHIR server, with its whole path"),
  Args.mapEffect((input) =>
    FhirBaseUrl.parse(input).pipe(
      Either.mapLeft((problem) => PROBLEMS[problem]),
      Either.filterOrLeft((url) => !url.replace(/\/$/, "").endsWith(WELL_KNOWN), () => `leave out ${WELL_KNOWN}`),
      Either.mapLeft((advice) => HelpDoc.p(`This is no FHIR base URL: ${advice}`))
    )
  )
)

const options = {
  json: Options.boolean("json").pipe(Options.withDescription("One JSON document instead of text")),
  allowInsecureLocalhost: Options.boolean("allow-insecure-localhost").pipe(
    Options.withDescription(
      "Accept http for localhost, 127.0.0.1 and [::1], as SMART_ALLOW_INSECURE_LOCALHOST=true does"
    )
  ),
  timeout: Options.integer("timeout").pipe(
    Options.withDefault(10),
    Options.filterMap(
      (seconds) => seconds >= 1 && seconds <= 3600 ? Option.some(seconds) : Option.none(),
      "A time limit is a number of seconds from 1 to 3600"
    ),
    Options.withDescription("Seconds that one request may take")
  )
}

const doctor = Command.make(
  "doctor",
  { ...options, fhirBaseUrl },
  ({ allowInsecureLocalhost, fhirBaseUrl, json, timeout }) =>
    Effect.gen(function*() {
      const fromEnvironment = yield* flag("SMART_ALLOW_INSECURE_LOCALHOST")
      const examination = yield* Examination.make(fhirBaseUrl, {
        allowInsecureLocalhost: allowInsecureLocalhost || fromEnvironment,
        timeout: `${timeout} seconds`
      })
      yield* Console.log(
        json
          ? Report.toJson(examination, timeout)
          : Report.toText(examination, timeout, yield* Style.detect)
      )
      if (!Examination.isUsable(examination)) return yield* new NotUsable()
    })
).pipe(
  Command.withDescription(
    "Looks at a FHIR server and says what a SMART app can do there, and what is not as it should be"
  )
)

const command = Command.make("effect-safire").pipe(
  Command.withDescription("SMART on FHIR, from the command line"),
  Command.withSubcommands([doctor])
)

/** Help and usage errors come with colours whatever the place they are printed to. */
const withStyledConsole = <A, E, R>(self: Effect.Effect<A, E, R>, style: Style.Style): Effect.Effect<A, E, R> =>
  style === Style.coloured ? self : Console.consoleWith((console) => {
    const stripped = (args: ReadonlyArray<unknown>) =>
      args.map((arg) => typeof arg === "string" ? Style.strip(arg) : arg)
    return Effect.withConsole(self, {
      ...console,
      log: (...args) => console.log(...stripped(args)),
      error: (...args) => console.error(...stripped(args))
    })
  })

/**
 * Runs a command line as `process.argv` has it, and gives the exit code.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = (
  argv: ReadonlyArray<string>
): Effect.Effect<number, never, CliApp.CliApp.Environment | HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const style = yield* Style.detect
    return yield* Command.run(command, { name: "effect-safire", version })(argv).pipe(
      Effect.as(0),
      Effect.catchAll((error) =>
        ValidationError.isValidationError(error)
          ? Effect.succeed(2)
          : error._tag === "NotUsable"
          ? Effect.succeed(1)
          : Effect.as(Console.error("SMART_ALLOW_INSECURE_LOCALHOST must be true or false"), 2)
      ),
      Effect.provide(CliConfig.layer({ showBuiltIns: false })),
      (self) => withStyledConsole(self, style)
    )
  })
