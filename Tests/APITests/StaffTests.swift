import Channels
import ContactModel
import Store
import Testing

@testable import API

/// Agents and queues made and changed over the API.
@Suite struct StaffTests {
  @Test func `an agent is made and changed, on record with before and after, and keeps his state`() async throws {
    try await Bank.open { bank in
      try await Branches.found(in: bank)
      try await serve(Branches.site(bank)) { served in
        let conformance = try await Conformance(served)
        let body: JSONValue = [
          "name": "新坐席", "department": "south", "device": "PJSIP/1100", "queues": ["complaints", "complaints"],
        ]
        let made = try await served.as("crm", "PUT", "/v1/agents/1100", body: body)
        #expect(made.status == 201, "\(made.text)")
        #expect(conformance.faults("PUT", template: "/v1/agents/{agent}", made) == [])
        #expect(try made.json["queues"] == ["complaints"] && made.json["state"] == "offline")
        _ = try await served.as("chief", "PUT", "/v1/agents/1100/state", body: ["state": "ready"])
        var later = body.object!
        later["name"] = "老坐席"
        let stale = try await served.as("crm", "PUT", "/v1/agents/1100", ["If-Match": "\"v1\""], body: .object(later))
        #expect(stale.status == 412)
        let changed = try await served.as("crm", "PUT", "/v1/agents/1100", body: .object(later))
        #expect(try changed.status == 200 && changed.json["state"] == "ready" && changed.json["name"] == "老坐席")
        let rows = try await bank.database.read { try $0.auditEntries(after: 0, act: "agent.put", limit: 10) }
        #expect(rows.count == 2 && rows[0].before == nil && rows[1].before?.contains("新坐席") == true)
        for (wrong, pointer) in [
          (["name": "x", "queues": ["none"]], "#/queues/0"),
          (["name": "x", "queues": [], "department": "none"], "#/department"),
          (["name": "x", "queues": [], "device": "PJSIP/1100"], "#/device"), (["name": "x"], "#/queues"),
        ] as [(JSONValue, String)] {
          let answer = try await served.as("crm", "PUT", "/v1/agents/1101", body: wrong)
          #expect(answer.status == 422 && answer.text.contains(pointer), "\(answer.text)")
        }
        #expect(try await served.as("agent-1001", "PUT", "/v1/agents/1101", body: body).status == 403)
        // A branch's people are the branch's.
        #expect(try await served.as("north", "PUT", "/v1/agents/1100", body: body).status == 404)
        #expect(try await served.as("north", "PUT", "/v1/agents/1102", body: body).status == 422)
      }
    }
  }

  @Test func `a queue is added, renamed and given to a department by those who see it`() async throws {
    try await Bank.open { bank in
      try await Branches.found(in: bank)
      try await serve(Branches.site(bank)) { served in
        let body: JSONValue = ["name_zh": "信用卡", "name_en": "Cards", "department": "south"]
        #expect(try await served.as("south", "PUT", "/v1/queues/cards", body: body).status == 204)
        #expect(try await served.as("north", "PUT", "/v1/queues/cards", body: body).status == 404)
        #expect(try await served.as("north", "PUT", "/v1/queues/other", body: body).status == 422)
        #expect(
          try await served.as("chief", "PUT", "/v1/queues/cards", body: ["name_zh": "卡", "name_en": "C"]).status == 204)
        let rows = try await bank.database.read { try $0.auditEntries(after: 0, act: "queue.put", limit: 10) }
        #expect(rows.count == 2 && rows[1].before?.contains("south") == true)
      }
    }
  }
}
