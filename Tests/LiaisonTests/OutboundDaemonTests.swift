import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOHTTP1
import Outbound
import SMS
import Store
import Testing

@testable import liaison

/// A daemon whose text messages go to an SMSC that outlives it.
private struct SMSBank: Sendable {
  let bank: TestBank
  let smsc: StandInSMSC
  let port: Int

  static func open(
    _ behaviour: StandInSMSC.Behaviour = .init(), _ body: @Sendable (SMSBank) async throws -> Void
  ) async throws {
    let smsc = StandInSMSC(behaviour)
    let bank = SMSBank(bank: try TestBank(), smsc: smsc, port: try await smsc.start())
    try await body(bank)
    await smsc.stop()
    bank.bank.remove()
  }

  var client: AdminClient { AdminClient(socket: bank.directory + "/admin.sock") }

  func start(crashAt place: String? = nil) async throws -> LiaisonForTests.Liaison {
    let configuration =
      bank.configuration + """
          - kind: sms
            name: texts
            doubt_memory: 1h
            links:
              - name: a
                protocol: smpp
                host: 127.0.0.1
                port: \(port)
                system_id: liaison
                password: {env: SMSC_PASSWORD}
                sender: "95599"
                reconnect_delay: 100ms
        """ + "\n"
    var environment = ["SMSC_PASSWORD": "x"]
    if let place { environment["LIAISON_CRASH_AT"] = place }
    let daemon = try bank.start(configuration, environment: environment)
    _ = try await daemon.ready()
    return daemon
  }

  /// Plans one message to a number of its own.
  func plan(_ number: Int, _ text: String = "Done.", purpose: String = "security") async throws -> String {
    let body = try JSONObjectText([
      "purpose": purpose, "address": ["kind": "phone", "value": phone(number)], "contents": ["sms": ["text": text]],
      "reference": "r\(number)",
    ])
    return try await client.call(.POST, "/v1/proactive-jobs", body: body)["id"].string ?? ""
  }

  func phone(_ number: Int) -> String { "+86138000\(10_000 + number)" }

  /// How often the SMSC was given something for this number.
  func submits(to number: Int) -> Int {
    smsc.submitted.count { $0.message.destination.digits.hasSuffix("\(10_000 + number)") }
  }

  /// The job, once `holds` does.
  func job(_ id: String, until holds: (JSONTree) -> Bool) async throws -> JSONTree {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      let found = try await client.call(.GET, "/v1/proactive-jobs/\(id)")
      if holds(found) { return found }
      guard ContinuousClock.now < deadline else {
        throw ChildProcess.Failure(description: "the job stayed \(found.text)")
      }
      try await Task.sleep(for: .milliseconds(20))  // Another process: there is nothing else to wait on.
    }
  }
}

extension JSONTree {
  fileprivate var lastAttempt: String? { self["attempts"].array.last?["state"].string }
}

@Suite struct OutboundDaemonTests {
  @Test func `a job leaves by the SMSC, its receipt settles it, and everything is explained`() async throws {
    try await SMSBank.open { house in
      let daemon = try await house.start()
      let id = try await house.plan(1, "您的业务已办理。")
      #expect(try await house.plan(1, "您的业务已办理。") == id)
      let done = try await house.job(id) { $0.lastAttempt == "delivered" }
      #expect(done["job"]["state"].string == "done")
      #expect(done["decisions"].array.first?["reason"].string == "SEND_DEFAULT")
      #expect(house.submits(to: 1) == 1)
      let explained = try await house.client.call(.GET, "/v1/explain/\(id)")
      #expect(explained["decisions"].array.contains { $0["sentence_en"].string?.contains("Send by SMS") == true })
      #expect(explained["attempts"].array.count == 1)
      let overview = try await house.client.call(.GET, "/v1/overview")
      #expect(overview["attempts_in_doubt"].int == 0)
      #expect(try await daemon.stop() == .code(0))
    }
  }

  @Test func `a stop word holds up what comes after it and is answered once`() async throws {
    try await SMSBank.open { house in
      let daemon = try await house.start()
      let first = try await house.plan(2)
      _ = try await house.job(first) { $0["job"]["state"].string == "done" }
      for _ in 0..<2 { #expect(await house.smsc.deliver(from: "8613800010002", to: "95599", text: "TD") == .ok) }
      let body = try JSONObjectText([
        "purpose": "marketing", "address": ["kind": "phone", "value": house.phone(2)],
        "contents": ["sms": ["text": "Buy!"]],
      ])
      // Told once, by a service message; only when that has left is the stop certainly in force.
      await house.smsc.waitForSubmits(2)
      let id = try await house.client.call(.POST, "/v1/proactive-jobs", body: body)["id"].string ?? ""
      let refused = try await house.job(id) { $0["job"]["state"].string == "refused" }
      #expect(refused["decisions"].array.last?["refused"]["sms"].string == "ADDR_STOP")
      #expect(house.submits(to: 2) == 2)
      #expect(try await daemon.stop() == .code(0))
    }
  }

  @Test(arguments: HandOverPoint.allCases)
  func `killed in the middle of a hand-over nothing is sent twice and nothing is silently lost`(
    at point: HandOverPoint
  ) async throws {
    try await SMSBank.open { house in
      let dying = try await house.start(crashAt: "\(point.rawValue):1")
      // It may die before it answers; the reference makes the repetition below the same job.
      let known = try? await house.plan(3)
      #expect(try await dying.child.ended(within: .seconds(30)) == .signal(SIGKILL))
      let daemon = try await house.start()
      let id = try await house.plan(3)
      #expect(known == nil || known == id)
      switch point {
      case .reserved:
        // Never left: it goes now.
        _ = try await house.job(id) { $0["job"]["state"].string == "done" }
        #expect(house.submits(to: 3) == 1)
      case .handing:
        // No byte left, but who knows: it is in doubt until a person has found out.
        let doubt = try await house.job(id) { $0.lastAttempt == "in_doubt" }
        #expect(house.submits(to: 3) == 0)
        let attempt = doubt["attempts"].array.first?["id"].string ?? ""
        let listed = try await house.client.call(.GET, "/v1/attempts/in-doubt")
        #expect(listed["items"].array.map { $0["id"].string } == [attempt])
        #expect(try await house.client.call(.GET, "/v1/overview")["attempts_in_doubt"].int == 1)
        _ = try await house.client.call(
          .POST, "/v1/attempts/\(attempt)/settlement",
          body: try JSONObjectText(["outcome": "not_sent", "reason": "the SMSC has no such message"]))
        _ = try await house.job(id) { $0["job"]["state"].string == "planned" || $0["job"]["state"].string == "done" }
      case .submitted:
        _ = try await house.job(id) { $0.lastAttempt == "in_doubt" || $0.lastAttempt == "delivered" }
        #expect(house.submits(to: 3) == 1)
      case .settled:
        _ = try await house.job(id) { $0["job"]["state"].string == "done" }
        #expect(house.submits(to: 3) == 1)
      }
      // What comes next goes its way, and what was in doubt is not sent by it.
      let next = try await house.plan(4)
      _ = try await house.job(next) { $0["job"]["state"].string == "done" }
      #expect(house.submits(to: 3) <= 1)
      #expect(try await daemon.stop() == .code(0))
    }
  }

  @Test func `SIGTERM lets what is in hand end and claims nothing new`() async throws {
    try await SMSBank.open(.init(answersAfter: .milliseconds(700))) { house in
      let daemon = try await house.start()
      for number in 10..<14 { _ = try await house.plan(number) }
      await house.smsc.waitForSubmits(4)
      #expect(try await daemon.stop() == .code(0))
      var options = Database.Options()
      options.readOnly = true
      let database = try Database.open(
        StoreURL("sqlite://\(house.bank.database)"), migrations: migrations, options: options,
        now: Timestamp(seconds: 0))
      let states = try await database.read { try $0.query("SELECT state FROM attempt").map { try $0.text("state") } }
      await database.close()
      // The stand-in may have reported the first of them already.
      #expect(states.count == 4 && Set(states).isSubset(of: ["accepted", "delivered"]))
    }
  }

  @Test func `a text is approved and used without a restart, under the purpose it was approved for`() async throws {
    try await SMSBank.open { house in
      let daemon = try await house.start()
      func apply(_ purpose: String) async throws -> JSONTree {
        let text = """
          kind: template
          templates:
            - code: card-ready
              name_zh: 领卡通知
              name_en: Card ready
              purpose: \(purpose)
              variables: [{name: branch, maximum: 20}]
              messages: [{channel: sms, language: zh, text: "您的新卡已到{{branch}}。"}]
          """
        return try await house.client.call(
          .POST, "/v1/parameters", body: try JSONObjectText(["documents": [["name": "t.yaml", "text": text]]]))
      }
      await #expect(throws: DaemonError.self) { try await apply("gossip") }
      #expect(try await apply("security")["items"].array.first?["change"].string == "added")
      // In force as soon as the event of its appliance has been read.
      var id: String?
      while id == nil {
        let body = try JSONObjectText([
          "address": ["kind": "phone", "value": house.phone(5)], "template": "card-ready",
          "variables": ["branch": "城西支行"],
        ])
        do {
          id = try await house.client.call(.POST, "/v1/proactive-jobs", body: body)["id"].string
        } catch DaemonError.data { try await Task.sleep(for: .milliseconds(20)) }
      }
      let done = try await house.job(id ?? "") { $0["job"]["state"].string == "done" }
      #expect(done["job"]["template"].string == "card-ready@1")
      #expect(done["job"]["contents"]["sms"]["text"].string == "您的新卡已到城西支行。")
      #expect(house.submits(to: 5) == 1)
      #expect(try await daemon.stop() == .code(0))
    }
  }
}
