import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store
import Synchronization
import Testing

@testable import API

/// Proactive service over live sockets: planning is idempotent, explained and checked; sending is the dispatcher's.
@Suite struct OutboundResourceTests {
  private static let reminder = TemplateInForce(
    template: MessageTemplate(
      code: Code("reminder")!, nameZh: "提醒", nameEn: "Reminder", purpose: .service, repeatable: true,
      variables: [
        .init(name: "name", maximum: 10, example: "王"), .init(name: "day", kind: .date, example: "2026-12-01"),
      ],
      messages: [
        .init(channel: .sms, language: "zh", text: "{{name}}您好，请于 {{day}} 办理。"),
        .init(channel: .sms, language: "en", text: "Dear {{name}}, please come on {{day}}."),
        .init(
          channel: .email, language: "en", subject: "Reminder, {{name}}", text: "On {{day}}.",
          html: "<p>Dear {{name}}</p>"),
      ]), version: 3)
  private static let links = [
    OutboundLink(channel: .sms, adapter: MuteAdapter(), parts: { ($0.text.count + 69) / 70 }),
    OutboundLink(channel: .email, adapter: MuteAdapter(channel: ContactChannel(kind: .email, name: "desk"))),
  ]

  private static func site(_ bank: Bank) throws -> Site {
    let cursors = CursorSigner(secret: Array(repeating: 7, count: 32))
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
    let routes =
      OutboundResources(
        database: bank.database, bodies: bank.bodies, cursors: cursors, links: links, profile: { profile },
        templates: { [reminder.template.code: reminder] }
      ).routes + RecordResources(database: bank.database, cursors: cursors).routes + bank.operatorResources.routes
      + bank.deskResources.routes
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

  @Test func `an approved text is shown, filled with what fits, and brings its purpose`() async throws {
    try await Bank.open { bank in
      try await serve(Self.site(bank)) { served in
        let conformance = try await Conformance(served)
        let list = try await served.as("market", "GET", "/v1/templates")
        #expect(conformance.faults("GET", template: "/v1/templates", list) == [])
        let path = "/v1/templates/reminder/preview"
        let shown = try await served.as("market", "POST", path, body: ["variables": ["name": "<b>&"]])
        #expect(shown.status == 200, "\(shown.text)")
        #expect(conformance.faults("POST", template: "/v1/templates/{code}/preview", shown) == [])
        let messages = try #require(try shown.json["messages"]?.array)
        #expect(
          messages.map { $0["text"]?.string } == [
            "<b>&您好，请于 2026-12-01 办理。", "Dear <b>&, please come on 2026-12-01.", "On 2026-12-01.",
          ])
        #expect(messages[2]["html"] == "<p>Dear &lt;b&gt;&amp;</p>")
        #expect(messages[0]["parts"] == 1)
        #expect(messages[2]["parts"]?.isNull == true)

        func plan(_ key: String, _ variables: JSONValue, _ more: [(String, JSONValue)] = []) async throws -> Answer {
          var body = JSONObject([.init(name: "customer_no", value: "C100"), .init(name: "template", value: "reminder")])
          body["variables"] = variables
          for (name, value) in more { body[name] = value }
          return try await served.as(
            "crm", "POST", "/v1/proactive-jobs", ["Idempotency-Key": key], body: .object(body))
        }
        let planned = try await plan("t1", ["name": "王", "day": "2026-12-24"], [("language", "en-GB")])
        #expect(planned.status == 201, "\(planned.text)")
        #expect(try planned.json["purpose"] == "service")
        #expect(try planned.json["template"] == "reminder@3")
        #expect(try planned.json["repeatable"] == true)
        #expect(try planned.json["contents"]?["sms"]?["text"] == "Dear 王, please come on 2026-12-24.")
        for (key, variables, more) in [
          ("u1", ["name": "王"], []), ("u2", ["name": "王", "day": "tomorrow"], []),
          ("u3", ["name": "a\nb", "day": "2026-12-24"], []), ("u4", ["name": "12345678901", "day": "2026-12-24"], []),
          ("u5", ["name": "王", "day": "2026-12-24", "x": "y"], []),
          ("u6", ["name": "王", "day": "2026-12-24"], [("purpose", "marketing")]),
        ] as [(String, JSONValue, [(String, JSONValue)])] {
          let answer = try await plan(key, variables, more)
          #expect(answer.status == 422, "\(key): \(answer.text)")
        }
      }
    }
  }

  @Test func `an agent's answer is a contact of the request at once, and leaves whence it was asked`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        let pop = try await bank.arrive("我要投诉")
        let request = try #require(pop.pop.request)
        try await serve(Self.site(bank)) { served in
          let conformance = try await Conformance(served)
          let path = "/v1/service-requests/\(request)/replies"
          let template = "/v1/service-requests/{id}/replies"
          let words: JSONValue = [
            "text": "您好，已处理。",
            "attachments": [["content": "JVBERi0=", "media_type": "application/pdf", "name": "回执.pdf"]],
          ]
          let other = try await served.as("agent-1003", "POST", path, ["Idempotency-Key": "r"], body: words)
          #expect(other.status == 403)
          let answer = try await served.as("agent-1001", "POST", path, ["Idempotency-Key": "r"], body: words)
          #expect(answer.status == 201, "\(answer.text)")
          #expect(conformance.faults("POST", template: template, answer) == [])
          let job = try answer.json
          // He wrote by a form and left a telephone number: a text message.
          #expect(job["channels"] == ["sms"])
          #expect(job["to"]?["canonical"] == .string(Bank.mobile.canonical))
          #expect(job["precedence"] == "urgent")
          let again = try await served.as("agent-1001", "POST", path, ["Idempotency-Key": "r"], body: words)
          #expect(try again.json["id"] == job["id"])
          let shown = try await served.as("chief", "GET", "/v1/service-requests/\(request)")
          let contacts = try #require(try shown.json["contacts"]?.array)
          #expect(contacts.count == 2)
          let own = try #require(contacts.first { $0["direction"] == "outbound" })
          #expect(own["state"] == "open" && own["agent"] == "1001")
          #expect(own["chain"]?["previous_id"] == .string(pop.pop.contact?.description ?? ""))

          // By e-mail it bears the request's token; where no mailbox is known it is refused.
          let noMailbox = try await served.as(
            "agent-1001", "POST", path, ["Idempotency-Key": "m"], body: ["text": "x", "channel": "email"])
          #expect(noMailbox.status == 422)
          let mail = try await served.as(
            "agent-1001", "POST", path, ["Idempotency-Key": "m2"],
            body: ["text": "x", "channel": "email", "to": ["kind": "email", "value": "W@b.cn"]])
          #expect(mail.status == 201, "\(mail.text)")
          let kept = try await bank.database.read { connection in
            try connection.proactiveJob(ProactiveJobID(try mail.json["id"]?.string ?? "")!)
          }
          #expect(kept?.contents["email"]?.options["case"] == request.description)
          #expect(kept?.contents["email"]?.subject?.hasPrefix("Re: ") == true)
          #expect(kept?.via == "desk")
          let foreign = try await served.as(
            "agent-1001", "POST", path, ["Idempotency-Key": "f"],
            body: ["text": "x", "attachments": [["sha256": .string(String(repeating: "a", count: 64))]]])
          #expect(foreign.status == 422)

          // What the dispatcher learns stands in the contact.
          let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
          let bodies = bank.bodies
          let taking = TakingAdapter()
          let dispatcher = Dispatcher(
            database: bank.database, links: [OutboundLink(channel: .sms, adapter: taking)], zones: ZoneCatalog(),
            profile: { profile }, document: { try await bodies.read(BodyDigest($0.sha256)!) }, clock: Bank.now,
            logger: .init(label: "test") { _ in SwiftLogNoOpLogHandler() })
          try await dispatcher.round()
          let after = try await served.as("chief", "GET", "/v1/service-requests/\(request)")
          let sent = try #require(try after.json["contacts"]?.array?.first { $0["channel"] == "mute" })
          #expect(sent["state"] == "closed" && sent["disposition"] == "accepted", "\(after.text)")
          #expect(taking.bytes.withLock { $0 } == [Array("%PDF-".utf8)])
          // A later message that refers to it finds the request.
          let name = try #require(sent["provider_id"]?.string)
          #expect(try await bank.database.read { try $0.request(referredToBy: [name]) } == request)
          let explained = try await served.as("chief", "GET", "/v1/explain/\(job["id"]?.string ?? "")")
          #expect(explained.status == 200, "\(explained.text)")
          #expect(conformance.faults("GET", template: "/v1/explain/{id}", explained) == [])
          let decisions = try #require(try explained.json["decisions"]?.array)
          #expect(
            decisions.contains { $0["sentence_en"]?.string?.hasPrefix("Send by SMS: the customer asked") == true })
        }
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
  var channel = ContactChannel(kind: .sms, name: "mute")
  let capabilities = Capabilities(abilities: [.submits], maximumArrivalBytes: 1)
  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.timeout, text: "no answer")) }
  func inquire(about dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.unsupported, text: "")) }
  var health: Health { get async { Health(state: .up, since: testTime) } }
  func beginDrain() {}
}

/// Takes everything, and remembers the documents.
private final class TakingAdapter: ChannelAdapter {
  let channel = ContactChannel(kind: .sms, name: "mute")
  let capabilities = Capabilities(abilities: [.submits], maximumArrivalBytes: 1)
  let bytes = Mutex<[[UInt8]]>([])
  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission {
    bytes.withLock { $0 += dispatch.content.attachments.map(\.bytes) }
    return .accepted(Receipt(peerID: nil, at: testTime))
  }
  func inquire(about dispatch: Dispatch) async -> Submission { .inDoubt(Fault(.unsupported, text: "")) }
  var health: Health { get async { Health(state: .up, since: testTime) } }
  func beginDrain() {}
}
