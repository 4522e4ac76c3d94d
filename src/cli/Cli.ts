/**
 * `effect-safire doctor <fhirBaseUrl>`: probes a server and prints the result as text or JSON; with `--anchor`, it
 * probes the server's UDAP metadata. Exit code 0: usable;
 * 1: not usable or not reachable, or with `--strict`: a finding of the severity `error`; 2: invalid command line or
 * environment.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
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
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { flag } from "../base/Settings.js"
import * as Probe from "./internal/probe.js"
import * as Report from "./internal/report.js"
import * as Style from "./internal/style.js"
import * as UdapProbe from "./internal/udapProbe.js"
import * as UdapReport from "./internal/udapReport.js"

/** Replaced by the bundler. */
declare const EFFECT_SAFIRE_VERSION: string | undefined
/** In a checkout, that of `package.json`, two folders above `src/cli` and above `dist/cli`. */
const version = typeof EFFECT_SAFIRE_VERSION === "string"
  ? EFFECT_SAFIRE_VERSION
  : (createRequire(import.meta.url)("../../package.json") as { readonly version: string }).version

class NotUsable extends Data.TaggedError("NotUsable") {}

const PROBLEMS: Record<FhirBaseUrl.Problem, string> = {
  NotAbsolute: "use an absolute URL such as https://ehr.example.org/fhir",
  NotHttp: "use https://",
  HasCredentials: "remove user name and password",
  HasQuery: "remove the query (after the ?)",
  HasFragment: "remove the fragment (after the #)"
}

const WELL_KNOWN = "/.well-known/smart-configuration"

const fhirBaseUrl = Args.text({ name: "fhirBaseUrl" }).pipe(
  Args.withDescription("The base URL of the FHIR server, with its whole path"),
  Args.mapEffect((input) =>
    FhirBaseUrl.parse(input).pipe(
      Either.mapLeft((problem) => PROBLEMS[problem]),
      Either.filterOrLeft((url) => !url.replace(/\/$/, "").endsWith(WELL_KNOWN), () => `remove ${WELL_KNOWN}`),
      Either.mapLeft((advice) => HelpDoc.p(`This is not a FHIR base URL: ${advice}`))
    )
  )
)

const options = {
  json: Options.boolean("json").pipe(Options.withDescription("Print one JSON document instead of text")),
  allowInsecureLocalhost: Options.boolean("allow-insecure-localhost").pipe(
    Options.withDescription(
      "Accept http for localhost, 127.0.0.1 and [::1], as SMART_ALLOW_INSECURE_LOCALHOST=true does"
    )
  ),
  strict: Options.boolean("strict").pipe(
    Options.withDescription("For CI: exit with 1 if the server has a finding of the severity error")
  ),
  timeout: Options.integer("timeout").pipe(
    Options.withDefault(10),
    Options.filterMap(
      (seconds) => seconds >= 1 && seconds <= 3600 ? Option.some(seconds) : Option.none(),
      "The time limit must be a number of seconds from 1 to 3600"
    ),
    Options.withDescription("Time limit of one request in seconds")
  ),
  anchors: Options.file("anchor", { exists: "yes" }).pipe(
    Options.repeated,
    Options.withDescription("For UDAP: a file with certificates that the community trusts, as PEM or DER; repeatable")
  ),
  intermediates: Options.file("intermediate", { exists: "yes" }).pipe(
    Options.repeated,
    Options.withDescription(
      "For UDAP: a file with certificates between a server's certificate and an anchor; repeatable"
    )
  ),
  community: Options.text("community").pipe(
    Options.optional,
    Options.withDescription("For UDAP: the URI of the trust community; without it, the server chooses its certificate")
  ),
  revocation: Options.choice("revocation", ["required", "whenAvailable", "off"]).pipe(
    Options.withDefault("required" as const),
    Options.withDescription("For UDAP: whether each certificate needs a valid CRL or OCSP response")
  )
}

const doctor = Command.make(
  "doctor",
  { ...options, fhirBaseUrl },
  ({ anchors, community, fhirBaseUrl, intermediates, json, revocation, strict, timeout, ...given }) =>
    Effect.gen(function*() {
      const fromEnvironment = yield* flag("SMART_ALLOW_INSECURE_LOCALHOST")
      const settings = {
        allowInsecureLocalhost: given.allowInsecureLocalhost || fromEnvironment,
        timeout: `${timeout} seconds`
      } as const
      if (Option.isSome(community) && anchors.length === 0) {
        return yield* new UdapProbe.InvalidTrust({ detail: "--community needs --anchor, the community's certificates" })
      }
      if (anchors.length > 0) {
        const probe = yield* UdapProbe.make(fhirBaseUrl, {
          ...settings,
          community: Option.getOrUndefined(community),
          anchors,
          intermediates,
          revocation
        })
        yield* Console.log(json ? UdapReport.toJson(probe) : UdapReport.toText(probe, yield* Style.detect))
        return yield* UdapProbe.isUsable(probe) && !(strict && UdapProbe.hasErrors(probe))
          ? Effect.void
          : new NotUsable()
      }
      const probe = yield* Probe.make(fhirBaseUrl, settings)
      yield* Console.log(
        json
          ? Report.toJson(probe, timeout)
          : Report.toText(probe, timeout, yield* Style.detect)
      )
      if (!Probe.isUsable(probe) || (strict && Probe.hasErrors(probe))) return yield* new NotUsable()
    })
).pipe(
  Command.withDescription(
    "Probes a FHIR server: which SMART features it supports, and how it deviates from SMART App Launch. " +
      "With --anchor: whether its UDAP metadata can be trusted, what it supports, and how it deviates from UDAP Security"
  )
)

const command = Command.make("effect-safire").pipe(
  Command.withDescription("SMART on FHIR, from the command line"),
  Command.withSubcommands([doctor])
)

/** `@effect/cli` prints help and usage errors in colour, also to a pipe. */
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
 * Runs a command line such as `process.argv` and returns the exit code.
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
          : error._tag === "InvalidTrust"
          ? Effect.as(Console.error(error.detail), 2)
          : Effect.as(Console.error("SMART_ALLOW_INSECURE_LOCALHOST must be true or false"), 2)
      ),
      Effect.provide(CliConfig.layer({ showBuiltIns: false })),
      (self) => withStyledConsole(self, style)
    )
  })
