import AsyncHTTPClient
import Channels
import ContactModel
import Foundation
import NIOCore
import NIOHTTP1
import PostgresForTests
import Store
import Testing

@testable import API

/// A role sees its departments, and what is another's is not there: 404, and in no list, stream or export.
@Suite struct DepartmentTests {
  private static var stores: [StoreURL?] {
    get throws {
      LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil]
    }
  }

  @Test func `what belongs to another department is in no list and answers 404`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        try await Branches.found(in: bank)
        let (_, southern) = try await bank.arrive("投诉：南方的信用卡")
        let (_, northern) = try await bank.arrive(
          "请问北方的信用卡", from: Branches.northPhone, category: "consultation")
        try await serve(Branches.site(bank)) { served in
          func items(_ who: String, _ path: String, _ member: String = "items") async throws -> [JSONValue] {
            let answer = try await served.as(who, "GET", path)
            #expect(answer.status == 200, "\(who) \(path): \(answer.text)")
            return try answer.json[member]?.array ?? []
          }
          let made = try await served.as(
            "crm", "POST", "/v1/activities", ["Idempotency-Key": "a"],
            body: ["description": "visit", "category": "visit", "customer_no": "N100"])
          let activity = try #require(try made.json["id"]?.string)
          let chance = try await served.as(
            "crm", "POST", "/v1/opportunities", ["Idempotency-Key": "b"],
            body: ["sales_stage": "lead", "summary": "loan", "customer_no": "N100"])
          let opportunity = try #require(try chance.json["id"]?.string)

          for (who, expected) in [("south", 1), ("north", 1), ("head", 2), ("chief", 2)] {
            #expect(try await items(who, "/v1/contacts").count == expected, "\(who)")
            #expect(try await items(who, "/v1/service-requests").count == expected, "\(who)")
            #expect(try await items(who, "/v1/search?q=信用卡".escaped, "contacts").count == expected, "\(who)")
            #expect(try await items(who, "/v1/search?q=信用卡".escaped, "service_requests").count == expected, "\(who)")
          }
          #expect(
            try await items("south", "/v1/customers").compactMap { $0["customer_no"]?.string } == ["C100", "C200"])
          #expect(try await items("south", "/v1/customers?phone=13911112222").isEmpty)
          #expect(try await items("south", "/v1/activities").isEmpty)
          #expect(try await items("north", "/v1/activities").count == 1)
          #expect(try await items("south", "/v1/opportunities").isEmpty)
          #expect(try await items("north", "/v1/opportunities").count == 1)
          #expect(try await items("south", "/v1/decisions?subject=\(northern.contact!)").isEmpty)
          let agents = try await items("south", "/v1/agents")
          #expect(!agents.contains { $0["agent_id"] == "1003" })
          let events = try await items("south", "/v1/events?page_size=1000")
          #expect(events.contains { $0["request_id"] == .text(southern.request!) })
          #expect(!events.contains { $0["request_id"] == .text(northern.request!) || $0["customer_no"] == "N100" })

          for path in [
            "/v1/customers/N100", "/v1/customers/N100/accounts", "/v1/customers/N100/relations",
            "/v1/customers/N100/timeline", "/v1/contacts/\(northern.contact!)",
            "/v1/contacts/\(northern.contact!)/body",
            "/v1/contacts/\(northern.contact!)/attachments/0", "/v1/service-requests/\(northern.request!)",
            "/v1/explain/\(northern.contact!)", "/v1/explain/\(northern.request!)", "/v1/activities/\(activity)",
            "/v1/opportunities/\(opportunity)", "/v1/links/\(northern.contact!)", "/v1/links/\(activity)",
            "/v1/agents/1003", "/v1/agents/1003/snapshot", "/v1/agents/1003/events",
          ] {
            #expect(try await served.as("south", "GET", path).status == 404, "\(path)")
            guard !path.hasSuffix("events"), !path.hasSuffix("/0") else { continue }
            #expect(try await served.as("chief", "GET", path).status == 200, "\(path)")
          }
          let decision = try await items("north", "/v1/decisions?subject=\(northern.contact!)").first?["id"]?.string
          #expect(try await served.as("south", "GET", "/v1/decisions/\(try #require(decision))").status == 404)
          #expect(try await served.as("south-audit", "GET", "/v1/audit/customers/N100").status == 404)
          let lines = try await served.as("south-audit", "GET", "/v1/audit/export")
          #expect(!lines.text.contains("N100") && lines.status == 200)
          #expect(try await served.as("audit", "GET", "/v1/audit/export").text.contains("N100"))

          let note: JSONValue = ["text": "x"]
          for (who, method, path, body) in [
            ("south", "POST", "/v1/service-requests/\(northern.request!)/note", note),
            ("south", "POST", "/v1/contacts/\(northern.contact!)/customer", ["customer_no": .null]),
            ("south-crm", "PUT", "/v1/customers/N100", ["type": "retail", "name": "x"]),
            ("south-crm", "PUT", "/v1/customers/C100/relations/N100", ["relation": "parent"]),
            ("south-crm", "PUT", "/v1/activities/\(activity)", ["description": "x", "category": "visit"]),
            ("south-crm", "PUT", "/v1/links/\(northern.contact!)/\(activity)", nil),
            ("south-crm", "DELETE", "/v1/links/\(northern.contact!)/\(northern.request!)", nil),
            ("south", "PUT", "/v1/agents/1003/state", ["state": "offline"]),
          ] as [(String, String, String, JSONValue?)] {
            let answer = try await served.as(
              who, method, path, ["Idempotency-Key": UUID().uuidString, "If-Match": "*"], body: body)
            #expect(answer.status == 404, "\(who) \(method) \(path): \(answer.status) \(answer.text)")
          }
          let foreign = try await served.as(
            "south", "POST", "/v1/contacts/\(southern.contact!)/customer", ["If-Match": "*"],
            body: ["customer_no": "N100"])
          #expect(foreign.status == 422)
          let bulk = try await served.as(
            "south-crm", "POST", "/v1/customers/bulk",
            body: ["items": [["customer_no": "N100", "type": "retail", "name": "taken over"]]])
          #expect(try bulk.json["refused"] == 1)
          let admin = try await served.as(
            "south-admin", "POST", "/v1/tokens", body: ["label": "x", "role": "supervisor"])
          #expect(admin.status == 422)
          let granted = try await served.as(
            "south-admin", "POST", "/v1/tokens", body: ["label": "x", "role": "supervisor", "department": "south"])
          #expect(granted.status == 201)
        }
      }
    }
  }

  @Test func `an agent sees his own work and what his department sees`() async throws {
    try await Bank.open { bank in
      try await Branches.found(in: bank)
      let (_, southern) = try await bank.arrive("投诉")
      let (_, northern) = try await bank.arrive("请问", from: Branches.northPhone, category: "consultation")
      try await serve(Branches.site(bank)) { served in
        // 1003 has no queue, and his record says north.
        for (method, path, status) in [
          ("GET", "/v1/contacts/\(northern.contact!)", 200), ("GET", "/v1/contacts/\(southern.contact!)", 404),
          ("POST", "/v1/service-requests/\(northern.request!)/take", 403),
          ("POST", "/v1/service-requests/\(southern.request!)/take", 404),
        ] {
          let answer = try await served.as("agent-1003", method, path, ["If-Match": "*"])
          #expect(answer.status == status, "\(method) \(path): \(answer.text)")
        }
      }
    }
  }

  @Test func `a stream of everything leaves out what happens elsewhere, live and replayed`() async throws {
    try await Bank.open { bank in
      try await Branches.found(in: bank)
      try await bank.arrive("请问一", from: Branches.northPhone, category: "consultation")
      try await serve(Branches.site(bank), also: [bank.hub]) { served in
        var request = HTTPClientRequest(url: served.url("/v1/events/stream"))
        request.headers.add(name: "Authorization", value: "Bearer \(Bank.token("south").text)")
        request.headers.add(name: "Last-Event-ID", value: "0")
        let stream = StreamReader(try await testClient.execute(request, timeout: .seconds(60)))
        _ = try await stream.next()
        // Of before nothing but what is nobody's; then one event elsewhere and one here.
        try await bank.arrive("请问二", from: Branches.northPhone, category: "consultation")
        let (_, southern) = try await bank.arrive("投诉")
        while true {
          let event = try #require(try await stream.nextEvent())
          let data = try JSONReader.read(Array((event.data ?? "").utf8))
          #expect(!(event.data ?? "").contains("N100"), "\(event)")
          if data["request_id"] == .text(southern.request!), event.type == "pop.offered" { break }
        }
      }
    }
  }

  @Test func `a department's webhook is told of its own events alone`() async throws {
    try await Bank.open { bank in
      try await Branches.found(in: bank)
      let id = WebhookID(at: testTime)
      try await bank.database.write {
        try $0.insert(
          Webhook(
            id: id, url: "https://x.example", label: "south", types: [], secrets: [], role: "integration",
            departments: [Code("south")!], allowsInternal: false, cursor: 0, createdAt: testTime))
      }
      let (_, southern) = try await bank.arrive("投诉")
      let (_, northern) = try await bank.arrive("请问", from: Branches.northPhone, category: "consultation")
      var moved = 1
      while moved > 0 {
        moved = try await bank.database.write { try $0.fillOutbox(of: id, limit: 50, at: testTime) }
      }
      let told = try await bank.database.read { try $0.deliveries(of: id, state: nil, before: nil, limit: 1_000) }
      let subjects = told.map(\.subject)
      #expect(subjects.contains("\(southern.contact!)"))
      #expect(!subjects.contains("\(northern.contact!)") && !subjects.contains("\(northern.request!)"))
    }
  }
}

extension String {
  var escaped: String { addingPercentEncoding(withAllowedCharacters: .urlQueryAllowed) ?? self }
}
