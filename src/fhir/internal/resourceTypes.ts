/**
 * The interfaces of FHIR resources by their resource types, for R4, R4B and R5. They come from the optional peer
 * `@types/fhir`; without it, every resource is a `Resource`. This file contains types only.
 *
 * @since 0.1.0
 */
/* eslint-disable @typescript-eslint/ban-ts-comment -- Only `@ts-ignore` compiles with and without the peer. */
/** @ts-ignore `@types/fhir` is an optional peer. Without it, these types are `any`. */
import type { FhirResource as R4, Resource as R4Resource } from "fhir/r4.js"
/** @ts-ignore */
import type { FhirResource as R4B, Resource as R4BResource } from "fhir/r4b.js"
/** @ts-ignore */
import type { FhirResource as R5, Resource as R5Resource } from "fhir/r5.js"
import type { AnyResource, Resource } from "./resource.js"

/**
 * The version of FHIR, which selects the interfaces of the resources. It has no effect at run time.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirVersion = "R4" | "R4B" | "R5"

/** In a tuple, because TypeScript spreads the type of a missing module through a conditional type. */
type IsAny<T> = [unknown] extends [T] ? true : false

/** The resources of a union by their types; empty if the union is `any`. */
type ByType<Union> = IsAny<Union> extends true ? {}
  : { readonly [R in Union as R extends { readonly resourceType: infer T extends string } ? T : never]: R }

interface ByVersion {
  readonly R4: ByType<R4>
  readonly R4B: ByType<R4B>
  readonly R5: ByType<R5>
}

/** The interface that all resources of a version extend: the type of contained resources. */
interface BaseByVersion {
  readonly R4: R4Resource
  readonly R4B: R4BResource
  readonly R5: R5Resource
}

/**
 * The resource of a type: `ResourceOf<"R4", "Patient">` is a `Patient` of `fhir/r4`. A type that the version does not
 * have, and each type without `@types/fhir`, is a `Resource`.
 *
 * @since 0.1.0
 * @category models
 */
export type ResourceOf<V extends FhirVersion, Type> = Type extends keyof ByVersion[V] ? ByVersion[V][Type]
  : string extends Type ? Resource
  : Type extends string ? Resource & { readonly resourceType: Type }
  : Resource

/**
 * A resource of any type. With `@types/fhir`, a comparison of its `resourceType` narrows it.
 *
 * @since 0.1.0
 * @category models
 */
export type AnyResourceOf<V extends FhirVersion> = keyof ByVersion[V] extends never ? Resource
  : ByVersion[V][keyof ByVersion[V]]

/** A readonly version of a resource. The type of contained resources and entries is the union of all resources. */
type Immutable<V extends FhirVersion, T> = T extends ReadonlyArray<infer U> ? ReadonlyArray<Immutable<V, U>>
  : T extends object
    ? T extends BaseByVersion[V]
      ? BaseByVersion[V] extends T ? ImmutableByType<V>[keyof ByVersion[V]] : ImmutableMembers<V, T>
    : ImmutableMembers<V, T>
  : T

type ImmutableMembers<V extends FhirVersion, T> = { readonly [K in keyof T]: Immutable<V, T[K]> }

type ImmutableByType<V extends FhirVersion> = { readonly [K in keyof ByVersion[V]]: Immutable<V, ByVersion[V][K]> }

/**
 * A resource to send. The compiler checks the members of a known type; arrays and members may be readonly, as those
 * that a `Schema` decodes.
 *
 * @since 0.1.0
 * @category models
 */
export type ResourceInput<V extends FhirVersion, Type> =
  & { readonly resourceType: Type }
  & (Type extends keyof ByVersion[V] ? ByVersion[V][Type] | Immutable<V, ByVersion[V][Type]> : AnyResource)
