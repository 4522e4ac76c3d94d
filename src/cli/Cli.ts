/**
 * `effect-safire doctor <fhirBaseUrl>`: probes a server and prints the result as text or JSON; with a token, what its
 * scopes allow; with `--anchor`, it probes the server's UDAP metadata. Exit code 0: usable;
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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { flag, secret } from "../base/Settings.js"
import * as AccessProbe from "./internal/accessProbe.js"
import * as AccessReport from "./internal/accessReport.js"
import * as AccessToken from "./internal/accessToken.js"
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

/** Options that do not fit together. */
class InvalidUse extends Data.TaggedError("InvalidUse")<{ readonly detail: string }> {}

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
  // A text, because the file may be a pipe, such as /dev/stdin.
  tokenFile: Options.text("token-file").pipe(
    Options.optional,
    Options.withDescription(
      "A file with an access token or a token response: shows what its scopes allow. Default: SMART_ACCESS_TOKEN"
    )
  ),
  scope: Options.text("scope").pipe(
    Options.optional,
    Options.withDescription(
      "The granted scopes, separated by spaces; without a token, scopes that an app would request"
    )
  ),
  search: Options.boolean("search").pipe(
    Options.withDescription("With a token: search each type that the scopes allow, for the count only")
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

type Arguments = Command.Command.ParseConfig<typeof options> & { readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl }

interface Settings {
  readonly allowInsecureLocalhost: boolean
  readonly timeout: Duration.DurationInput
}

const invalid = (detail: string) => new InvalidUse({ detail })

const doctorUdap = (
  { anchors, community, fhirBaseUrl, intermediates, json, revocation, strict }: Arguments,
  settings: Settings
) =>
  Effect.gen(function*() {
    const probe = yield* UdapProbe.make(fhirBaseUrl, {
      ...settings,
      community: Option.getOrUndefined(community),
      anchors,
      intermediates,
      revocation
    })
    yield* Console.log(json ? UdapReport.toJson(probe) : UdapReport.toText(probe, yield* Style.detect))
    if (!UdapProbe.isUsable(probe) || (strict && UdapProbe.hasErrors(probe))) return yield* new NotUsable()
  })

const doctorSmart = (
  { fhirBaseUrl, json, scope: stated, search, strict, timeout, tokenFile }: Arguments,
  settings: Settings
) =>
  Effect.gen(function*() {
    const token = yield* AccessToken.read(tokenFile, yield* secret("SMART_ACCESS_TOKEN"))
    const scope = Option.getOrUndefined(stated)
    if (search && token === undefined) {
      return yield* invalid("--search needs a token: --token-file, or SMART_ACCESS_TOKEN")
    }
    const probe = yield* Probe.make(fhirBaseUrl, settings)
    const access = Either.isLeft(probe.result) || (token === undefined && scope === undefined)
      ? undefined
      : yield* AccessProbe.make(fhirBaseUrl, { ...settings, scope, search, token })
    const style = yield* Style.detect
    const report = json
      ? Report.toJson(probe, timeout, access && AccessReport.toJson(access))
      : Report.toText(probe, timeout, style, access && AccessReport.toText(access, style))
    yield* Console.log(AccessReport.withoutToken(report, token?.token))
    const isUsable = Probe.isUsable(probe) && (access === undefined || AccessProbe.isUsable(access))
    const hasErrors = Probe.hasErrors(probe) || (access !== undefined && AccessProbe.hasErrors(access))
    if (!isUsable || (strict && hasErrors)) return yield* new NotUsable()
  })

const doctor = Command.make(
  "doctor",
  { ...options, fhirBaseUrl },
  (given) =>
    Effect.gen(function*() {
      const fromEnvironment = yield* flag("SMART_ALLOW_INSECURE_LOCALHOST")
      const settings: Settings = {
        allowInsecureLocalhost: given.allowInsecureLocalhost || fromEnvironment,
        timeout: `${given.timeout} seconds`
      }
      if (given.anchors.length === 0) {
        return Option.isSome(given.community)
          ? yield* invalid("--community needs --anchor, the community's certificates")
          : yield* doctorSmart(given, settings)
      }
      return given.search || Option.isSome(given.tokenFile) || Option.isSome(given.scope)
        ? yield* invalid("--token-file, --scope and --search are about SMART: use them without --anchor")
        : yield* doctorUdap(given, settings)
    })
).pipe(
  Command.withDescription(
    "Probes a FHIR server: which SMART features it supports, and how it deviates from SMART App Launch. " +
      "With a token: what its scopes allow. " +
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
          : "detail" in error
          ? Effect.as(Console.error(error.detail), 2)
          : Effect.as(Console.error("SMART_ALLOW_INSECURE_LOCALHOST must be true or false"), 2)
      ),
      Effect.provide(CliConfig.layer({ showBuiltIns: false })),
      (self) => withStyledConsole(self, style)
    )
  })
