import AsyncHTTPClient
import Channels
import ContactModel
import Foundation
import Intake
import NIOCore
import NIOHTTP1
import PostgresForTests
import Store
import Testing

@testable import API

/// The desk over live sockets and a real store.
@Suite struct DeskResourceTests {
  private func stream(_ served: Served, _ who: String, _ agent: String, last: String? = nil) async throws
    -> StreamReader
  {
    var request = HTTPClientRequest(url: served.url("/v1/agents/\(agent)/events"))
    request.headers.add(name: "Authorization", value: "Bearer \(Bank.token(who).text)")
    if let last { request.headers.add(name: "Last-Event-ID", value: last) }
    let response = try await testClient.execute(request, timeout: .seconds(30))
    #expect(response.status == .ok)
    return StreamReader(response)
  }

  @Test func `a form becomes a screen pop on the stream of those who work its queue, and one of two takes it`()
    async throws
  {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        let reader = try await stream(served, "agent-1001", "1001")
        #expect(try await reader.nextEvent()?.type == "open")
        let (_, pop) = try await bank.arrive("投诉：卡 6222021234567890128 被吞")
        let event = try await reader.nextEvent()
        #expect(event?.type == "pop.offered" && event?.id == "\(pop.seq)")
        let data = try JSONReader.read(Array((event?.data ?? "").utf8))
        #expect(data["body"]?["customer"]?["customer_no"] == "C100")
        #expect(data["body"]?["customer"]?["phones"]?.array == ["+8613812345678"])
        #expect(event?.data?.contains("6222021234567890128") == false)
        let request = try #require(pop.request)
        let version = try #require(data["body"]?["request"]?["version"]?.integer)

        let both = try await withThrowingTaskGroup(of: Answer.self) { group in
          for who in ["agent-1001", "chief"] {
            group.addTask {
              try await served.as(
                who == "chief" ? "agent-1001" : who, "POST", "/v1/service-requests/\(request)/take",
                ["If-Match": "\"v\(version)\""])
            }
          }
          return try await group.reduce(into: [Answer]()) { $0.append($1) }
        }
        // The same agent twice: both say that it is his.
        #expect(both.map(\.status) == [200, 200])
        for answer in both {
          #expect(conformance.faults("POST", template: "/v1/service-requests/{id}/take", answer) == [])
        }
        #expect(try await reader.nextEvent()?.type == "pop.withdrawn")
        #expect(try await reader.nextEvent()?.type == "pop.accepted")

        let resumed = try await stream(served, "agent-1001", "1001", last: "\(pop.seq - 1)")
        for type in ["pop.offered", "pop.withdrawn", "pop.accepted"] {
          #expect(try await resumed.nextEvent()?.type == type)
        }
        let late = try await stream(served, "agent-1001", "1001", last: "999999")
        #expect(try await late.nextEvent()?.type == "reset")
      }
    }
  }

  @Test func `of two agents who take one request the loser gets 412 and the tag of what stands now`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let (_, pop) = try await bank.arrive("请问利率", category: "consultation")
        let path = "/v1/service-requests/\(pop.request!)/take"
        let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
          for who in ["agent-1001", "agent-1002"] {
            group.addTask { try await served.as(who, "POST", path, ["If-Match": "\"v1\""]) }
          }
          return try await group.reduce(into: [Answer]()) { $0.append($1) }
        }
        #expect(answers.map(\.status).sorted() == [200, 412])
        #expect(answers.first { $0.status == 412 }?["etag"] == "\"v2\"")
        #expect(try await served.as("agent-1003", "POST", path, ["If-Match": "*"]).status == 403)
        #expect(try await served.as("agent-1001", "POST", path).status == 428)
        #expect(try await served.as("agent-1001", "POST", "/v1/service-requests/nonsense/take").status == 404)
        let entries = try await bank.database.read {
          try $0.auditEntries(after: 0, act: "service_request.take", limit: 10)
        }
        #expect(entries.count == 1)
      }
    }
  }

  @Test func `the life of a request: note, status, requeue, assign, reopen, close`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        let (_, pop) = try await bank.arrive("投诉：排队太久")
        let base = "/v1/service-requests/\(pop.request!)"
        var version: Int64 = 1
        func act(_ who: String, _ word: String, _ body: JSONValue?, expect status: Int = 200) async throws {
          let answer = try await served.as(
            who, "POST", "\(base)/\(word)", ["If-Match": "\"v\(version)\"", "Idempotency-Key": UUID().uuidString],
            body: body)
          #expect(answer.status == status, "\(word): \(answer.text)")
          #expect(conformance.faults("POST", template: "/v1/service-requests/{id}/\(word)", answer) == [])
          if status == 200 { version = try answer.json["version"]?.integer ?? version }
        }
        try await act("agent-1001", "take", nil)
        try await act("agent-1001", "note", ["text": "客户很着急 13812345678"], expect: 201)
        try await act("agent-1001", "status", ["status": "waiting_customer"])
        try await act("agent-1001", "status", ["status": "nonsense"], expect: 422)
        try await act("agent-1001", "requeue", ["queue": "nowhere"], expect: 422)
        try await act("agent-1001", "requeue", ["queue": "general", "reason": "not mine"])
        try await act("chief", "assign", ["owner": "1002", "reason": "workload"])
        try await act("chief", "assign", ["owner": "9999"], expect: 422)
        try await act("chief", "priority", ["severity": 1])
        try await act("agent-1002", "status", ["status": "resolved", "resolution": "done"])
        try await act("agent-1002", "reopen", [:])
        try await act("agent-1002", "close", ["resolution": "done"])
        try await act("agent-1002", "reopen", [:], expect: 409)
        let verdict = try await bank.database.read { try $0.verifyAudit(limit: 1_000) }
        #expect(verdict.isWhole && verdict.rows >= 9)
        let reasons = try await bank.database.read { try $0.auditEntries(after: 0, limit: 100).compactMap(\.reason) }
        #expect(reasons.contains("workload"))
      }
    }
  }

  @Test func `the same Idempotency-Key from fifty clients at once has one effect and one answer`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let (_, pop) = try await bank.arrive("投诉")
        let path = "/v1/service-requests/\(pop.request!)/note"
        let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
          for _ in 0..<50 {
            group.addTask {
              try await served.as("chief", "POST", path, ["Idempotency-Key": "one"], body: ["text": "once"])
            }
          }
          return try await group.reduce(into: [Answer]()) { $0.append($1) }
        }
        #expect(Set(answers.map(\.status)) == [201])
        #expect(Set(answers.map(\.text)).count == 1)
        #expect(try await bank.database.read { try $0.notes(on: pop.request!).count } == 1)
        let other = try await served.as("chief", "POST", path, ["Idempotency-Key": "one"], body: ["text": "twice"])
        #expect(other.status == 422 && other.text.contains("idempotency-key-reused"))
      }
    }
  }

  @Test func `an agent confirms, corrects and takes back who a contact is from`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        let (_, pop) = try await bank.arrive("投诉")
        let contact = try #require(pop.contact)
        var version = try await bank.database.read { try $0.contact(contact)!.version }
        for number: JSONValue in ["C200", .null, "C100"] {
          let answer = try await served.as(
            "agent-1001", "POST", "/v1/contacts/\(contact)/customer", ["If-Match": "\"v\(version)\""],
            body: ["customer_no": number])
          #expect(answer.status == 200, "\(answer.text)")
          #expect(conformance.faults("POST", template: "/v1/contacts/{id}/customer", answer) == [])
          #expect(try answer.json["customer_no"] == number)
          #expect(try answer.json["identity"]?["confirmed_by"] == "1001")
          version = Int(try answer.json["version"]?.integer ?? 0)
        }
        let stale = try await served.as(
          "agent-1001", "POST", "/v1/contacts/\(contact)/customer", ["If-Match": "\"v1\""], body: ["customer_no": .null]
        )
        #expect(stale.status == 412)
        let unknown = try await served.as(
          "agent-1001", "POST", "/v1/contacts/\(contact)/customer", ["If-Match": "*"], body: ["customer_no": "C999"])
        #expect(unknown.status == 422)

        let why = try await served.as("chief", "GET", "/v1/explain/\(contact)")
        #expect(conformance.faults("GET", template: "/v1/explain/{id}", why) == [])
        let decisions = try why.json["decisions"]?.array ?? []
        #expect(decisions.count == 5)
        #expect(
          decisions.contains { $0["sentence_en"]?.string?.contains("1001 says this is customer C100") == true })
        #expect(
          decisions.contains { $0["body"]?["inverse"] == "C200" && $0["sentence_zh"]?.string?.contains("撤回") == true })
        let reference = try await bank.database.read {
          try $0.arrival(try $0.contact(contact)!.arrival!)!.arrival.reference
        }
        #expect(try await served.as("chief", "GET", "/v1/explain/\(reference!)").status == 200)
        #expect(try await served.as("chief", "GET", "/v1/explain/nothing").status == 404)
      }
    }
  }

  @Test func `the snapshot holds what is owned and what waits, and every look at a customer is on record`()
    async throws
  {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        let (_, pop) = try await bank.arrive("投诉")
        _ = try await bank.arrive(
          "投诉 again", from: Address(kind: .phone, canonical: "+8613900000000", raw: "13900000000"))
        _ = try await served.as("agent-1001", "POST", "/v1/service-requests/\(pop.request!)/take", ["If-Match": "*"])
        let answer = try await served.as("agent-1001", "GET", "/v1/agents/1001/snapshot")
        #expect(answer.status == 200)
        #expect(conformance.faults("GET", template: "/v1/agents/{agent}/snapshot", answer) == [])
        #expect(try answer.json["owned"]?.array?.count == 1)
        #expect(try answer.json["waiting"]?.array?.count == 1)
        #expect(try await served.as("agent-1002", "GET", "/v1/agents/1001/snapshot").status == 403)
        #expect(try await served.as("chief", "GET", "/v1/agents/9999/snapshot").status == 404)
        let seen = try await bank.database.read {
          try $0.auditEntries(after: 0, customer: CustomerNumber("C100")!, act: "read", limit: 10)
        }
        #expect(seen.contains { $0.actor == "agent-1001" && $0.purpose == "contact" })
      }
    }
  }

  @Test func `an agent sets his own state, a supervisor anybody's`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        let answer = try await served.as(
          "agent-1001", "PUT", "/v1/agents/1001/state", body: ["state": "not_ready", "reason": "lunch"])
        #expect(answer.status == 200)
        #expect(conformance.faults("PUT", template: "/v1/agents/{agent}/state", answer) == [])
        #expect(
          try await served.as("agent-1001", "PUT", "/v1/agents/1002/state", body: ["state": "ready"]).status == 403)
        #expect(try await served.as("chief", "PUT", "/v1/agents/1002/state", body: ["state": "offline"]).status == 200)
        #expect(try await served.as("chief", "PUT", "/v1/agents/1002/state", body: ["state": "busy"]).status == 422)
      }
    }
  }

  @Test func `operators see ledger, quarantine, status, parameters, events and tokens`() async throws {
    try await Bank.open { bank in
      try await serve(bank.site) { served in
        let conformance = try await Conformance(served)
        try await bank.arrive("投诉")
        let broken = Arrival(
          channel: Bank.form, wireKey: "broken", from: nil, to: nil, receivedAt: Bank.now(),
          payload: .unreadable(.init(code: "bad-mime", text: "no end")), raw: Array("raw bytes".utf8))
        let events = bank.database.subscribe(to: EventRecord.self)
        guard case .stored(let id) = await bank.intake.accept(broken) else { throw HarnessError.timedOut }
        try await within(.seconds(10)) {
          for await element in events {
            if case .value(let event) = element, event.type == .arrivalQuarantined { return }
          }
        }
        for (template, path) in [
          ("/v1/ledger", "/v1/ledger"), ("/v1/ledger", "/v1/ledger?since=2023-11-14"),
          ("/v1/ledger", "/v1/ledger?since=yesterday!"), ("/v1/quarantine", "/v1/quarantine"),
          ("/v1/quarantine/{arrival}", "/v1/quarantine/\(id)"),
          ("/v1/quarantine/{arrival}/raw", "/v1/quarantine/\(id)/raw"),
          ("/v1/status", "/v1/status"), ("/v1/parameters", "/v1/parameters?kind=category&in_force=true"),
          ("/v1/events", "/v1/events?after=0&type=contact.opened"), ("/v1/tokens", "/v1/tokens"),
          ("/v1/explain/{id}", "/v1/explain/\(id)"),
        ] {
          let answer = try await served.as("root", "GET", path)
          #expect(answer.status < 500 && conformance.faults("GET", template: template, answer) == [], "\(path)")
        }
        #expect(try await served.as("root", "GET", "/v1/ledger").json["balances"] == true)
        #expect(try await served.as("root", "GET", "/v1/quarantine/\(id)/raw").text == "raw bytes")
        #expect(try await served.as("audit", "GET", "/v1/quarantine/\(id)/raw").status == 403)
        let again = try await served.as(
          "root", "POST", "/v1/quarantine/\(id)/reprocess", body: ["mended": "bWVuZGVk", "reason": "end added"])
        #expect(again.status == 202)
        #expect(bank.reprocessed.withLock { $0.first?.1 } == Array("mended".utf8))
        #expect(try await served.as("root", "POST", "/v1/quarantine/\(id)/reprocess", body: [:]).status == 409)

        let made = try await served.as(
          "root", "POST", "/v1/tokens", body: ["label": "temp", "role": "agent", "agent_id": "1001"])
        #expect(made.status == 201 && conformance.faults("POST", template: "/v1/tokens", made) == [])
        let token = try #require(try made.json["token"]?.string)
        let bearer = [("Authorization", "Bearer \(token)")]
        #expect(try await served.get("/v1/agents/1001/snapshot", headers: bearer).status == 200)
        let hash = try #require(try made.json["token_hash"]?.string)
        #expect(try await served.as("root", "DELETE", "/v1/tokens/\(hash)").status == 204)
        #expect(try await served.get("/v1/agents/1001/snapshot", headers: bearer).status == 401)
      }
    }
  }

  @Test func `the audit's chain shows an altered row`() async throws {
    try await Bank.open { bank in
      try await bank.database.write { transaction in
        for number in 1...20 {
          try transaction.audit(
            AuditEntry(at: testTime, actor: "a", role: "agent", act: "read", subject: "s\(number)", purpose: "contact"))
        }
      }
      #expect(try await bank.database.read { try $0.verifyAudit(limit: 1_000) }.isWhole)
      try await bank.database.write { transaction in
        try transaction.execute(script: "DROP TRIGGER IF EXISTS audit_no_update")
        try transaction.execute("UPDATE audit SET actor = 'b' WHERE seq = 7")
      }
      #expect(try await bank.database.read { try $0.verifyAudit(limit: 1_000) }.brokenAt == 7)
    }
  }
}
