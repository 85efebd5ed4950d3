import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store
import Testing

@testable import API

/// Campaigns, criteria and preferences over live sockets, held against their description.
@Suite struct CampaignResourceTests {
  private struct Rooms {
    var site: Site
    var runner: CampaignRunner
    var link: PreferenceLink
  }

  private static func rooms(_ bank: Bank) throws -> Rooms {
    let cursors = CursorSigner(secret: Array(repeating: 7, count: 32))
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
    let quiet = Logger(label: "bank") { _ in SwiftLogNoOpLogHandler() }
    let runner = CampaignRunner(
      database: bank.database, zones: ZoneCatalog(), profile: { profile }, links: nil, clock: Bank.now, logger: quiet)
    let link = PreferenceLink(secret: Array(repeating: 3, count: 32))
    let routes =
      CampaignResources(database: bank.database, cursors: cursors, runner: runner).routes
      + PreferenceResources(
        database: bank.database, profile: { profile }, link: link, pageBase: "https://contact.bank.example"
      ).routes
      + RecordResources(database: bank.database, cursors: cursors).routes + bank.operatorResources.routes
    let page = PreferencePage(
      database: bank.database, link: link, profile: { profile }, bank: LocalizedText(zh: "本行", en: "The Bank"),
      now: Bank.now, logger: quiet)
    return Rooms(
      site: Site(
        routes: routes + [Description.serving(version: "1.0", routes: routes)], mounts: [page.mount],
        authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now), runner: runner, link: link)
  }

  private static var stores: [StoreURL?] {
    get throws {
      LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil]
    }
  }

  /// Calls, checks the status and holds the answer against the description.
  private struct Caller: Sendable {
    let served: Served
    let conformance: Conformance

    func callAsFunction(
      _ who: String, _ method: String, _ path: String, _ template: String, _ fields: [String: String] = [:],
      body: JSONValue? = nil, expect status: Int, _ place: SourceLocation = #_sourceLocation
    ) async throws -> Answer {
      let answer = try await served.as(who, method, path, fields, body: body)
      #expect(answer.status == status, "\(method) \(path): \(answer.text)", sourceLocation: place)
      #expect(
        conformance.faults(method, template: template, answer) == [], "\(method) \(path)", sourceLocation: place)
      return answer
    }
  }

  private static let plan: JSONValue = [
    "name": "spring", "purpose": "service",
    "arms": [
      ["name": "a", "contents": ["sms": ["zh": ["text": "{{name}}，您好"], "en": ["text": "Hello {{name}}"]]]]
    ], "cost_cents": ["sms": 5],
  ]

  @Test func `a campaign is written, tried out, approved by a second person, run and accounted for`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        let rooms = try Self.rooms(bank)
        try await serve(rooms.site) { served in
          let call = Caller(served: served, conformance: try await Conformance(served))
          let all = "/v1/campaigns"
          _ = try await call("agent-1001", "POST", all, all, ["Idempotency-Key": "k0"], body: Self.plan, expect: 403)
          _ = try await call("market", "POST", all, all, body: Self.plan, expect: 400)
          let made = try await call("market", "POST", all, all, ["Idempotency-Key": "k1"], body: Self.plan, expect: 201)
          let again = try await call(
            "market", "POST", all, all, ["Idempotency-Key": "k1"], body: Self.plan, expect: 201)
          let id = try #require(try made.json["id"]?.string)
          #expect(try again.json["id"]?.string == id)
          let (one, path) = ("/v1/campaigns/{id}", "/v1/campaigns/\(id)")

          let trial = try await call("market", "POST", path + "/dry-run", one + "/dry-run", body: [:], expect: 200).json
          #expect(trial["customers"] == 2 && trial["sendable"] == 1 && trial["cost_cents"] == 5)
          let shown = try await call(
            "market", "POST", path + "/preview", one + "/preview", body: ["customers": ["C100"]], expect: 200)
          #expect(try shown.json["items"]?.array?.first?["text"] == "王小明，您好")
          #expect(try shown.json["items"]?.array?.first?["segments"] == 1)

          func act(
            _ who: String, _ word: String, _ key: String, _ fields: [String: String] = [:], body: JSONValue = [:],
            expect status: Int
          ) async throws -> Answer {
            try await call(
              who, "POST", "\(path)/\(word)", "\(one)/\(word)",
              fields.merging(["Idempotency-Key": key]) { a, _ in a }, body: body, expect: status)
          }
          _ = try await act("market", "schedule", "a1", expect: 409)
          let checked = try await act("market", "check", "a2", expect: 200)
          _ = try await act("chief", "approve", "a3", expect: 428)
          _ = try await act("chief", "approve", "a4", ["If-Match": "\"v1\""], expect: 412)
          _ = try await act("market", "approve", "a5", ["If-Match": try #require(checked["etag"])], expect: 409)
          _ = try await act("chief", "approve", "a6", ["If-Match": try #require(checked["etag"])], expect: 200)
          _ = try await act("market", "schedule", "a7", expect: 200)
          for _ in 0..<4 { try await rooms.runner.tick() }
          let now = try await call("audit", "GET", path, one, expect: 200).json
          #expect(now["campaign"]?["campaign_state"] == "running")
          #expect(now["history"]?.array?.count == 5)
          let progress = try await call("chief", "GET", path + "/progress", one + "/progress", expect: 200).json
          #expect(progress["planned"] == 2 && progress["jobs"] == 1)
          _ = try await act("market", "pause", "a8", body: ["reason": "wait"], expect: 200)
          _ = try await act("market", "resume", "a9", expect: 200)
          let rows = try await call("chief", "GET", path + "/results?page_size=1", one + "/results", expect: 200).json
          #expect(rows["items"]?.array?.count == 1)
          let next = try #require(rows["next_cursor"]?.string)
          let rest = try await call(
            "chief", "GET", path + "/results?page_size=1&cursor=\(next)", one + "/results", expect: 200
          ).json
          let outcomes = (rows["items"]?.array ?? []) + (rest["items"]?.array ?? [])
          #expect(outcomes.map { $0["outcome"]?.string } == ["under_way", "skipped"])
          #expect(outcomes.last?["refused"]?["sms"] == "NO_ADDRESS")
          let file = try await served.as("chief", "GET", path + "/export")
          #expect(file.text.split(separator: "\r\n").count == 3 && file.text.hasPrefix("customer_no,outcome"))
          _ = try await call(
            "chief", "GET", path + "/customers/C200", one + "/customers/{customer_no}", expect: 200)
          _ = try await act("market", "cancel", "a10", expect: 200)
          let end = try await call(
            "chief", "GET", path + "/customers/C100", one + "/customers/{customer_no}", expect: 200)
          #expect(try end.json["result"]?["outcome"] == "cancelled")
        }
      }
    }
  }

  @Test func `what is wrong with a campaign or a criterion is said with its place`() async throws {
    try await Bank.open { bank in
      let rooms = try Self.rooms(bank)
      try await serve(rooms.site) { served in
        let call = Caller(served: served, conformance: try await Conformance(served))
        let plan: JSONValue = [
          "name": "bad", "purpose": "service", "holdout_percent": 10, "budget_cents": 100,
          "arms": [["name": "a", "contents": ["pigeon": ["zh": ["text": "{{colour}}"]]]]],
        ]
        let made = try await call(
          "market", "POST", "/v1/campaigns", "/v1/campaigns", ["Idempotency-Key": "b1"], body: plan, expect: 201)
        let unknown: JSONValue = [
          "name": "bad", "purpose": "service", "group": "nobody", "arms": [["name": "a", "contents": [:]]],
        ]
        _ = try await call(
          "market", "POST", "/v1/campaigns", "/v1/campaigns", ["Idempotency-Key": "b0"], body: unknown, expect: 409)
        let id = try #require(try made.json["id"]?.string)
        let checked = try await call(
          "market", "POST", "/v1/campaigns/\(id)/check", "/v1/campaigns/{id}/check", ["Idempotency-Key": "b2"],
          body: [:], expect: 422)
        let places = try checked.json["errors"]?.array?.compactMap { $0["pointer"]?.string } ?? []
        #expect(
          Set(places) == [
            "#/arms/0/contents/pigeon", "#/arms/0/contents/pigeon/zh/text", "#/holdout_percent", "#/cost_cents",
          ])
        let check = "/v1/criteria/check"
        let good = try await call(
          "market", "POST", check, check, body: ["criterion": "类型 = retail 且 年龄 >= 60"], expect: 200
        ).json
        #expect(good["count"] == 1 && good["sample"] == ["C100"])
        let bad = try await call("market", "POST", check, check, body: ["criterion": "level = 12"], expect: 422)
        #expect(bad.text.contains("character 9"))
        let gone = try await call("market", "POST", check, check, body: ["criterion": "group(no)"], expect: 422)
        #expect(gone.text.contains("no such group"))
        let group = "/v1/customer-groups/{code}"
        _ = try await call(
          "market", "PUT", "/v1/customer-groups/x", group,
          body: ["group_type": "concept", "name_zh": "x", "name_en": "x", "criterion": "level ="], expect: 422)
      }
    }
  }

  @Test func `preferences are added with proof, under a condition, and come to a standing`() async throws {
    for url in try Self.stores {
      try await Bank.open(on: url) { bank in
        let rooms = try Self.rooms(bank)
        try await serve(rooms.site) { served in
          let call = Caller(served: served, conformance: try await Conformance(served))
          let (path, one) = ("/v1/customers/C100/preferences", "/v1/customers/{customer_no}/preferences")
          let before = try await call("agent-1001", "GET", path, one, expect: 200)
          let deny: JSONValue = [
            "statements": [["channel": "email", "verdict": "deny"], ["purpose": "marketing", "verdict": "allow"]],
            "evidence": ["kind": "call_recording", "reference": "rec-17"],
          ]
          _ = try await call("agent-1001", "PUT", path, one, body: deny, expect: 428)
          let tag = ["If-Match": try #require(before["etag"])]
          let after = try await call("agent-1001", "PUT", path, one, tag, body: deny, expect: 200)
          _ = try await call("agent-1001", "PUT", path, one, tag, body: deny, expect: 412)
          func standing(_ answer: Answer, _ purpose: String, _ channel: String) throws -> JSONValue? {
            try answer.json["standing"]?.array?.first {
              $0["purpose"]?.string == purpose && $0["channel"]?.string == channel
            }
          }
          #expect(try standing(after, "service", "email")?["allowed"] == false)
          #expect(try standing(after, "marketing", "phone")?["consent"] == "given")
          #expect(try after.json["statements"]?.array?.first?["evidence"]?["reference"] == "rec-17")
          // An import cannot take back what he said to an agent; he himself can.
          func say(_ source: String, _ answer: Answer) async throws -> Answer {
            try await call(
              "crm", "PUT", path, one, ["If-Match": try #require(answer["etag"])],
              body: [
                "statements": [["channel": "email", "verdict": "allow"]], "source": .string(source),
                "evidence": ["kind": "api", "reference": "app"],
              ], expect: 200)
          }
          let imported = try await say("import", after)
          #expect(try standing(imported, "service", "email")?["allowed"] == false)
          _ = try await call(
            "agent-1001", "PUT", path, one, ["If-Match": try #require(imported["etag"])],
            body: [
              "statements": [["channel": "pigeon", "verdict": "deny"]], "evidence": ["kind": "api", "reference": "x"],
            ],
            expect: 422)

          let quiet = "/v1/customers/C100/do-not-disturb"
          let quietOne = "/v1/customers/{customer_no}/do-not-disturb"
          let night: JSONValue = [
            "from": "22:00", "to": "07:30", "evidence": ["kind": "paper", "reference": "form 3"],
          ]
          let added = try await call(
            "agent-1001", "POST", quiet, quietOne, ["Idempotency-Key": "q"], body: night, expect: 201
          ).json
          let id = try #require(added["items"]?.array?.first?["id"]?.string)
          _ = try await call(
            "agent-1001", "POST", quiet, quietOne, ["Idempotency-Key": "q2"],
            body: ["from": "25:00", "to": "07:30", "evidence": ["kind": "paper", "reference": "x"]], expect: 422)
          _ = try await call("agent-1001", "DELETE", "\(quiet)/\(id)", quietOne + "/{id}", expect: 204)
          _ = try await call("agent-1001", "DELETE", "\(quiet)/\(id)", quietOne + "/{id}", expect: 404)

          let legal = "/v1/customers/{customer_no}/legal-stops"
          let stop: JSONValue = ["reason": "court order 12"]
          _ = try await call(
            "agent-1001", "POST", "/v1/customers/C100/legal-stops", legal, ["Idempotency-Key": "l0"], body: stop,
            expect: 403)
          let stopped = try await call(
            "chief", "POST", "/v1/customers/C100/legal-stops", legal, ["Idempotency-Key": "l1"], body: stop, expect: 201
          )
          let stopID = try #require(try stopped.json["items"]?.array?.first?["id"]?.string)
          _ = try await call(
            "chief", "DELETE", "/v1/customers/C100/legal-stops/\(stopID)", legal + "/{id}", expect: 204)

          let flags = "/v1/customers/{customer_no}/flags"
          let set: JSONValue = [
            "deceased": false, "minor": false, "guardian": .null, "manager_only": true, "no_profiling": true,
            "household": "H1",
          ]
          _ = try await call("chief", "PUT", "/v1/customers/C100/flags", flags, body: set, expect: 200)
          #expect(
            try await call("chief", "GET", "/v1/customers/C100/flags", flags, expect: 200).json["manager_only"] == true)
          let home = try await call(
            "chief", "GET", "/v1/households/H1/customers", "/v1/households/{household}/customers", expect: 200)
          #expect(try home.json["items"]?.array?.count == 1)

          let off = "/v1/kill-switch"
          _ = try await call("market", "PUT", off, off, body: ["on": true, "reason": "wrong text"], expect: 200)
          _ = try await call("market", "PUT", off, off, body: ["on": false, "reason": "mended"], expect: 403)
          _ = try await call("chief", "PUT", off, off, body: ["on": false, "reason": "mended"], expect: 200)
          let stops = "/v1/address-stops"
          let address: JSONValue = [
            "kind": "phone", "value": "13812345678", "scope": "all", "evidence": ["kind": "sms", "reference": "TD"],
          ]
          _ = try await call("agent-1001", "POST", stops, stops, ["Idempotency-Key": "s1"], body: address, expect: 200)
          _ = try await call(
            "crm", "POST", "/v1/do-not-call-register", "/v1/do-not-call-register", ["Idempotency-Key": "r1"],
            body: ["listed": ["13812345678", "x"]], expect: 200)
        }
      }
    }
  }

  @Test func `a customer's own page shows and changes what he allows, and one click unsubscribes`() async throws {
    try await Bank.open { bank in
      let rooms = try Self.rooms(bank)
      let number = CustomerNumber("C100")!
      let token = rooms.link.token(for: number, at: Bank.now())
      #expect(rooms.link.customer(of: token, at: Bank.now()) == number)
      #expect(rooms.link.customer(of: token, at: Bank.now() + .seconds(500 * 86_400)) == nil)
      #expect(PreferenceLink(secret: Array(repeating: 4, count: 32)).customer(of: token, at: Bank.now()) == nil)
      try await serve(rooms.site) { served in
        let path = "/preferences/\(token)"
        let page = try await served.get(path, headers: [("Accept-Language", "zh-CN")])
        #expect(page.status == 200 && page.text.contains("联系偏好") && !page.text.contains("<script"))
        #expect(!page.text.contains("王小明") && page["cache-control"] == "no-store")
        #expect(try await served.get("/preferences/\(token)x").status == 404)
        #expect(try await served.get("/preferences").status == 404)
        let form = ("Content-Type", "application/x-www-form-urlencoded")
        let saved = try await served.send(
          "POST", path + "?lang=en", headers: [form], body: "service.sms=yes&marketing.phone=yes&favourite=phone")
        #expect(saved.status == 200 && saved.text.contains("Saved."))
        func allowed(_ purpose: Purpose) async throws -> [OutboundChannel] {
          let records = try await bank.database.read { try $0.preferences(of: number) }
          let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
          return profile.permissions(of: records, at: Bank.now()).filter { $0.purpose == purpose && $0.isAllowed }
            .map(\.channel)
        }
        #expect(try await allowed(.service) == [.sms])
        #expect(try await allowed(.marketing) == [.phone])
        #expect(try await allowed(.care) == [])
        let said = try await bank.database.read { try $0.preferenceRecords(of: number) }
        #expect(said.allSatisfy { $0.preference.source == .customer && $0.evidence.kind == .webForm })
        #expect(said.contains { $0.preference.verdict == .prefer && $0.preference.channel == .phone })

        // A look by a mail scanner changes nothing; the button of the mail program does.
        let before = said.count
        let look = try await served.get(path + "/unsubscribe?c=phone")
        #expect(look.status == 200 && look.text.contains("<form"))
        #expect(try await bank.database.read { try $0.preferenceRecords(of: number).count } == before)
        let click = try await served.send(
          "POST", path + "/unsubscribe?c=phone", headers: [form], body: "List-Unsubscribe=One-Click")
        #expect(click.status == 200)
        #expect(try await allowed(.marketing) == [])
        #expect(try await served.send("POST", path + "/unsubscribe", headers: [form], body: "x=y").status == 400)
        #expect(try await served.send("DELETE", path).status == 405)
      }
    }
  }
}
