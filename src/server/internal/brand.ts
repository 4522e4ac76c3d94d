/**
 * Models of user-access brands, their portals and FHIR endpoints (SMART App Launch 2.2, user-access brands: profiles).
 *
 * @since 0.1.0
 */
import type * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { Finding } from "../Finding.js"

/**
 * The closed set of findings about a brand bundle.
 *
 * @since 0.1.0
 * @category models
 */
export type BrandCode =
  | "BundleTypeWrong"
  | "TimestampMissing"
  | "EntryMalformed"
  | "ResourceUnexpected"
  | "MemberMalformed"
  | "NameMissing"
  | "WebsiteMissing"
  | "WebsiteRepeated"
  | "CategoryUnknown"
  | "IdentifierUnrecommended"
  | "UrlUnfit"
  | "DataAbsentReasonOther"
  | "ReferenceUnresolved"
  | "PortalEndpointUnlisted"
  | "EndpointUnreferenced"
  | "EndpointAddressUnfit"
  | "EndpointStatusMissing"
  | "EndpointContactMissing"
  | "ConnectionTypeOther"
  | "FhirVersionMissing"
  | "PrimaryBrandUnnamed"
  | "PrimaryBrandUnmatched"
  | "PrimaryBrandAmbiguous"

/**
 * A deviation in a brand bundle.
 *
 * @since 0.1.0
 * @category models
 */
export type BrandFinding = Finding<BrandCode>

/**
 * A business identifier.
 *
 * @since 0.1.0
 * @category models
 */
export interface Identifier {
  readonly system?: string | undefined
  readonly value: string
}

/**
 * An address of the brand. Often only a state or a postal code.
 *
 * @since 0.1.0
 * @category models
 */
export interface Address {
  readonly lines: ReadonlyArray<string>
  readonly city?: string | undefined
  readonly state?: string | undefined
  readonly postalCode?: string | undefined
  readonly country?: string | undefined
}

/**
 * A FHIR server. A listed server need not grant access (requirement 435): see its SMART configuration.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  /** The full URL of its entry, or an id that is unique in the bundle. */
  readonly key: string
  /** For developers. Show users the brand's name. */
  readonly name?: string | undefined
  readonly fhirBaseUrl?: FhirBaseUrl.FhirBaseUrl | undefined
  readonly fhirVersions: ReadonlyArray<string>
  readonly status?: string | undefined
  readonly connectionType?: string | undefined
  /** Pages where developers register. */
  readonly developerPortals: ReadonlyArray<string>
  readonly lastUpdated?: string | undefined
}

/**
 * A portal of a brand, with its endpoints.
 *
 * @since 0.1.0
 * @category models
 */
export interface Portal {
  readonly name?: string | undefined
  /** Markdown. */
  readonly description?: string | undefined
  readonly url?: string | undefined
  /** `https` or `data:image` URLs. */
  readonly logos: ReadonlyArray<string>
  /** Review them before you show a logo. */
  readonly logoLicenses: ReadonlyArray<string>
  readonly endpoints: ReadonlyArray<Endpoint>
}

/**
 * A brand that users know, with its portals.
 *
 * @since 0.1.0
 * @category models
 */
export interface Brand {
  /** The full URL of its entry, or an id that is unique in the bundle. */
  readonly key: string
  readonly name?: string | undefined
  readonly aliases: ReadonlyArray<string>
  readonly active: boolean
  readonly website?: string | undefined
  readonly identifiers: ReadonlyArray<Identifier>
  /** Codes such as `prov`, `ins` and `laboratory`. */
  readonly categories: ReadonlyArray<string>
  readonly addresses: ReadonlyArray<Address>
  readonly logos: ReadonlyArray<string>
  readonly logoLicenses: ReadonlyArray<string>
  /** Other bundles with more about this brand. */
  readonly bundles: ReadonlyArray<string>
  readonly portals: ReadonlyArray<Portal>
  /** All endpoints of the brand, with and without a portal. */
  readonly endpoints: ReadonlyArray<Endpoint>
  /** The key of its parent brand, whose portals it uses where it has none. */
  readonly partOf?: string | undefined
  readonly lastUpdated?: string | undefined
}
