import AsyncHTTPClient
import Channels
import ContactModel
import Customers
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Store
import Synchronization
import Testing

@testable import API

/// Values are planted wherever a customer's data can lie; a role from which everything is hidden finds none of them in
/// any answer, stream, export, webhook or log.
@Suite struct CanaryTests {
  private static let canaries: [String] = [
    "13898765432", "8613898765432", "canary.bird@nest.example", "440304199001011233", "6217990000001234560",
    "6222021234567890128", "6222 0212 3456 7890 128", "6222 0212 3",
  ]
  private static let phone = Address(kind: .phone, canonical: "+8613898765432", raw: "138-9876-5432")

  @Test func `a role from which everything is hidden finds no planted value anywhere`() async throws {
    let lines = Mutex<[String]>([])
    let everything = MaskPolicy(hidden: [:])
    try await Bank.open { bank in
      try await bank.database.write { transaction in
        _ = try transaction.upsert(
          CustomerRecord(
            customer: Customer(customerNo: CustomerNumber("CAN1")!, type: Code("retail")!, name: "金丝雀"),
            identityNo: "440304199001011233",
            contactPoints: [
              ContactPoint(address: Self.phone),
              ContactPoint(
                address: Address(kind: .email, canonical: "canary.bird@nest.example", raw: "Canary.Bird@nest.example")),
            ], accounts: ["6217990000001234560"]),
          nameFolded: NormalForm.name("金丝雀"), source: "core", at: testTime)
      }
      let text = """
        投诉：我的卡 6222021234567890128（6222 0212 3456 7890 128）被吞，请致电 13898765432 或写信 canary.bird@nest.example，\
        证件 440304199001011233
        """
      let (arrival, pop) = try await bank.arrive(text, from: Self.phone)
      let sink = Logger(label: "canary") { _ in CapturingLog { line in lines.withLock { $0.append(line) } } }
      try await serve(Branches.site(bank, masks: everything), also: [bank.hub], logger: sink) { served in
        // Written by whoever sees all, in every free text there is.
        for (path, body) in [
          ("/v1/activities", ["description": .string(text), "category": "visit", "customer_no": "CAN1"]),
          ("/v1/opportunities", ["sales_stage": "lead", "summary": .string(text), "customer_no": "CAN1"]),
          ("/v1/service-requests/\(pop.request!)/note", ["text": .string(text)]),
        ] as [(String, JSONValue)] {
          let answer = try await served.as("root", "POST", path, ["Idempotency-Key": UUID().uuidString], body: body)
          #expect(answer.status == 201, "\(answer.text)")
          Self.search(answer.text, path)
        }
        _ = try await served.as(
          "root", "PUT", "/v1/agents/1001/state", body: ["state": "not_ready", "reason": .string(text)])
        let taken = try await served.as(
          "agent-1001", "POST", "/v1/service-requests/\(pop.request!)/take", ["If-Match": "*"])
        Self.search(taken.text, "take")
        let activity = try await served.as("root", "GET", "/v1/activities").json["items"]?.array?.first?["id"]?.string
        let chance = try await served.as("root", "GET", "/v1/opportunities").json["items"]?.array?.first?["id"]?.string
        let decision = try await bank.database.read { try $0.contact(pop.contact!)?.identity.decision }

        var visited = 0
        for route in Branches.routes(bank) where route.method == .get {
          var path = route.path
          for (name, value) in [
            ("{customer_no}", "CAN1"), ("{agent}", "1001"), ("{arrival}", "\(arrival)"), ("{n}", "0"),
            ("{code}", "none"),
          ] { path = path.replacing(name, with: value) }
          if path.contains("{id}") {
            let id =
              path.hasPrefix("/v1/contacts")
              ? "\(pop.contact!)"
              : path.hasPrefix("/v1/service")
                ? "\(pop.request!)"
                : path.hasPrefix("/v1/activities")
                  ? activity ?? ""
                  : path.hasPrefix("/v1/opp")
                    ? chance ?? ""
                    : path.hasPrefix("/v1/decisions") ? "\(decision!)" : "\(pop.contact!)"
            path = path.replacing("{id}", with: id)
          }
          if path == "/v1/search" { path += "?q=投诉".escaped }
          if path == "/v1/decisions" { path += "?subject=\(pop.contact!)" }
          if case .other("text/event-stream")? = route.answers.first?.content {
            var request = HTTPClientRequest(url: served.url(path))
            request.headers.add(name: "Authorization", value: "Bearer \(Bank.token("root").text)")
            request.headers.add(name: "Last-Event-ID", value: "0")
            let stream = StreamReader(try await testClient.execute(request, timeout: .seconds(60)))
            var hits = 0
            while let event = try await stream.nextEvent() {
              Self.search(event.data ?? "", path)
              hits += 1
              if event.type == "pop.offered" { break }
            }
            #expect(hits > 0)
            visited += 1
            continue
          }
          let answer = try await served.as("root", "GET", path)
          Self.search(answer.text, path)
          if answer.status == 200 { visited += 1 }
        }
        #expect(visited > 30, "\(visited)")
        // Live too, not only replayed.
        var request = HTTPClientRequest(url: served.url("/v1/events/stream"))
        request.headers.add(name: "Authorization", value: "Bearer \(Bank.token("root").text)")
        let stream = StreamReader(try await testClient.execute(request, timeout: .seconds(60)))
        _ = try await stream.nextEvent()
        try await bank.arrive(text, from: Self.phone, wireKey: "second")
        while let event = try await stream.nextEvent() {
          Self.search(event.data ?? "", "live")
          if event.type == "pop.offered" { break }
        }
        // A webhook's body is masked as its subscriber is.
        let events = try await bank.database.read { try $0.events(after: 0, for: .everything, limit: 10_000) }
        let event = try #require(events.last { $0.body.contains("13898765432") })
        let message = WebhookMessage(event, secrets: [], mask: everything.mask(for: nil), at: testTime)
        Self.search(String(decoding: message.body, as: UTF8.self), "webhook")
        // What a client sends by mistake is not repeated in the log.
        _ = try await served.as("root", "GET", "/v1/customers/13898765432")
        _ = try await served.as("root", "GET", "/v1/customers?phone=13898765432")
        _ = try await served.as("root", "POST", "/v1/activities/13898765432", body: ["x": "6222021234567890128"])
      }
    }
    let log = lines.withLock { $0 }
    #expect(log.count > 30)
    for line in log { Self.search(line, "log") }
  }

  private static func search(_ text: String, _ place: String) {
    for canary in canaries {
      #expect(!text.localizedCaseInsensitiveContains(canary), "\(canary) in \(place): \(text.prefix(2_000))")
    }
  }
}

private struct CapturingLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace
  let write: @Sendable (String) -> Void
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { write("\(event.message) \(metadata) \(event.metadata ?? [:])") }
}
