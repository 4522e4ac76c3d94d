/**
 * The media type of a response (RFC 9110, section 8.3.1).
 */

/**
 * As the server wrote it, without parameters.
 *
 * @internal
 */
export const of = (headers: Readonly<Record<string, string | undefined>>): string | undefined =>
  /^[\w.+-]{1,60}\/[\w.+-]{1,60}/.exec(headers["content-type"] ?? "")?.[0]

/** @internal */
export const isJson = (mediaType: string | undefined): boolean =>
  mediaType !== undefined && /^application\/([^/]+\+)?json$/i.test(mediaType)
