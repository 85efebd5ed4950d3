import AsyncHTTPClient
import Channels
import ContactModel
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Store
import Synchronization
import Testing

@testable import API

/// Many at once, over real connections.
@Suite struct ContentionTests {
  @Test func `fifty clients with one Idempotency-Key have one effect and one answer`() async throws {
    try await Bank.open { bank in
      try await serve(Branches.site(bank)) { served in
        let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
          for _ in 0..<50 {
            group.addTask {
              try await served.as(
                "crm", "POST", "/v1/activities", ["Idempotency-Key": "the-one"],
                body: ["description": "visit", "category": "visit", "customer_no": "C100"])
            }
          }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0.status == 201 }, "\(Set(answers.map(\.status)))")
        #expect(Set(answers.map(\.text)).count == 1)
        #expect(answers.count { $0["Idempotency-Replayed"] == nil } == 1)
        let made = try await served.as("crm", "GET", "/v1/activities")
        #expect(try made.json["items"]?.array?.count == 1)
        let other = try await served.as(
          "crm", "POST", "/v1/activities", ["Idempotency-Key": "the-one"],
          body: ["description": "another", "category": "visit"])
        #expect(other.status == 422)
      }
    }
  }

  @Test func `of two agents who take one request at once one has it and the other gets 412`() async throws {
    try await Bank.open { bank in
      try await serve(Branches.site(bank)) { served in
        for number in 0..<10 {
          let phone = Address(kind: .phone, canonical: "+861390000000\(number)", raw: "1390000000\(number)")
          let (_, pop) = try await bank.arrive("请问", from: phone, category: "consultation")
          async let one = served.as(
            "agent-1001", "POST", "/v1/service-requests/\(pop.request!)/take", ["If-Match": "\"v1\""])
          async let two = served.as(
            "agent-1002", "POST", "/v1/service-requests/\(pop.request!)/take", ["If-Match": "\"v1\""])
          let answers = try await [one, two]
          #expect(answers.map(\.status).sorted() == [200, 412])
          #expect(answers.first { $0.status == 412 }?["ETag"] == "\"v2\"")
        }
      }
    }
  }

  @Test func `a receiver that hangs delays no other`() async throws {
    try await Bank.open { bank in
      let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
      let (hanging, hangs) = AsyncStream.makeStream(of: Void.self)
      let site = Site(mounts: [
        Mount(prefix: "/hangs") { _ in
          hangs.yield()
          // Until the dispatcher gives up, or the test is over.
          do { try await Task.sleep(for: .seconds(30)) } catch {}
          return MountedResponse(status: 204)
        },
        Mount(prefix: "/works") { _ in
          arrived.yield()
          return MountedResponse(status: 204)
        },
      ])
      let dispatcher = WebhookDispatcher(
        database: bank.database, now: Bank.now, logger: Logger(label: "webhooks") { _ in SwiftLogNoOpLogHandler() })
      try await serve(site, also: [dispatcher]) { served in
        for path in ["hangs", "works"] {
          try await bank.database.write { transaction in
            try transaction.insert(
              Webhook(
                id: WebhookID(at: Bank.now()), url: "http://127.0.0.1:\(served.port)/\(path)", label: path,
                types: ["contact.opened"], secrets: [WebhookSecret().text], role: "integration", allowsInternal: true,
                cursor: try transaction.lastEventSequence(), createdAt: Bank.now()))
          }
        }
        dispatcher.reload()
        try await within(.seconds(10)) {
          try await bank.arrive("投诉一", wireKey: "a")
          for await _ in hanging { break }
          // It hangs now. The other hears of everything that follows.
          for number in 0..<5 { try await bank.arrive("投诉 \(number)", wireKey: "b\(number)") }
          var left = 6
          for await _ in arrivals {
            left -= 1
            if left == 0 { break }
          }
        }
      }
    }
  }
}
