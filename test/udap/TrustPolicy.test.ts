import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { TrustPolicy } from "effect-safire/udap"
import type { Artefact } from "./artefacts.js"
import { CRL_URL, definitions, FHIR_BASE, NOW, OCSP_URL } from "./artefacts.js"

const COMMUNITY = "https://community.example.org/udap"

/** A network on which there is what is given, and nothing else. */
const serving = (bodies: Readonly<Record<string, Uint8Array | undefined>>) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) => {
      const body = bodies[url.href]
      return Effect.succeed(
        HttpClientResponse.fromWeb(
          request,
          body === undefined ? new Response(null, { status: 404 }) : new Response(new Uint8Array(body))
        )
      )
    })
  )

const validate = ({ anchors, crls, ocsp, served, x5c }: Artefact) =>
  Effect.flatMap(TrustPolicy.TrustPolicy, (policy) => policy.validate(x5c, { subject: FHIR_BASE })).pipe(
    Effect.provide(
      TrustPolicy.layer({ communities: { [COMMUNITY]: { anchors, crls } } }).pipe(
        Layer.provide(serving({ [OCSP_URL]: ocsp, [CRL_URL]: served }))
      )
    ),
    Effect.either
  )

describe("TrustPolicy.validate", () => {
  for (const { make, name, problems } of definitions) {
    it.effect(
      problems.length === 0 ? `trusts ${name}` : `refuses ${name}: ${problems.join(" and ")}`,
      () =>
        Effect.gen(function*() {
          const artefact = yield* make
          yield* TestClock.setTime(NOW)
          const outcome = yield* validate(artefact)
          if (Either.isLeft(outcome)) {
            const error = outcome.left
            if (error._tag !== "TrustError") return assert.fail(error.message)
            const found = error.problems.map(({ reason, rule }) => `${reason} ${rule}`)
            assert.deepStrictEqual(found, problems, error.message)
          } else assert.deepStrictEqual(problems, [])
        })
    )
  }
})
