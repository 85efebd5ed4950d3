import AsyncHTTPClient
import Channels
import ContactModel
import Foundation
import NIOCore
import NIOHTTP1
import Store
import Testing

@testable import API

/// Every look at a customer is on record, whatever the path, and the record cannot be altered unnoticed.
@Suite struct SightTests {
  private static func sights(_ bank: Bank, of number: String, by actor: String) async throws -> [AuditEntry] {
    try await bank.database.read {
      try $0.auditEntries(after: 0, customer: CustomerNumber(number)!, actor: actor, act: "read", limit: 10_000)
    }
  }

  @Test func `whatever names a customer in its answer leaves a row`() async throws {
    try await Bank.open { bank in
      let (arrival, pop) = try await bank.arrive("投诉：卡号问题")
      try await serve(Branches.site(bank)) { served in
        let key = ["Idempotency-Key": "one"]
        let visit: JSONValue = ["description": "visit", "category": "visit", "customer_no": "C100"]
        let activity = try await served.as("crm", "POST", "/v1/activities", key, body: visit)
        _ = try await served.as(
          "crm", "PUT", "/v1/customer-groups/vip", body: ["group_type": "entity", "name_zh": "贵宾", "name_en": "VIP"])
        _ = try await served.as("crm", "PUT", "/v1/customer-groups/vip/customers/C100")
        _ = try await served.as("crm", "PUT", "/v1/customers/C100/relations/C200", body: ["relation": "parent"])
        let decision = try await bank.database.read { try $0.contact(pop.contact!)?.identity.decision }
        var number = 0
        for path in [
          "/v1/customers", "/v1/customers?phone=13812345678", "/v1/customers/C100", "/v1/customers/C100/accounts",
          "/v1/customers/C100/relations", "/v1/customers/C200/relations", "/v1/customers/C100/timeline",
          "/v1/contacts", "/v1/contacts/\(pop.contact!)", "/v1/contacts/\(pop.contact!)/body", "/v1/service-requests",
          "/v1/service-requests/\(pop.request!)", "/v1/search?q=卡号".escaped, "/v1/activities",
          "/v1/activities/\(try activity.json["id"]?.string ?? "")", "/v1/decisions?subject=\(pop.contact!)",
          "/v1/decisions/\(decision!)", "/v1/events?page_size=1000", "/v1/explain/\(arrival)",
          "/v1/agents/1001/snapshot", "/v1/customer-groups/vip/customers",
        ] {
          // A token of its own for each path, so that each row can only be this path's.
          number += 1
          let label = "reader-\(number)"
          try await bank.database.write {
            try $0.add(
              AccessGrant(label: label, role: .admin, agentId: nil), tokenHash: Bank.token(label).digest.description,
              at: testTime)
          }
          let answer = try await served.as(label, "GET", path)
          #expect(answer.status == 200 && !answer.body.isEmpty, "\(path): \(answer.text)")
          #expect(try await Self.sights(bank, of: "C100", by: label).count >= 1, "\(path) leaves no row")
        }
        // The same answer given again is another look.
        _ = try await served.as("crm", "POST", "/v1/activities", key, body: visit)
        let again = try await Self.sights(bank, of: "C100", by: "crm")
        #expect(again.contains { $0.purpose == "replay" })

        let who = try await served.as(
          "audit", "GET", "/v1/audit/customers/C100?from=\(Bank.now() - .seconds(1))&until=\(Bank.now() + .seconds(1))")
        #expect(try who.json["items"]?.array?.count ?? 0 > 20)
        let before = try await served.as("audit", "GET", "/v1/audit/customers/C100?until=\(testTime)")
        #expect(try before.json["items"]?.array?.isEmpty == true)
      }
    }
  }

  @Test func `who was shown a pop on a stream is on record, and its candidates too`() async throws {
    try await Bank.open { bank in
      try await serve(Branches.site(bank), also: [bank.hub]) { served in
        func open(_ who: String, _ path: String, after last: String? = nil) async throws -> StreamReader {
          var request = HTTPClientRequest(url: served.url(path))
          request.headers.add(name: "Authorization", value: "Bearer \(Bank.token(who).text)")
          if let last { request.headers.add(name: "Last-Event-ID", value: last) }
          let stream = StreamReader(try await testClient.execute(request, timeout: .seconds(60)))
          while try await stream.nextEvent()?.type != "open", last == nil {}
          return stream
        }
        func untilPop(_ stream: StreamReader) async throws {
          while let event = try await stream.nextEvent(), event.type != "pop.offered" {}
        }
        func recorded(_ who: String) async throws {
          try await within(.seconds(10)) {
            while try await Self.sights(bank, of: "C100", by: who).filter({ $0.purpose == "stream" }).isEmpty {
              await Task.yield()
            }
          }
        }
        let agent = try await open("agent-1001", "/v1/agents/1001/events")
        let chief = try await open("chief", "/v1/overview/events")
        try await bank.arrive("投诉")
        try await untilPop(agent)
        try await untilPop(chief)
        try await recorded("agent-1001")
        try await recorded("chief")
        // Replayed, it is another's look.
        try await untilPop(try await open("crm", "/v1/events/stream", after: "0"))
        try await recorded("crm")
        #expect(try await Self.sights(bank, of: "C100", by: "agent-1002").isEmpty)
      }
    }
  }

  @Test func `an altered, a missing and an added row of the audit are found`() async throws {
    for damage in [
      "UPDATE audit SET actor = 'nobody' WHERE seq = 5", "DELETE FROM audit WHERE seq = 5",
      "UPDATE audit SET at = at + 1 WHERE seq = 5",
      "UPDATE audit SET hash = prev_hash WHERE seq = 5",
    ] {
      try await Bank.open { bank in
        try await serve(Branches.site(bank)) { served in
          for _ in 0..<10 { _ = try await served.as("chief", "GET", "/v1/customers/C100") }
          #expect(try await served.as("audit", "GET", "/v1/audit/verify").json["whole"] == true)
          // Through the store it cannot be done: whoever does it has taken the triggers away first.
          await #expect(throws: DatabaseError.self) { _ = try await bank.database.write { try $0.execute(damage) } }
          try await bank.database.write {
            try $0.execute(script: "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete")
            try $0.execute(damage)
          }
          let verdict = try await served.as("audit", "GET", "/v1/audit/verify").json
          #expect(verdict["whole"] == false, "\(damage)")
          #expect(verdict["broken_at"] == 5 || verdict["broken_at"] == 6, "\(verdict)")
        }
      }
    }
  }
}
