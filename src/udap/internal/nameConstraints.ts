/**
 * Name constraints (RFC 5280, section 4.2.1.10; 6.1.3 (b) and (c)). Each authority's constraints are applied to all
 * certificates below it, so that the constraints of several authorities, the anchor's included, intersect (6.1.4 (g)).
 */
import { type Certificate, Oid } from "./certificate.js"
import * as der from "./der.js"
import * as names from "./names.js"

/** @internal */
export interface Constraints {
  readonly permitted: ReadonlyArray<names.GeneralName>
  readonly excluded: ReadonlyArray<names.GeneralName>
}

/** Subtrees with a minimum or maximum must not be issued (4.2.1.10), and are not processed here. */
const readSubtrees = (bytes: Uint8Array, list: der.Element): ReadonlyArray<names.GeneralName> | undefined => {
  const found = der.children(bytes, list)?.map((subtree) => {
    const [base, ...more] = der.partsOf(bytes, subtree)
    return base === undefined || more.length > 0 ? undefined : readConstraint(bytes, base)
  })
  return found?.every((name) => name !== undefined) === true ? found : undefined
}

const readConstraint = (bytes: Uint8Array, base: der.Element): names.GeneralName | undefined => {
  const name = names.readGeneralName(bytes, base)
  // An address and its mask.
  return name?.form === "ip" && name.value.length !== 8 && name.value.length !== 32 ? undefined : name
}

/**
 * The constraints that a certificate imposes: `undefined` if it has none, `"Malformed"` if they cannot be processed.
 *
 * @internal
 */
export const constraintsOf = (certificate: Certificate): Constraints | "Malformed" | undefined => {
  const bytes = certificate.extensions.get(Oid.nameConstraints)?.value
  if (bytes === undefined) return undefined
  const lists = der.partsOf(bytes, der.single(bytes))
  if (lists.length === 0 || lists.some(({ tag }) => tag !== 0xa0 && tag !== 0xa1)) {
    return "Malformed"
  }
  const listOf = (tag: number) => {
    const list = lists.find((one) => one.tag === tag)
    return list === undefined ? [] : readSubtrees(bytes, list)
  }
  const [permitted, excluded] = [listOf(0xa0), listOf(0xa1)]
  return permitted === undefined || excluded === undefined ? "Malformed" : { permitted, excluded }
}

/**
 * The host of a URI in lower case, if it has one that is a plain name: no address, no credentials, nothing that another
 * parser reads otherwise.
 */
const hostOf = (uri: string): string | undefined => {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(uri)?.[1]
  const host = authority?.replace(/:\d*$/, "").toLowerCase()
  return host === undefined || !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host) || /^[\d.]+$/.test(host) ? undefined : host
}

/** `.example.com` has the hosts below it, `example.com` the host alone. */
const isHostWithin = (host: string, constraint: string): boolean =>
  constraint.startsWith(".") ? host.endsWith(constraint) : host === constraint

const isDomainWithin = (host: string, constraint: string): boolean =>
  constraint === "" || (constraint.startsWith(".")
    ? host.endsWith(constraint)
    : host === constraint || host.endsWith(`.${constraint}`))

const isEmailWithin = (email: string, constraint: string): boolean => {
  const at = email.lastIndexOf("@")
  const host = email.slice(at + 1).toLowerCase()
  if (!constraint.includes("@")) return at > 0 && isHostWithin(host, constraint.toLowerCase())
  const own = constraint.lastIndexOf("@")
  return email.slice(0, at) === constraint.slice(0, own) && host === constraint.slice(own + 1).toLowerCase()
}

const isAddressWithin = (address: Uint8Array, constraint: Uint8Array): boolean =>
  constraint.length === address.length * 2 &&
  address.every((byte, i) => {
    const mask = constraint[address.length + i] ?? 0
    return (byte & mask) === ((constraint[i] ?? 0) & mask)
  })

/** `Undecidable`: the rule cannot be applied to such a name, which then is refused. */
type Position = "Within" | "Outside" | "Undecidable"

const positionIf = (isWithin: boolean): Position => isWithin ? "Within" : "Outside"

/** Whether a name lies within a subtree: `undefined` if the subtree has names of another form. */
const positionOf = (name: names.GeneralName, constraint: names.GeneralName): Position | undefined => {
  if (name.form === "uri" && constraint.form === "uri") {
    const host = hostOf(name.value)
    return host === undefined ? "Undecidable" : positionIf(isHostWithin(host, constraint.value.toLowerCase()))
  }
  if (name.form === "dns" && constraint.form === "dns") {
    return positionIf(isDomainWithin(name.value.toLowerCase(), constraint.value.toLowerCase()))
  }
  if (name.form === "email" && constraint.form === "email") {
    return positionIf(isEmailWithin(name.value, constraint.value))
  }
  if (name.form === "ip" && constraint.form === "ip") return positionIf(isAddressWithin(name.value, constraint.value))
  if (name.form === "directory" && constraint.form === "directory") {
    return positionIf(constraint.value.rdns.every((rdn, i) => name.value.rdns[i] === rdn))
  }
  return name.form === "other" && name.value === constraint.value ? "Undecidable" : undefined
}

/**
 * All names of a certificate that constraints apply to: also its subject, and without an email in the alternative name
 * that of the subject.
 */
const namesOf = ({ alternativeNames, subject }: Certificate): ReadonlyArray<names.GeneralName> => {
  const hasEmail = alternativeNames.some(({ form }) => form === "email")
  return [
    ...alternativeNames,
    ...(subject.rdns.length > 0 ? [{ form: "directory", value: subject } as const] : []),
    ...(hasEmail ? [] : subject.emails.map((value) => ({ form: "email", value }) as const))
  ]
}

/**
 * Whether all names of a certificate satisfy the constraints.
 *
 * @internal
 */
export const satisfies = (certificate: Certificate, { excluded, permitted }: Constraints): boolean =>
  namesOf(certificate).every((name) => {
    const positions = (constraints: ReadonlyArray<names.GeneralName>) =>
      constraints.flatMap((constraint) => positionOf(name, constraint) ?? [])
    const allowed = positions(permitted)
    return positions(excluded).every((position) => position === "Outside") &&
      (allowed.length === 0 || allowed.includes("Within"))
  })
