/**
 * A brand that people recognise, its portals, and the FHIR endpoints behind them (SMART App Launch 2.2, user-access brands: profiles).
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
 * @since 0.1.0
 * @category models
 */
export type BrandFinding = Finding<BrandCode>

/**
 * @since 0.1.0
 * @category models
 */
export interface Identifier {
  readonly system?: string | undefined
  readonly value: string
}

/**
 * Where the brand is at home. Often no more than a state or a postal code.
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
 * A FHIR server. That it is listed grants no access (requirement 435): its own SMART configuration says how to get any.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  /** What references within the bundle mean by it. */
  readonly key: string
  /** For developers. People are shown the brand's name. */
  readonly name?: string | undefined
  readonly fhirBaseUrl?: FhirBaseUrl.FhirBaseUrl | undefined
  readonly fhirVersions: ReadonlyArray<string>
  readonly status?: string | undefined
  readonly connectionType?: string | undefined
  /** Where developers register. */
  readonly developerPortals: ReadonlyArray<string>
  readonly lastUpdated?: string | undefined
}

/**
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
  /** To be reviewed before a logo is shown. */
  readonly logoLicenses: ReadonlyArray<string>
  readonly endpoints: ReadonlyArray<Endpoint>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Brand {
  /** What references within the bundle mean by it. */
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
  /** Other bundles that say more of this brand. */
  readonly bundles: ReadonlyArray<string>
  readonly portals: ReadonlyArray<Portal>
  /** All of the brand's endpoints, whether or not a portal has them. */
  readonly endpoints: ReadonlyArray<Endpoint>
  /** The key of the brand it belongs to, whose portals serve it where it has none of its own. */
  readonly partOf?: string | undefined
  readonly lastUpdated?: string | undefined
}
