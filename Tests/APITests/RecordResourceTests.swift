import Channels
import ContactModel
import Foundation
import PostgresForTests
import Store
import Testing

@testable import API

/// What the rest of the CRM reads and writes, over live sockets and a real store.
@Suite struct RecordResourceTests {
  private static func site(_ bank: Bank) -> Site {
    let cursors = CursorSigner(secret: Array(repeating: 7, count: 32))
    let routes =
      CustomerResources(database: bank.database, cursors: cursors).routes
      + RecordResources(database: bank.database, cursors: cursors).routes + bank.operatorResources.routes
    return Site(
      routes: routes + [Description.serving(version: "1.0", routes: routes)],
      authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now)
  }

  /// On both engines where PostgreSQL is here.
  private static var stores: [StoreURL?] {
    get throws {
      LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil]
    }
  }

  @Test func `customers are upserted, found, changed under a condition, and every look is on record`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        try await serve(Self.site(bank)) { served in
          let conformance = try await Conformance(served)
          func call(
            _ who: String, _ method: String, _ path: String, _ template: String, _ fields: [String: String] = [:],
            body: JSONValue? = nil, expect status: Int
          ) async throws -> Answer {
            let answer = try await served.as(who, method, path, fields, body: body)
            #expect(answer.status == status, "\(method) \(path): \(answer.text)")
            #expect(conformance.faults(method, template: template, answer) == [], "\(method) \(path)")
            return answer
          }
          let one = "/v1/customers/{customer_no}"
          let li: JSONValue = [
            "type": "retail", "name": "李 小龙", "level": 1, "identity_no": "11010519491231002X",
            "contact_points": [
              ["kind": "phone", "value": "139 0000 1111"], ["kind": "email", "value": "Li@Example.com"],
            ], "accounts_no": ["6217-0000-9999"],
          ]
          _ = try await call("crm", "PUT", "/v1/customers/C300", one, body: li, expect: 201)
          let again = try await call("crm", "PUT", "/v1/customers/C300", one, body: li, expect: 200)
          #expect(again["etag"] == "\"v2\"")
          _ = try await call("crm", "PUT", "/v1/customers/C300", one, ["If-Match": "\"v1\""], body: li, expect: 412)
          _ = try await call(
            "crm", "PUT", "/v1/customers/C301", one, body: ["type": "no-such", "name": "x"], expect: 422)
          _ = try await call(
            "crm", "PUT", "/v1/customers/C301", one, body: ["type": "retail", "name": "x", "wrong": 1], expect: 422)
          _ = try await call("agent-1001", "PUT", "/v1/customers/C300", one, body: li, expect: 403)
          let seen = try await call("chief", "GET", "/v1/customers/C300?purpose=service", one, expect: 200)
          #expect(try seen.json["contact_points"]?.array?.last?["canonical"] == "+8613900001111")
          let masked = try await call("market", "GET", "/v1/customers/C300", one, expect: 200)
          for canary in ["13900001111", "Li@Example", "11010519491231002X", "621700009999"] {
            #expect(!masked.text.contains(canary), "\(canary)")
          }
          _ = try await call("chief", "GET", "/v1/customers/C999", one, expect: 404)
          let found = try await call("chief", "GET", "/v1/customers?name=李小", "/v1/customers", expect: 200)
          #expect(try found.json["items"]?.array?.count == 1)
          let holder = try await call("chief", "GET", "/v1/customers?phone=13900001111", "/v1/customers", expect: 200)
          #expect(try holder.json["items"]?.array?.first?["customer_no"] == "C300")
          _ = try await call("chief", "GET", "/v1/customers?phone=abc", "/v1/customers", expect: 422)

          let first = try await call("chief", "GET", "/v1/customers?page_size=2", "/v1/customers", expect: 200)
          let cursor = try #require(try first.json["next_cursor"]?.string)
          let second = try await call(
            "chief", "GET", "/v1/customers?page_size=2&cursor=\(cursor)", "/v1/customers", expect: 200)
          #expect(try second.json["items"]?.array?.first?["customer_no"] == "C300")
          _ = try await call(
            "chief", "GET", "/v1/customers?type=retail&cursor=\(cursor)", "/v1/customers", expect: 400)

          let points = one + "/contact-points"
          _ = try await call(
            "crm", "PUT", "/v1/customers/C300/contact-points", points,
            body: ["kind": "phone", "value": "13900001111", "state": "invalid", "verified_at": "2023-11-14T00:00:00Z"],
            expect: 200)
          _ = try await call(
            "crm", "DELETE", "/v1/customers/C300/contact-points?kind=email&value=li@example.com", points, expect: 204)
          _ = try await call(
            "crm", "PUT", "/v1/customers/C300/accounts/62170001", one + "/accounts/{account_no}",
            body: ["business_system": "core"], expect: 200)
          _ = try await call(
            "crm", "DELETE", "/v1/customers/C300/accounts/62170001", one + "/accounts/{account_no}", expect: 204)
          _ = try await call("chief", "GET", "/v1/customers/C300/accounts", one + "/accounts", expect: 200)
          _ = try await call(
            "crm", "PUT", "/v1/customers/C300/relations/C200", one + "/relations/{other}",
            body: ["relation": "contact_person"], expect: 200)
          let relations = try await call(
            "chief", "GET", "/v1/customers/C200/relations", one + "/relations", expect: 200)
          #expect(try relations.json["items"]?.array?.count == 1)

          let who = try await call(
            "audit", "GET", "/v1/audit/customers/C300", "/v1/audit/customers/{customer_no}", expect: 200)
          let acts = try who.json["items"]?.array?.compactMap { $0["actor"]?.string } ?? []
          #expect(Set(acts).isSuperset(of: ["crm", "chief", "market"]))
          #expect(!who.text.contains("13900001111"))
          let whole = try await call("audit", "GET", "/v1/audit/verify", "/v1/audit/verify", expect: 200)
          #expect(try whole.json["whole"] == true)
          let lines = try await call("audit", "GET", "/v1/audit/export", "/v1/audit/export", expect: 200)
          #expect(lines.text.split(separator: "\n").count > 10 && !lines.text.contains("13900001111"))
        }
      }
    }
  }

  @Test func `ten thousand customers in one call, each with its verdict; a rehearsal writes nothing`() async throws {
    try await Bank.open { bank in
      try await serve(Self.site(bank)) { served in
        var items: [JSONValue] = (0..<9_998).map {
          ["customer_no": .string("B\($0)"), "type": "retail", "name": .string("客户\($0)")]
        }
        items.append(["customer_no": "B1", "type": "retail", "name": "twice"])
        items.append(["customer_no": "bad no!", "type": "retail"])
        let rehearsal = try await served.as(
          "crm", "POST", "/v1/customers/bulk", body: ["items": .array(Array(items.suffix(60))), "dry_run": true])
        #expect(try rehearsal.json["refused"] == 1)
        #expect(try await bank.database.read { try $0.customer(CustomerNumber("B9997")!) } == nil)
        let answer = try await served.as("crm", "POST", "/v1/customers/bulk", body: ["items": .array(items)])
        #expect(answer.status == 200, "\(answer.text.prefix(300))")
        let value = try answer.json
        #expect(value["added"] == 9_998 && value["changed"] == 1 && value["refused"] == 1)
        #expect(value["items"]?.array?.count == 10_000)
        let tooMany = try await served.as(
          "crm", "POST", "/v1/customers/bulk", body: ["items": .array(items + [.null])])
        #expect(tooMany.status == 422)
      }
    }
  }

  @Test func `contacts and requests are listed, filtered, searched in Chinese and English, and explained`() async throws
  {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        let (_, pop) = try await bank.arrive("投诉：信用卡被吞 card swallowed by the machine")
        try await bank.arrive("请问存款利率", category: "consultation")
        try await serve(Self.site(bank)) { served in
          let conformance = try await Conformance(served)
          func get(_ path: String, _ template: String, expect status: Int = 200) async throws -> JSONValue {
            let answer = try await served.as("chief", "GET", path)
            #expect(answer.status == status, "\(path): \(answer.text)")
            #expect(conformance.faults("GET", template: template, answer) == [], "\(path)")
            return try answer.json
          }
          for (query, hits) in [
            ("信用卡", 1), ("吞", 0), ("存款", 1), ("利率", 1), ("SWALLOWED", 1), ("信用 card", 1), ("nothing", 0),
          ] {
            let escaped = query.addingPercentEncoding(withAllowedCharacters: .alphanumerics)!
            let found = try await get("/v1/search?q=\(escaped)", "/v1/search")
            #expect(found["contacts"]?.array?.count == hits, "\(query)")
            #expect(found["service_requests"]?.array?.count == hits, "\(query)")
          }
          _ = try await get("/v1/search", "/v1/search", expect: 422)
          #expect(try await get("/v1/contacts?page_size=1", "/v1/contacts")["items"]?.array?.count == 1)
          #expect(try await get("/v1/contacts?channel=forms&state=open", "/v1/contacts")["items"]?.array?.count == 2)
          #expect(
            try await get(
              "/v1/service-requests?queue=complaints&status=open,in_progress&waiting=true", "/v1/service-requests")[
                "items"]?.array?.count == 1)
          _ = try await get("/v1/service-requests?status=wrong", "/v1/service-requests", expect: 422)
          _ = try await get("/v1/service-requests?unknown=1", "/v1/service-requests", expect: 422)
          _ = try await get("/v1/service-requests/\(pop.request!)", "/v1/service-requests/{id}")
          _ = try await get("/v1/contacts/\(pop.contact!)", "/v1/contacts/{id}")
          let timeline = try await get("/v1/customers/C100/timeline", "/v1/customers/{customer_no}/timeline")
          #expect((timeline["items"]?.array?.count ?? 0) >= 1)
          #expect(
            try await get("/v1/decisions?subject=\(pop.contact!)", "/v1/decisions")["items"]?.array?.count == 1)
          for (path, template) in [
            ("/v1/queues", "/v1/queues"), ("/v1/departments", "/v1/departments"),
            ("/v1/customer-types", "/v1/customer-types"), ("/v1/categories", "/v1/categories"),
            ("/v1/agents", "/v1/agents"), ("/v1/agents/1001", "/v1/agents/{agent}"), ("/v1/channels", "/v1/channels"),
          ] { _ = try await get(path, template) }
          let overview = try await get("/v1/overview", "/v1/overview")
          #expect(overview["agent_states"]?["ready"] == 3 && overview["ledger_balances"] == true)
          #expect(
            overview["requests"]?.array?.contains { $0["waiting"] == 1 && !($0["oldest_waiting_id"]?.isNull ?? true) }
              == true)
        }
      }
    }
  }

  @Test func `activities, opportunities, links and groups`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        let (_, pop) = try await bank.arrive("投诉")
        try await serve(Self.site(bank)) { served in
          let conformance = try await Conformance(served)
          func call(
            _ method: String, _ path: String, _ template: String, _ fields: [String: String] = [:],
            body: JSONValue? = nil, expect status: Int
          ) async throws -> JSONValue {
            let answer = try await served.as("crm", method, path, fields, body: body)
            #expect(answer.status == status, "\(method) \(path): \(answer.text)")
            #expect(conformance.faults(method, template: template, answer) == [], "\(method) \(path)")
            return answer.body.isEmpty ? .null : try answer.json
          }
          let key = ["Idempotency-Key": "k1"]
          let visit: JSONValue = [
            "description": "回访", "category": "visit", "customer_no": "C100", "due_at": "2026-12-01T01:00:00Z",
          ]
          let made = try await call("POST", "/v1/activities", "/v1/activities", key, body: visit, expect: 201)
          let again = try await call("POST", "/v1/activities", "/v1/activities", key, body: visit, expect: 201)
          #expect(made == again)
          let id = made["id"]?.string ?? ""
          _ = try await call("POST", "/v1/activities", "/v1/activities", body: visit, expect: 400)
          var done = visit.object!
          done["activity_status"] = "done"
          _ = try await call(
            "PUT", "/v1/activities/\(id)", "/v1/activities/{id}", ["If-Match": "\"v1\""], body: .object(done),
            expect: 200)
          _ = try await call(
            "PUT", "/v1/activities/\(id)", "/v1/activities/{id}", ["If-Match": "\"v1\""], body: .object(done),
            expect: 412)
          let due = try await call(
            "GET", "/v1/activities?due_before=2027-01-01T00:00:00Z&activity_status=done", "/v1/activities", expect: 200)
          #expect(due["items"]?.array?.count == 1)
          let chance = try await call(
            "POST", "/v1/opportunities", "/v1/opportunities", ["Idempotency-Key": "k2"],
            body: ["sales_stage": "lead", "summary": "loan", "customer_no": "C100", "success_percent": 30], expect: 201)
          let opportunity = chance["id"]?.string ?? ""
          _ = try await call("GET", "/v1/opportunities", "/v1/opportunities", expect: 200)

          let link = "/v1/links/{id}/{other}"
          for (a, b) in [
            (id, opportunity), (opportunity, "\(pop.request!)"), ("\(pop.contact!)", opportunity),
            (id, "\(pop.request!)"),
            ("\(pop.contact!)", id),
          ] {
            _ = try await call("PUT", "/v1/links/\(a)/\(b)", link, expect: 204)
            _ = try await call("PUT", "/v1/links/\(b)/\(a)", link, expect: 204)
          }
          let links = try await call("GET", "/v1/links/\(id)", "/v1/links/{id}", expect: 200)
          #expect(links["items"]?.array?.count == 3)
          _ = try await call("DELETE", "/v1/links/\(id)/\(opportunity)", link, expect: 204)
          _ = try await call("DELETE", "/v1/links/\(pop.contact!)/\(pop.request!)", link, expect: 409)
          _ = try await call("PUT", "/v1/links/\(id)/\(id)", link, expect: 404)

          let group = "/v1/customer-groups/{code}"
          _ = try await call(
            "PUT", "/v1/customer-groups/vip", group,
            body: ["group_type": "entity", "name_zh": "贵宾", "name_en": "VIP"], expect: 200)
          _ = try await call(
            "PUT", "/v1/customer-groups/idea", group,
            body: ["group_type": "concept", "name_zh": "概念", "name_en": "Idea"], expect: 422)
          let member = group + "/customers/{customer_no}"
          _ = try await call("PUT", "/v1/customer-groups/vip/customers/C100", member, expect: 204)
          let members = try await call("GET", "/v1/customer-groups/vip/customers", group + "/customers", expect: 200)
          #expect(members["items"]?.array?.count == 1)
          _ = try await call("DELETE", "/v1/customer-groups/vip/customers/C100", member, expect: 204)
          _ = try await call("DELETE", "/v1/customer-groups/vip/customers/C100", member, expect: 404)
        }
      }
    }
  }
}
