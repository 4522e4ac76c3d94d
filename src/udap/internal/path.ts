/**
 * The search for a path from a certificate to an anchor (RFC 5280, section 6.1; RFC 4158). Names and signatures must
 * chain on every link. Steps and signatures are bounded, so that loops and certificates with many issuers end.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Problems } from "../TrustError.js"
import { type Certificate, extensionOf, Oid, same } from "./certificate.js"
import * as der from "./der.js"
import { sameName } from "./names.js"
import { checkEach, checkPath, problem, type Times } from "./pathRules.js"
import { keyProblem, ofCertificate, verifies } from "./signature.js"

const MAX_LENGTH = 10
const MAX_STEPS = 100
const MAX_SIGNATURES = 24
const MAX_PATHS = 8

/**
 * The key identifiers that the certificate names for its issuer, and that an issuer has. Neither is proof; both put the
 * right one first.
 */
const keyIdOf = (certificate: Certificate, oid: string, tag: number): Uint8Array | undefined => {
  const bytes = extensionOf(certificate, oid)
  const outer = der.single(bytes)
  if (outer?.tag === tag) return der.contentOf(bytes, outer)
  const inner = der.partsOf(bytes, outer).find((one) => one.tag === tag)
  return inner === undefined ? undefined : der.contentOf(bytes, inner)
}

const rank = (certificate: Certificate, { now, skew }: Times) => {
  const wanted = keyIdOf(certificate, Oid.authorityKeyIdentifier, 0x80)
  return (issuer: Certificate): number => {
    const has = keyIdOf(issuer, Oid.subjectKeyIdentifier, der.Tag.octetString)
    const key = wanted === undefined || has === undefined ? 1 : der.equal(wanted, has) ? 0 : 2
    return key + (issuer.notAfter < now || issuer.notBefore > now + skew ? 4 : 0)
  }
}

const byRank = (certificate: Certificate, issuers: ReadonlyArray<Certificate>, times: Times) => {
  const rankOf = rank(certificate, times)
  return [...issuers].sort((a, b) => rankOf(a) - rankOf(b))
}

/**
 * The path, leaf first, anchor last; or what is wrong with the best that was found.
 *
 * @internal
 */
export const search = (
  leaf: Certificate,
  pool: ReadonlyArray<Certificate>,
  anchors: ReadonlyArray<Certificate>,
  times: Times
): Effect.Effect<Either.Either<ReadonlyArray<Certificate>, Problems>> =>
  Effect.gen(function*() {
    const others = pool.filter((one) => !same(one, leaf))
    const verified = new Map<Certificate, Map<Certificate, boolean>>()
    let steps = 0
    let signatures = 0
    let paths = 0
    let best: Problems | undefined
    /** The longest chain that was built, and whether an issuer by name had another key. */
    let longest: ReadonlyArray<Certificate> = []
    let forged: Certificate | undefined

    const isIssuer = (certificate: Certificate, issuer: Certificate): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        const known = verified.get(certificate)?.get(issuer)
        if (known !== undefined) return Effect.succeed(known)
        if (signatures >= MAX_SIGNATURES) return Effect.succeed(false)
        signatures++
        return Effect.map(verifies(ofCertificate(certificate), issuer), (result) => {
          verified.set(certificate, (verified.get(certificate) ?? new Map<Certificate, boolean>()).set(issuer, result))
          return result
        })
      })

    const judge = (path: ReadonlyArray<Certificate>): ReadonlyArray<Certificate> | undefined => {
      paths++
      const problems = checkPath(path, times)
      if (!Arr.isNonEmptyReadonlyArray(problems)) return path
      if (best === undefined || problems.length < best.length) best = problems
      return undefined
    }

    const extend = (chain: ReadonlyArray<Certificate>): Effect.Effect<ReadonlyArray<Certificate> | undefined> =>
      Effect.gen(function*() {
        const last = chain[chain.length - 1] ?? leaf
        if (chain.length > longest.length) longest = chain
        const candidates = (list: ReadonlyArray<Certificate>) =>
          byRank(last, list.filter((issuer) => sameName(last.issuer, issuer.subject) && !chain.includes(issuer)), times)
        const named = [
          ...candidates(anchors).map((issuer) => [issuer, true] as const),
          ...candidates(others).map((issuer) => [issuer, false] as const)
        ]
        for (const [issuer, isAnchor] of named) {
          if (++steps > MAX_STEPS || paths >= MAX_PATHS) return undefined
          if (!(yield* isIssuer(last, issuer))) {
            if (keyProblem(issuer) === undefined) forged = last
            else if (chain.length >= longest.length) longest = [...chain, issuer]
            continue
          }
          const next = [...chain, issuer]
          const found = isAnchor ? judge(next) : next.length < MAX_LENGTH ? yield* extend(next) : undefined
          if (found !== undefined) return found
        }
        return undefined
      })

    const path = yield* extend([leaf])
    if (path !== undefined) return Either.right(path)
    if (best !== undefined) return Either.left(best)
    const end = longest[longest.length - 1] ?? leaf
    const each = checkEach(longest, times)
    const reached = forged === undefined
      ? problem(
        "Untrusted",
        end,
        "6.1.3 (a)(4)",
        "no issuer of it is among the anchors, the intermediates and the chain"
      )
      : problem("BadSignature", forged, "6.1.3 (a)(1)", "its signature is not by the key of the issuer that it names")
    // If the chain ends because a signature cannot be checked, that is the reason.
    const explained = each.some(({ reason }) => reason === "UnsupportedAlgorithm" || reason === "UnsupportedKey")
    return Either.left(explained && Arr.isNonEmptyReadonlyArray(each) ? each : Arr.append(each, reached))
  })
