/**
 * Transport, address guard and session store for Node.
 *
 * @since 0.1.0
 */
export * as AddressGuard from "./AddressGuard.js"
export * as FileSessionStore from "./FileSessionStore.js"
export * as NodeTransport from "./NodeTransport.js"
export * as TransportError from "./TransportError.js"
