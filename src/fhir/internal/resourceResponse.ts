/**
 * The resource of a response, checked by its type and its id, and decoded.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { FhirError } from "../FhirError.js"
import { notFhir, type ReadResponse } from "./fhirMessage.js"
import {
  type AnySchema,
  decode,
  type Decoded,
  type Decoding,
  isResource,
  type Resource,
  type Stored
} from "./resource.js"
import { storedOf } from "./stored.js"

/** Whether a response may be about this id. Some servers ignore its case; a redirect may lead to another resource. */
export const mayHaveId = ({ url }: ReadResponse, { id: found }: Resource, id: string): boolean =>
  found === id || typeof found !== "string" || found.toLowerCase() === id.toLowerCase() ||
  !`${url.split("?", 1)[0]}/`.includes(`/${id}/`)

/** The resource of a response, of the type and the id that are given. */
export const resourceIn = <S extends AnySchema | undefined, A>(
  response: ReadResponse,
  resourceType: string | undefined,
  options: Decoding<S>,
  id?: string
): Effect.Effect<Decoded<S, A>, FhirError> => {
  const { fail, json } = response
  return !isResource(json)
    ? notFhir(response, "without a resource")
    : resourceType !== undefined && json.resourceType !== resourceType
    ? notFhir(response, "with a resource of another type")
    : id !== undefined && !mayHaveId(response, json, id)
    ? notFhir(response, "with a resource of another id")
    : decode(json, options, fail)
}

export const storedResourceIn = <S extends AnySchema | undefined, A>(
  response: ReadResponse,
  resourceType: string | undefined,
  options: Decoding<S>,
  id?: string
): Effect.Effect<Stored<Decoded<S, A>>, FhirError> =>
  Effect.map(resourceIn<S, A>(response, resourceType, options, id), (resource) => storedOf(response, resource))

/** The resource of a response that may be empty or have an OperationOutcome instead. */
export const optionalResourceIn = <S extends AnySchema | undefined, A>(
  response: ReadResponse,
  resourceType: string | undefined,
  options: Decoding<S>
): Effect.Effect<Stored<Decoded<S, A> | undefined>, FhirError> => {
  const { body, json } = response
  const isAbsent = body.trim() === "" ||
    (resourceType !== undefined && resourceType !== "OperationOutcome" && isResource(json) &&
      json.resourceType === "OperationOutcome")
  return isAbsent
    ? Effect.succeed(storedOf(response, undefined))
    : storedResourceIn(response, resourceType, options)
}
