/**
 * Registrations in a session store, by registration endpoint, community and client URI: so that all processes of an app
 * share one, and a change in one community does not affect another.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { SessionError } from "../../session/SessionError.js"
import * as SessionStore from "../../session/SessionStore.js"

/**
 * A registration of this app at an authorization server.
 *
 * @since 0.1.0
 * @category models
 */
export class RegisteredApp extends Schema.Class<RegisteredApp>("effect-safire/udap/RegisteredApp")({
  registrationEndpoint: Schema.String,
  community: Schema.String,
  /** The URI by which the app is known. */
  clientUri: Schema.String,
  /** As the server assigned it. */
  clientId: Schema.NonEmptyString,
  /** The registered scopes, if the server returned them. */
  scopes: Schema.optional(Schema.Array(Schema.String)),
  grantTypes: Schema.optional(Schema.Array(Schema.String)),
  /** The SHA-256 of what was registered: metadata and certifications. */
  content: Schema.String,
  /** The fingerprint of the certificate that signed the statement. */
  certificate: Schema.String,
  /** The end of that certificate, in milliseconds since 1970. */
  certificateEnd: Schema.Number,
  /** Milliseconds since 1970. */
  registeredAt: Schema.Number
}) {}

/** @internal */
export interface Key {
  readonly registrationEndpoint: string
  readonly community: string
  readonly clientUri: string
}

/** @internal */
export const idOf = ({ clientUri, community, registrationEndpoint }: Key): Redacted.Redacted =>
  Redacted.make(`udap-registration ${JSON.stringify([registrationEndpoint, community, clientUri])}`)

const decode = Schema.decodeUnknownOption(RegisteredApp)
const encode = Schema.encodeSync(RegisteredApp)

/** An entry of a later version, or of another key, counts as absent: the app registers again. */
const read = (key: Key) => (entry: Option.Option<SessionStore.Entry>): Option.Option<RegisteredApp> =>
  entry.pipe(
    Option.flatMap((found) => found._tag === "StoredValue" ? decode(found.value) : Option.none()),
    Option.filter((registration) =>
      registration.registrationEndpoint === key.registrationEndpoint && registration.community === key.community &&
      registration.clientUri === key.clientUri
    )
  )

/** @internal */
export const get = (
  store: SessionStore.Service,
  key: Key
): Effect.Effect<Option.Option<RegisteredApp>, SessionError> => Effect.map(store.get(idOf(key)), read(key))

/**
 * Changes a registration, exclusively over all processes that share the store.
 *
 * @internal
 */
export const modify = <A, E>(
  store: SessionStore.Service,
  key: Key,
  change: (
    current: Option.Option<RegisteredApp>
  ) => Effect.Effect<readonly [A, Option.Option<RegisteredApp>], E>
): Effect.Effect<A, E | SessionError> =>
  store.modify(idOf(key), (entry) => {
    const current = read(key)(entry)
    return Effect.map(change(current), ([result, next]) => {
      const isSame = Option.getOrUndefined(next) === Option.getOrUndefined(current)
      const stored = Option.map(next, (registration) =>
        new SessionStore.StoredValue({
          version: 1,
          // Without the certificate that signed it, a registration is of no use.
          expiresAt: DateTime.unsafeMake(registration.certificateEnd),
          value: encode(registration)
        }))
      return [result, isSame ? entry : stored] as const
    })
  })
