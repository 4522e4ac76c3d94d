/** DER by hand, for what `pkijs` does not write. */
export type Bytes = Uint8Array | ReadonlyArray<number>

export const encode = (tag: number, ...content: ReadonlyArray<Bytes>): Uint8Array => {
  const body = content.flatMap((part) => [...part])
  const length = body.length < 0x80
    ? [body.length]
    : body.length < 0x100
    ? [0x81, body.length]
    : [0x82, body.length >> 8, body.length & 0xff]
  return new Uint8Array([tag, ...length, ...body])
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
