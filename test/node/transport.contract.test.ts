import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeTransport from "../../src/node/NodeTransport.js"
import { transportContract } from "../support/transportContract.js"

transportContract("fetch", FetchHttpClient.layer, {
  decodes: true,
  forms: true,
  notModified: true,
  limits: false,
  untraced: false,
  dropsFragment: true,
  emptyStream: "fails"
})

transportContract("stock undici", NodeHttpClient.layerUndici, {
  decodes: false,
  forms: false,
  notModified: false,
  limits: false,
  untraced: false,
  dropsFragment: false,
  emptyStream: "ends"
})

const limits = { headersTimeout: "600 millis", bodyTimeout: "600 millis", maxResponseBytes: 100_000 } as const

transportContract("NodeTransport", NodeTransport.layer(limits), {
  decodes: true,
  forms: true,
  notModified: true,
  limits: true,
  untraced: true,
  dropsFragment: true,
  emptyStream: "ends"
})
