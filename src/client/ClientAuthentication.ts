/**
 * How a client authenticates to an authorization server (SMART App Launch 2.2, "Client authentication"; RFC 6749,
 * section 2.3). A public, a symmetric and an asymmetric app differ only in the layer of this service.
 *
 * | the app has | layer |
 * |---|---|
 * | no place for a secret | `layerPublic` |
 * | a secret | `layerClientSecretBasic`, or `layerClientSecretPost` |
 * | a key pair | `layerPrivateKeyJwt`, which needs `SigningKeys` |
 * | environment variables | `ClientAuthenticationConfig.layer` |
 *
 * Each layer has a constructor (`makePublic` …) for registries, in which each server has its own authentication.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * from "./internal/authentication.js"

/**
 * @since 0.1.0
 */
export * from "./internal/clientSecret.js"

/**
 * @since 0.1.0
 */
export * from "./internal/privateKeyJwt.js"
