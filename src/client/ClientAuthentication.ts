/**
 * How this client proves to an authorization server who it is. A public, a symmetric and an asymmetric app differ in the one layer of this
 * service they provide and in nothing else (SMART App Launch 2.2, "Client authentication"; RFC 6749, section 2.3).
 *
 * | what the app has | layer |
 * |---|---|
 * | nothing that it could keep secret | `layerPublic` |
 * | a secret | `layerClientSecretBasic`, or `layerClientSecretPost` |
 * | a key pair | `layerPrivateKeyJwt`, which needs `SigningKeys` |
 * | what its environment holds | `layerConfig` |
 *
 * Beside each layer there is the value it is made of (`makePublic` …), so that each server of a registry can have its own.
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
export * from "./internal/authenticationConfig.js"

/**
 * @since 0.1.0
 */
export * from "./internal/privateKeyJwt.js"
