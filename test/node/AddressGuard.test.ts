import type * as Net from "node:net"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"
import * as AddressGuard from "../../src/node/AddressGuard.js"
import * as NodeTransport from "../../src/node/NodeTransport.js"
import * as Http from "../support/http.js"
import { raw } from "../support/transportContract.js"

const rules: OutgoingRequest.Rules = {
  timeout: "5 seconds",
  maxBytes: 50_000,
  redirects: 3,
  allowInsecureLocalhost: true
}

const guarded = (options: NodeTransport.GuardedOptions = {}) => Layer.build(NodeTransport.layerGuarded(options))

const allows = (options: AddressGuard.Options = {}) =>
  Effect.map(guarded(options), (context) => Context.get(context, AddressGuard.AddressGuard).allows)

/** A resolver under the test's control: each question gets the next answer, and is noted. */
const resolver = (...answers: ReadonlyArray<ReadonlyArray<string>>) => {
  const asked: Array<string> = []
  const lookup: Net.LookupFunction = (hostname, _options, callback) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? []
    asked.push(hostname)
    queueMicrotask(() => callback(null, answer.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }))))
  }
  return { asked, lookup }
}

const codeOf = (error: { readonly cause?: unknown }) => error.cause

describe("AddressGuard", () => {
  const PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::8a", "64:ff9b::808:808"]
  const NOT_PUBLIC = [
    // loopback, this host
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::1",
    // private, shared, unique local, site local
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fec0::1",
    // link-local; metadata of the clouds
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    // multicast, broadcast, reserved, documentation, benchmarks
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "4000::1",
    // IPv4 inside IPv6
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:10.0.0.1",
    "::127.0.0.1",
    "::7f00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:53aa:64c::1",
    // other notations of IPv4
    "127.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "192.168.257",
    // no addresses at all
    "",
    "localhost",
    "example.org",
    "1.2.3.4.5",
    "[::1]",
    "8.8.8.8 "
  ]

  it.scoped("allows public addresses", () =>
    Effect.map(allows(), (allowed) => {
      for (const address of PUBLIC) assert.isTrue(allowed(address), address)
    }))

  it.scoped("refuses all other addresses, in each notation", () =>
    Effect.map(allows(), (allowed) => {
      for (const address of NOT_PUBLIC) assert.isFalse(allowed(address), address)
    }))

  it.scoped("`allow` and `refuse` apply to IPv4-mapped addresses too", () =>
    Effect.map(allows({ allow: ["10.20.0.0/16", "fd12::/32"], refuse: ["10.20.99.0/24", "8.8.8.0/24"] }), (allowed) => {
      for (const address of ["10.20.0.1", "::ffff:10.20.0.1", "fd12::5", "1.1.1.1"]) {
        assert.isTrue(allowed(address), address)
      }
      for (const address of ["10.21.0.1", "10.20.99.1", "8.8.8.8", "::ffff:8.8.8.8", "fd13::5"]) {
        assert.isFalse(allowed(address), address)
      }
    }))

  it.scoped("names the setting that is wrong", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(guarded({ allow: ["10.0.0.0/8", "10.0.0.0/99", "ten"] }))
      assert.strictEqual(error._tag, "ConfigurationError")
      assert.deepStrictEqual(error.fields, ["allow"])
      assert.include(error.message, "2 of its entries")
    }))

  it.scopedLive("refuses a literal address in any notation of a URL, before any connection", () =>
    Effect.gen(function*() {
      let connections = 0
      const server = yield* raw(() => connections += 1)
      const client = Context.get(yield* guarded(), HttpClient.HttpClient)
      for (
        const host of [
          "127.0.0.1",
          "127.1",
          "0x7f.0.0.1",
          "2130706433",
          "017700000001",
          "①②⑦.⓪.⓪.①",
          "127.0.0.1.",
          "[::1]",
          "[::ffff:127.0.0.1]",
          "[::ffff:7f00:1]",
          "0.0.0.0",
          "localhost"
        ]
      ) {
        const error = yield* Effect.flip(client.get(`http://${host}:${server.port}/`))
        assert.propertyVal(codeOf(error), "reason", "AddressRefused", host)
        assert.propertyVal(codeOf(error), "processed", "no", host)
      }
      assert.strictEqual(connections, 0)
    }))

  it.scopedLive("DNS rebinding: connects to the address that was checked", () =>
    Effect.gen(function*() {
      let connections = 0
      const server = yield* raw((socket) => {
        connections += 1
        socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
      })
      // The second resolution would return a private address; it is never made.
      const names = resolver(["93.184.216.34"], ["127.0.0.1"])
      const client = Context.get(
        yield* guarded({ lookup: names.lookup, connectTimeout: "400 millis" }),
        HttpClient.HttpClient
      )
      const url = `http://rebind.example:${server.port}/`
      yield* Effect.flip(client.get(url))
      assert.deepStrictEqual(names.asked, ["rebind.example"])
      assert.strictEqual(connections, 0)
      // For the next connection it is asked and judged anew.
      const error = yield* Effect.flip(client.get(url))
      assert.propertyVal(codeOf(error), "reason", "AddressRefused")
      assert.strictEqual(names.asked.length, 2)
      assert.strictEqual(connections, 0)
    }))

  it.scopedLive("connects only to the allowed addresses of a name with several", () =>
    Effect.gen(function*() {
      let connections = 0
      const server = yield* raw((socket) => {
        connections += 1
        socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"))
      })
      const url = `http://many.example:${server.port}/`
      const answer = ["::1", "10.0.0.1", "127.0.0.1"]
      const strict = Context.get(yield* guarded({ lookup: resolver(answer).lookup }), HttpClient.HttpClient)
      assert.propertyVal(codeOf(yield* Effect.flip(strict.get(url))), "reason", "AddressRefused")
      assert.strictEqual(connections, 0)
      const listed = Context.get(
        yield* guarded({ lookup: resolver(answer).lookup, allow: ["127.0.0.0/8"] }),
        HttpClient.HttpClient
      )
      assert.strictEqual(yield* Effect.flatMap(listed.get(url), (response) => response.text), "ok")
      assert.strictEqual(connections, 1)
    }))

  it.scopedLive("refuses a redirect to a private address", () =>
    Effect.gen(function*() {
      let inner = 0
      const target = yield* raw(() => inner += 1)
      const server = yield* Http.server((_, response) => {
        response.writeHead(302, { location: `http://[::ffff:127.0.0.1]:${target.port}/latest/meta-data` })
        response.end()
      })
      const context = yield* guarded()
      yield* Context.get(context, AddressGuard.AddressGuard).trust(server.origin)
      const failure = yield* Effect.flip(
        OutgoingRequest.send(Context.get(context, HttpClient.HttpClient), HttpClientRequest.get(server.origin), rules)
      )
      assert.strictEqual(failure.reason, "RedirectRefused")
      const direct = yield* Effect.flip(
        Context.get(context, HttpClient.HttpClient).get(`http://127.0.0.1:${target.port}/`)
      )
      assert.propertyVal(codeOf(direct), "reason", "AddressRefused")
      assert.strictEqual(inner, 0)
    }))

  it.scopedLive("allows the origin of a configured server while it is configured, and no other", () =>
    Effect.gen(function*() {
      const server = yield* Http.server((_, response) => {
        response.setHeader("connection", "close")
        response.end("ok")
      })
      const other = yield* Http.server((_, response) => response.end("ok"))
      const context = yield* guarded()
      const client = Context.get(context, HttpClient.HttpClient)
      const guard = Context.get(context, AddressGuard.AddressGuard)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* guard.trust(`${server.origin}/fhir`)
        yield* Effect.scoped(guard.trust(`${server.origin}/another`))
        assert.strictEqual(yield* Effect.flatMap(client.get(`${server.origin}/fhir`), (r) => r.text), "ok")
        assert.propertyVal(codeOf(yield* Effect.flip(client.get(other.origin))), "reason", "AddressRefused")
      }))
      assert.propertyVal(codeOf(yield* Effect.flip(client.get(server.origin))), "reason", "AddressRefused")
    }))

  it.scopedLive("a refused address is an error with processed `no`", () =>
    Effect.gen(function*() {
      const client = Context.get(yield* guarded(), HttpClient.HttpClient)
      const failure = yield* Effect.flip(
        OutgoingRequest.send(client, HttpClientRequest.get("https://10.0.0.1/"), rules)
      )
      assert.strictEqual(failure.processed, "no")
      assert.include(failure.detail, "ERR_ADDRESS_REFUSED")
    }))
})
