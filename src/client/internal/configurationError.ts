import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import * as Url from "../../base/Url.js"

/** The error for a key that cannot be used. It repeats nothing of the key. */
export const badKey = (detail: string): ConfigurationError => configurationError("BadKey", ["signingKey"], detail)

/** The error for a URL that is not absolute, or that is not secure. */
export const urlError = (
  field: string,
  value: string,
  allowInsecureLocalhost: boolean | undefined
): ConfigurationError | undefined => {
  const url = Url.parse(value)
  return url !== undefined && Url.isSecure(url, allowInsecureLocalhost ?? false)
    ? undefined
    : configurationError(
      url === undefined ? "Invalid" : "Insecure",
      [field],
      "give an absolute https URL; http needs a loopback host and allowInsecureLocalhost"
    )
}
