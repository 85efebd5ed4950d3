import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store
import Testing

@testable import API

/// Proactive service over live sockets: planning is idempotent, explained and checked; sending is the dispatcher's.
@Suite struct OutboundResourceTests {
  private static func site(_ bank: Bank) throws -> Site {
    let cursors = CursorSigner(secret: Array(repeating: 7, count: 32))
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
    let routes =
      OutboundResources(database: bank.database, bodies: bank.bodies, cursors: cursors, profile: { profile }).routes
      + bank.operatorResources.routes
    return Site(
      routes: routes + [Description.serving(version: "1.0", routes: routes)],
      authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now)
  }

  private static var stores: [StoreURL?] {
    get throws {
      LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil]
    }
  }

  private static let message: JSONValue = [
    "purpose": "service", "customer_no": "C100", "contents": ["sms": ["text": "您的业务已办理。"]],
  ]

  @Test func `a job is planned once, listed, explained and withdrawn`() async throws {
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
          let all = "/v1/proactive-jobs"
          _ = try await call("crm", "POST", all, all, body: Self.message, expect: 400)
          _ = try await call("agent-1001", "POST", all, all, ["Idempotency-Key": "k"], body: Self.message, expect: 403)
          let first = try await call(
            "crm", "POST", all, all, ["Idempotency-Key": "k1"], body: Self.message, expect: 201)
          let again = try await call(
            "crm", "POST", all, all, ["Idempotency-Key": "k1"], body: Self.message, expect: 201)
          #expect(again["idempotency-replayed"] == "true")
          let id = try #require(try first.json["id"]?.string)
          #expect(try again.json["id"]?.string == id)
          #expect(try first.json["state"] == "planned")

          var named = Self.message.object!
          named["reference"] = "CRM-7"
          let one = try await call(
            "crm", "POST", all, all, ["Idempotency-Key": "k2"], body: .object(named), expect: 201)
          let two = try await call(
            "crm", "POST", all, all, ["Idempotency-Key": "k3"], body: .object(named), expect: 200)
          #expect(try one.json["id"] == two.json["id"])
          named["contents"] = ["sms": ["text": "Something else"]]
          _ = try await call("crm", "POST", all, all, ["Idempotency-Key": "k4"], body: .object(named), expect: 409)

          let list = try await call("chief", "GET", all + "?customer_no=C100&page_size=1", all, expect: 200)
          #expect(try list.json["items"]?.array?.count == 1)
          #expect(try list.json["next_cursor"]?.string != nil)
          let found = try await call("chief", "GET", all + "?reference=CRM-7", all, expect: 200)
          #expect(try found.json["items"]?.array?.first?["id"] == one.json["id"])

          let template = "/v1/proactive-jobs/{id}"
          let shown = try await call("audit", "GET", "\(all)/\(id)", template, expect: 200)
          #expect(try shown.json["attempts"] == [])
          let withdrawn = try await call(
            "crm", "POST", "\(all)/\(id)/cancel", template + "/cancel", body: ["reason": "mistake"], expect: 200)
          #expect(try withdrawn.json["state"] == "cancelled")
          _ = try await call(
            "crm", "POST", "\(all)/\(id)/cancel", template + "/cancel", body: ["reason": "again"], expect: 200)
        }
      }
    }
  }

  @Test func `what is wrong with a job is said by its place`() async throws {
    try await Bank.open { bank in
      try await serve(Self.site(bank)) { served in
        let bad: [(JSONValue, String)] = [
          (["purpose": "gossip", "customer_no": "C100", "contents": ["sms": ["text": "x"]]], "#/purpose"),
          (["purpose": "service", "contents": ["sms": ["text": "x"]]], "#/customer_no"),
          (["purpose": "service", "customer_no": "C999", "contents": ["sms": ["text": "x"]]], "#/customer_no"),
          (["purpose": "service", "customer_no": "C100"], "#/contents"),
          (["purpose": "service", "customer_no": "C100", "contents": ["pigeon": ["text": "x"]]], "#/contents/pigeon"),
          (["purpose": "service", "customer_no": "C100", "contents": ["sms": ["text": ""]]], "#/contents/sms/text"),
          (
            [
              "purpose": "service", "address": ["kind": "email", "value": "nobody"],
              "contents": ["email": ["text": "x"]],
            ], "#/address/value"
          ),
          (
            [
              "purpose": "service", "address": ["kind": "email", "value": "a@b.cn"], "contents": ["sms": ["text": "x"]],
            ], "#/address/kind"
          ),
          (
            [
              "purpose": "service", "customer_no": "C100", "contents": ["sms": ["text": "x"]],
              "expires": "2020-01-01T00:00:00Z",
            ], "#/expires"
          ),
          (
            [
              "purpose": "service", "customer_no": "C100", "contents": ["sms": ["text": "x"]], "channel": "email",
            ], "#/channel"
          ),
        ]
        for (number, (body, pointer)) in bad.enumerated() {
          let answer = try await served.as(
            "crm", "POST", "/v1/proactive-jobs", ["Idempotency-Key": "b\(number)"], body: body)
          #expect(answer.status == 422, "\(answer.text)")
          #expect(try answer.json["errors"]?.array?.compactMap { $0["pointer"]?.string }.contains(pointer) == true)
        }
        #expect(
          try await bank.database.read { try $0.proactiveJobs(matching: JobFilter(), after: nil, limit: 5) } == [])
      }
    }
  }

  @Test func `a doubt is listed and settled by a person with his reason, once`() async throws {
    try await Bank.open { bank in
      let attempt = try await doubt(in: bank)
      try await serve(Self.site(bank)) { served in
        let conformance = try await Conformance(served)
        let list = try await served.as("chief", "GET", "/v1/attempts/in-doubt", [:])
        #expect(conformance.faults("GET", template: "/v1/attempts/in-doubt", list) == [])
        #expect(try list.json["items"]?.array?.map { $0["id"]?.string } == [attempt.description])
        let path = "/v1/attempts/\(attempt)/settlement"
        let word: JSONValue = ["outcome": "sent", "reason": "the operator has it in his log"]
        #expect(try await served.as("crm", "POST", path, ["Idempotency-Key": "s"], body: word).status == 403)
        let settled = try await served.as("chief", "POST", path, ["Idempotency-Key": "s"], body: word)
        #expect(settled.status == 200, "\(settled.text)")
        #expect(conformance.faults("POST", template: "/v1/attempts/{id}/settlement", settled) == [])
        #expect(try settled.json["state"] == "accepted")
        #expect(try await served.as("chief", "POST", path, ["Idempotency-Key": "t"], body: word).status == 409)
        let audit = try await bank.database.read {
          try $0.first("SELECT reason FROM audit WHERE act = 'attempt.settle'")
        }
        #expect(try audit?.text("reason") == "the operator has it in his log")
      }
    }
  }

  /// An attempt that a crash left in doubt.
  private func doubt(in bank: Bank) async throws -> AttemptID {
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
    let id = try await bank.database.write { transaction -> ProactiveJobID in
      let job = ProactiveJob(
        id: ProactiveJobID(at: testTime), customerNo: CustomerNumber("C100")!, key: "k", purpose: .security,
        contents: ["sms": Dispatch.Content(text: "x")], due: testTime, createdBy: "test", createdAt: testTime)
      return try transaction.plan(job, actor: .liaison, at: testTime).job.id
    }
    let dispatcher = Dispatcher(
      database: bank.database, links: [OutboundLink(channel: .sms, adapter: MuteAdapter())], zones: ZoneCatalog(),
      profile: { profile }, clock: Bank.now, logger: .init(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try await dispatcher.round()
    let attempts = try await bank.database.read { try $0.attempts(of: id) }
    return try #require(attempts.first).id
  }
}

/// Takes everything and never says what became of it.
private struct MuteAdapter: ChannelAdapter {
  let channel = ContactChannel(kind: .sms, name: "mute")
  let capabilities = Capabilities(abilities: [.submits], maximumArrivalBytes: 1)
  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.timeout, text: "no answer")) }
  func inquire(about dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.unsupported, text: "")) }
  var health: Health { get async { Health(state: .up, since: testTime) } }
  func beginDrain() {}
}
