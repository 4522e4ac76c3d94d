/**
 * The style that an EHR wants an embedded app to have: the document at `smart_style_url` (SMART App Launch 2.2,
 * styling; requirement 175, experimental). A changed style has another URL, so that a style is cached for a day.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { reader } from "../base/JsonReader.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as metadataDocument from "./internal/metadataDocument.js"
import type { MetadataError } from "./MetadataError.js"

const Text = Schema.optional(Schema.String)

/**
 * Values of CSS properties, unchanged. A value that could end its declaration or load a resource counts as absent.
 *
 * @since 0.1.0
 * @category models
 */
export class Style extends Schema.Class<Style>("effect-safire/SmartStyle/Style")({
  colorBackground: Text,
  colorError: Text,
  colorHighlight: Text,
  colorModalBackdrop: Text,
  colorSuccess: Text,
  colorText: Text,
  dimBorderRadius: Text,
  dimFontSize: Text,
  dimSpacingSize: Text,
  fontFamilyBody: Text,
  fontFamilyHeading: Text
}) {}

/**
 * Options of one call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * Fetches the style of a launch (`smart_style_url`).
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The style at the `smartStyleUrl` of a launch context. An app should continue without it if this fails. */
  readonly style: (smartStyleUrl: string, request?: Request) => Effect.Effect<Style, MetadataError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class SmartStyle extends Context.Tag("effect-safire/SmartStyle")<SmartStyle, Service>() {}

/** Whether the text stays inside one value of one CSS declaration. */
const isHarmless = (value: string): boolean =>
  value.length <= 200 && !/[;{}<>\\@\u0000-\u001f\u007f]|\/\*|\b(url|image|image-set|expression)\s*\(/i.test(value)

/**
 * Reads a style. Every member may be missing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromDocument = (members: Readonly<Record<string, unknown>>): Style => {
  const { string } = reader(members, () => undefined)
  const values = Object.keys(Style.fields).flatMap((key) => {
    const value = string(key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    return value !== undefined && isHarmless(value) ? [[key, value] as const] : []
  })
  return new Style(Object.fromEntries(values))
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.map(
  metadataDocument.make({
    subject: "SmartStyle",
    accept: "application/json",
    capacity: 1_000,
    timeToLive: "1 day",
    minTimeToLive: "1 day",
    urls: (url) => [url],
    decode: (members) => Effect.succeed(fromDocument(members))
  }),
  (documents) => ({ style: documents.get })
)

const shared = perHttpClient(SmartStyle, () => make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient`: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (): Layer.Layer<SmartStyle, never, HttpClient.HttpClient> => shared.layer({})
