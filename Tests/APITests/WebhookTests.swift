import Channels
import ContactModel
import Crypto
import Foundation
import Logging
import PostgresForTests
import ServiceLifecycle
import Store
import Synchronization
import Testing

@testable import API

/// A receiver over a real socket that notes what it was sent and answers what a test wants.
private final class Receiver: Sendable {
  struct Seen: Sendable {
    var id: String
    var timestamp: String
    var signatures: String
    var body: JSONValue
    var bytes: [UInt8]
    var subject: String { body["subject"]?.string ?? "" }
    var seq: Int64 { body["data"]?["seq"]?.integer ?? 0 }
  }
  let seen = Mutex<[Seen]>([])
  let status = Mutex(204)
  private let arrivals: AsyncStream<Int>
  private let arrived: AsyncStream<Int>.Continuation

  init() { (arrivals, arrived) = AsyncStream.makeStream() }

  var mount: Mount {
    Mount(prefix: "/hook") { request in
      let status = self.status.withLock { $0 }
      if (200...299).contains(status) {
        self.seen.withLock {
          $0.append(
            Seen(
              id: request.header("webhook-id") ?? "", timestamp: request.header("webhook-timestamp") ?? "",
              signatures: request.header("webhook-signature") ?? "",
              body: (try? JSONReader.read(request.body)) ?? .null, bytes: request.body))
        }
      }
      self.arrived.yield(status)
      return MountedResponse(status: status)
    }
  }

  /// Waits for so many requests, whatever they were answered.
  func wait(for count: Int) async throws {
    try await within(.seconds(20)) {
      var left = count
      for await _ in self.arrivals {
        left -= 1
        if left == 0 { return }
      }
    }
  }
}

@Suite struct WebhookTests {
  private static func dispatcher(_ bank: Bank, _ clock: Shared<Timestamp>) -> WebhookDispatcher {
    WebhookDispatcher(
      database: bank.database, now: { clock.withLock { $0 } },
      logger: Logger(label: "webhooks") { _ in SwiftLogNoOpLogHandler() })
  }

  private static func subscribe(_ bank: Bank, port: Int, role: String = "integration", internalAllowed: Bool = true)
    async throws -> (WebhookID, WebhookSecret)
  {
    let secret = WebhookSecret()
    let id = WebhookID(at: Bank.now())
    try await bank.database.write { transaction in
      try transaction.insert(
        Webhook(
          id: id, url: "http://127.0.0.1:\(port)/hook", label: "test", types: [], secrets: [secret.text], role: role,
          allowsInternal: internalAllowed, cursor: try transaction.lastEventSequence(), createdAt: Bank.now()))
    }
    return (id, secret)
  }

  @Test func `a receiver that was away for sixty hours gets everything, once, in order per subject, and verifies it`()
    async throws
  {
    for url in LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil] {
      try await Bank.open(on: url) { bank in
        let receiver = Receiver()
        let clock = Shared(Bank.now())
        try await serve(Site(mounts: [receiver.mount])) { served in
          let (id, secret) = try await Self.subscribe(bank, port: served.port)
          receiver.status.withLock { $0 = 503 }
          for number in 0..<5 { try await bank.arrive("投诉 \(number) 13812345678 6222021234567890128") }
          // Each round is a daemon of its own, as after a kill: only the store remembers.
          var next = try await Self.dispatcher(bank, clock).round(of: id)?.date
          let end = Bank.now() + .seconds(60 * 3_600)
          while let date = next, date < end {
            clock.withLock { $0 = max($0, date) }
            next = try await Self.dispatcher(bank, clock).round(of: id)?.date
          }
          #expect(receiver.seen.withLock { $0.isEmpty })
          let waiting = try await bank.database.read {
            try $0.deliveries(of: id, state: .pending, before: nil, limit: 1_000).count
          }
          #expect(waiting >= 15)
          receiver.status.withLock { $0 = 200 }
          for _ in 0..<5 {
            guard let date = try await Self.dispatcher(bank, clock).round(of: id)?.date else { break }
            clock.withLock { $0 = max($0, date) }
          }
          let seen = receiver.seen.withLock { $0 }
          #expect(seen.count == waiting && Set(seen.map(\.id)).count == seen.count)
          for subject in Set(seen.map(\.subject)) {
            let order = seen.filter { $0.subject == subject }.map(\.seq)
            #expect(order == order.sorted())
          }
          let key = SymmetricKey(data: Data(base64Encoded: String(secret.text.dropFirst(6)))!)
          for one in seen {
            let signed = Data("\(one.id).\(one.timestamp).".utf8) + Data(one.bytes)
            let expected = "v1," + Data(HMAC<SHA256>.authenticationCode(for: signed, using: key)).base64EncodedString()
            #expect(one.signatures == expected)
            #expect(one.body["specversion"] == "1.0")
          }
          #expect(!seen.contains { String(decoding: $0.bytes, as: UTF8.self).contains("6222021234567890128") })
        }
      }
    }
  }

  @Test func `the running dispatcher delivers at once, and 410 disables`() async throws {
    try await Bank.open { bank in
      let receiver = Receiver()
      let dispatcher = WebhookDispatcher(
        database: bank.database, now: Bank.now, logger: Logger(label: "webhooks") { _ in SwiftLogNoOpLogHandler() })
      try await serve(Site(mounts: [receiver.mount]), also: [dispatcher]) { served in
        let (id, _) = try await Self.subscribe(bank, port: served.port)
        dispatcher.reload()
        try await bank.arrive("投诉")
        try await receiver.wait(for: 3)
        receiver.status.withLock { $0 = 410 }
        let events = try await bank.database.read { try $0.lastEventSequence() }
        try await bank.arrive("投诉 again", from: Address(kind: .phone, canonical: "+8613900000000", raw: "13900000000"))
        try await receiver.wait(for: 1)
        try await within(.seconds(10)) {
          while true {
            let state = try await bank.database.read { try $0.webhook(id)?.state }
            if state == .disabled { return }
          }
        }
        #expect(events > 0)
      }
    }
  }

  @Test func `an internal address is refused when subscribing and when delivering`() async throws {
    try await Bank.open { bank in
      let dispatcher = Self.dispatcher(bank, Shared(Bank.now()))
      let routes = WebhookResources(database: bank.database, dispatcher: dispatcher, mayAllowInternal: false).routes
      let site = Site(
        routes: routes + [Description.serving(version: "1.0", routes: routes)],
        authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now)
      try await serve(site) { served in
        let conformance = try await Conformance(served)
        for url in [
          "http://example.com/", "https://127.0.0.1/", "https://10.1.2.3:8443/x", "https://[::1]/",
          "https://localhost/x",
          "https://169.254.169.254/latest", "ftp://example.com", "https://user@example.com/",
        ] {
          let answer = try await served.as("crm", "POST", "/v1/webhooks", body: ["url": .string(url)])
          #expect(answer.status == 422, "\(url)")
        }
        let made = try await served.as(
          "crm", "POST", "/v1/webhooks", body: ["url": "https://hooks.example.com/x", "types": ["contact.opened"]])
        #expect(made.status == 201 && conformance.faults("POST", template: "/v1/webhooks", made) == [])
        let id = try #require(try made.json["webhook"]?["id"]?.string)
        let one = "/v1/webhooks/{id}"
        for (method, path, template, fields, body, status) in [
          ("GET", "/v1/webhooks/\(id)", one, [:], nil, 200),
          (
            "PUT", "/v1/webhooks/\(id)", one, ["If-Match": "\"v1\""],
            ["url": "https://a.example", "webhook_state": "paused"], 200
          ),
          ("PUT", "/v1/webhooks/\(id)", one, ["If-Match": "\"v1\""], ["url": "https://a.example"], 412),
          ("POST", "/v1/webhooks/\(id)/rotate", one + "/rotate", [:], nil, 200),
          ("GET", "/v1/webhooks/\(id)/deliveries", one + "/deliveries", [:], nil, 200),
          ("POST", "/v1/webhooks/\(id)/resend", one + "/resend", [:], [:], 202),
          ("GET", "/v1/webhooks", "/v1/webhooks", [:], nil, 200), ("DELETE", "/v1/webhooks/\(id)", one, [:], nil, 204),
          ("GET", "/v1/webhooks/\(id)", one, [:], nil, 404),
        ] as [(String, String, String, [String: String], JSONValue?, Int)] {
          let answer = try await served.as("crm", method, path, fields, body: body)
          #expect(answer.status == status, "\(method) \(path): \(answer.text)")
          #expect(conformance.faults(method, template: template, answer) == [], "\(method) \(path)")
        }
        let (hidden, _) = try await Self.subscribe(bank, port: served.port, internalAllowed: false)
        try await bank.arrive("投诉")
        _ = try await dispatcher.round(of: hidden)
        let state = try await bank.database.read { try $0.webhook(hidden)?.state }
        #expect(state == .disabled)
      }
    }
  }

  @Test func `the schedule of attempts`() {
    var now = testTime
    for (attempt, wait) in WebhookPolicy.waits.enumerated() {
      let verdict = WebhookPolicy.judge(status: 500, fault: nil, retryAfter: nil, attempts: attempt, chance: 0, at: now)
      #expect(verdict == .again(at: now + wait, fault: "status 500"))
      now = now + wait
    }
    #expect(now - testTime > .seconds(60 * 3_600))
    #expect(
      WebhookPolicy.judge(status: nil, fault: "reset", retryAfter: nil, attempts: 9, chance: 0, at: now)
        == .exhausted(fault: "reset"))
    #expect(
      WebhookPolicy.judge(status: 429, fault: nil, retryAfter: .seconds(60), attempts: 0, chance: 0, at: now)
        == .again(at: now + .seconds(60), fault: "status 429"))
    #expect(WebhookPolicy.judge(status: 410, fault: nil, retryAfter: nil, attempts: 0, chance: 0, at: now) == .gone)
    #expect(
      WebhookPolicy.judge(status: 201, fault: nil, retryAfter: nil, attempts: 0, chance: 0, at: now) == .delivered)
  }

  @Test(arguments: [
    ("127.0.0.1", true), ("10.0.0.1", true), ("172.20.1.1", true), ("192.168.3.4", true), ("169.254.169.254", true),
    ("100.64.0.1", true), ("0.0.0.0", true), ("224.0.0.1", true), ("::1", true), ("fe80::1", true), ("fd00::1", true),
    ("::ffff:10.0.0.1", true), ("8.8.8.8", false), ("172.32.0.1", false), ("2606:4700::1111", false),
    ("93.184.216.34", false),
  ])
  func `which addresses are internal`(address: String, isInternal: Bool) {
    #expect(InternalAddress.isInternal(address) == isInternal)
  }
}
