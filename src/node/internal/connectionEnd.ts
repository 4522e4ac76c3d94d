/**
 * Tells a request that its connection has ended, before undici handles the end. undici 7 ends the process if the
 * connection of a paused response ends (nodejs/undici#5360, corrected in undici 8, which needs Node 22.19). The defect
 * is in its parser of HTTP/1: over HTTP/2, a paused stream does not pause the connection.
 *
 * @internal
 */
import * as Diagnostics from "node:diagnostics_channel"
import type { Socket } from "node:net"

interface Request {
  readonly connectionEnded: () => void
}

const requests = new WeakMap<Socket, Request>()

/** The request that undici is about to send: it publishes the connection right after it has told the handler. */
let starting: Request | undefined

let isSubscribed = false

const onSendHeaders = (message: unknown): void => {
  const request = starting
  if (request === undefined) return
  starting = undefined
  const { socket } = message as { readonly socket: Socket }
  // The listener comes before undici's own.
  if (!requests.has(socket)) socket.prependListener("end", () => requests.get(socket)?.connectionEnded())
  requests.set(socket, request)
}

/** To be called when undici starts a request. */
export const watch = (request: Request): void => {
  if (!isSubscribed) {
    isSubscribed = true
    Diagnostics.subscribe("undici:client:sendHeaders", onSendHeaders)
  }
  starting = request
}
