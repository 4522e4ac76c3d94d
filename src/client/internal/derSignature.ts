/**
 * ECDSA signatures in DER (RFC 3279, section 2.2.3: a sequence of two integers), which most key management services
 * return, converted to the format of a JWS (RFC 7518, section 3.4: both numbers, each with the curve's size).
 */

/** One DER integer, padded to `size` bytes, and its end. */
const integerAt = (
  bytes: Uint8Array,
  at: number,
  size: number
): { readonly value: Uint8Array; readonly end: number } | undefined => {
  const length = bytes[at + 1] ?? 0
  const end = at + 2 + length
  if (bytes[at] !== 0x02 || length === 0 || length > 0x7f || end > bytes.length) return undefined
  let from = at + 2
  while (from < end && bytes[from] === 0) from++
  if (end - from > size) return undefined
  const value = new Uint8Array(size)
  value.set(bytes.subarray(from, end), size - (end - from))
  return { value, end }
}

/** `size` is the size of one number: 48 for P-384, where the lengths in DER take one byte. */
export const toJose = (bytes: Uint8Array, size: number): Uint8Array | undefined => {
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2) return undefined
  const r = integerAt(bytes, 2, size)
  const s = r === undefined ? undefined : integerAt(bytes, r.end, size)
  if (r === undefined || s === undefined || s.end !== bytes.length) return undefined
  const signature = new Uint8Array(2 * size)
  signature.set(r.value)
  signature.set(s.value, size)
  return signature
}
