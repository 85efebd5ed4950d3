import AsyncHTTPClient
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Outbound
import Store
import Testing

@testable import liaison

/// Campaigns that call: the whole daemon between marketing, agents, an exchange that obeys and, for the mail, a real
/// Postfix.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct DialDaemonTests {
  private static let now = Timestamp(seconds: Int64(Date().timeIntervalSince1970))
  private static let evidence = ConsentEvidence(
    id: EvidenceID(at: now), kind: .callRecording, reference: "rec", capturedAt: now, capturedBy: "1001")

  private struct House {
    let mail: MailBank
    let exchange = AsteriskStandIn(programme: .recordings([]))
    let switchboard: StandInSwitchboard
    let serving: Task<Void, any Error>
    let port: Int

    init(talk: Duration?) async throws {
      mail = try MailBank()
      switchboard = StandInSwitchboard(exchange, talk: talk)
      let (ports, bound) = AsyncStream<Int>.makeStream()
      // Cancelled by `close`.
      serving = Task { [exchange] in try await exchange.run { bound.yield($0) } }
      port = await ports.first { _ in true } ?? 0
    }

    func close() {
      serving.cancel()
      mail.bank.remove()
    }

    func fill(
      _ count: Int, agents: Int, _ also: @escaping @Sendable (WriteTransaction, Int) throws -> Void = { _, _ in }
    ) async throws {
      let time = DialDaemonTests.now
      let database = try Database.open(StoreURL("sqlite://\(mail.bank.database)"), migrations: migrations, now: time)
      try await database.write { transaction in
        try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
        for index in 1...agents {
          try transaction.upsert(
            Agent(
              id: AgentID("100\(index)")!, name: "Agent \(index)", device: "PJSIP/100\(index)",
              queues: [Code("general")!], state: .ready, stateSince: time), at: time)
        }
        for index in 0..<count {
          let number = CustomerNumber("C\(index)")!
          let points = [
            ContactPoint(
              address: Address(
                kind: .phone, canonical: "+86138000\(20_000 + index)", raw: "138000\(20_000 + index)"), verifiedAt: time
            ),
            ContactPoint(
              address: Address(
                kind: .email, canonical: "kehu+\(index)@bank.example", raw: "kehu+\(index)@bank.example"),
              verifiedAt: time),
          ]
          try transaction.upsert(
            CustomerRecord(
              customer: Customer(customerNo: number, type: Code("retail")!, name: "客户\(index)"), contactPoints: points),
            nameFolded: "客户\(index)", source: "test", at: time)
          try also(transaction, index)
        }
      }
      await database.close()
    }

    func schedule(_ channels: [String], _ dial: CampaignPlan.Dial) async throws -> CampaignID {
      let time = DialDaemonTests.now
      let database = try Database.open(StoreURL("sqlite://\(mail.bank.database)"), migrations: migrations, now: time)
      let words = ["zh": CampaignPlan.Words(subject: "存款利率", text: "{{name}}，您好：利率有变化。")]
      let plan = CampaignPlan(
        name: "rates", purpose: .service,
        arms: [.init(name: "a", contents: Dictionary(uniqueKeysWithValues: channels.map { ($0, words) }))], dial: dial,
        queue: Code("general"))
      let id = try await database.write { transaction in
        let author = Actor(label: "author", agent: nil, role: "marketing")
        let second = Actor(label: "second", agent: nil, role: "supervisor")
        let id = try transaction.createCampaign(plan, actor: author, at: time).id
        for (act, actor) in [(CampaignAct.check, author), (.approve, second), (.schedule, author)] {
          _ = try transaction.act(act, on: id, actor: actor, at: time)
        }
        return id
      }
      await database.close()
      return id
    }

    func start(_ more: String = "") throws -> LiaisonForTests.Liaison {
      let yaml =
        (more.isEmpty ? mail.bank.configuration : more) + """
            - kind: telephony
              name: calls
              reconnect_delay: 20ms
              longest_reconnect_delay: 50ms
              servers:
                - {name: main, host: 127.0.0.1, port: \(port), username: liaison, secret: {env: SWITCH_SECRET}}
              dialling: {showing: "+861095559", result_within: 60s}

          """
      return try mail.bank.start(
        yaml.replacing(TestBank.shippedParameters, with: mail.bank.parametersOfABankThatNeverSleeps()),
        environment: ["SWITCH_SECRET": exchange.secret, "MAIL_PASSWORD": "secret"])
    }

    var calls: [String] {
      exchange.orders.filter { $0["Action"] == "Originate" }.compactMap { $0["Exten"] }
    }

    /// Asks until there are so many showings in this state.
    func dials(_ state: String, _ count: Int, within limit: Duration = .seconds(30)) async throws -> [JSONTree] {
      let deadline = ContinuousClock.now + limit
      var found: [JSONTree] = []
      while ContinuousClock.now < deadline {
        found = try await mail.client.call(.GET, "/v1/dials", query: ["state": state])["items"].array
        if found.count == count { return found }
        try await Task.sleep(for: .milliseconds(20))
      }
      throw ChildProcess.Failure(description: "\(found.count) showings are \(state), not \(count)")
    }

    /// The customer says on the telephone that he wants no calls.
    func refuse(_ customer: String) async throws {
      let socket =
        (mail.bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
      let url = "http+unix://\(socket)/v1/customers/\(customer)/preferences"
      let known = try await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(10))
      _ = try await known.body.collect(upTo: 1 << 20)
      var request = HTTPClientRequest(url: url)
      request.method = .PUT
      request.headers.add(name: "Content-Type", value: "application/json")
      request.headers.add(name: "If-Match", value: known.headers.first(name: "ETag") ?? "*")
      request.body = .bytes(
        ByteBuffer(
          string: """
            {"statements": [{"channel": "phone", "verdict": "deny"}],
             "evidence": {"kind": "call_recording", "reference": "rec"}}
            """))
      let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
      guard answer.status == .ok else { throw ChildProcess.Failure(description: "it was answered \(answer.status)") }
    }

    func act(_ dial: JSONTree, _ act: String, _ body: [String: Any] = [:]) async throws -> JSONTree {
      try await mail.client.call(
        .POST, "/v1/dials/\(dial["dial_id"].string ?? "")/\(act)", body: JSONObjectText(body))
    }
  }

  @Test(.enabled(if: BankMail.isAvailable, "needs Postfix, Dovecot and root"), .timeLimit(.minutes(3)))
  func `who dislikes e-mail is called and gets none, everybody else is reached as he prefers, and each is told why`()
    async throws
  {
    let house = try await House(talk: .milliseconds(100))
    let server = try BankMail("lmtp=\(house.mail.lmtp)")
    // 0 says nothing, 1 dislikes e-mail, 2 likes to be called, 3 likes e-mail.
    try await house.fill(4, agents: 2) { transaction, index in
      let said: [(OutboundChannel, ChannelPreference.Verdict)] =
        [
          1: [(.email, .deny)], 2: [(.phone, .prefer)], 3: [(.email, .prefer)],
        ][index] ?? []
      for (channel, verdict) in said {
        try transaction.record(
          ChannelPreference(channel: channel, purpose: nil, verdict: verdict, effectiveAt: Self.now, source: .customer),
          id: PreferenceID(at: Self.now), of: CustomerNumber("C\(index)")!, evidence: Self.evidence, policyVersion: "1",
          actor: .liaison, at: Self.now)
      }
    }
    let id = try await house.schedule(["email", "phone"], .preview)
    let daemon = try house.start(
      house.mail.yaml(
        """
        submission:
          host: localhost
          port: \(server.submission)
          tls: starttls
          authorities: \(server.caFile)
          user: service
          password: {env: MAIL_PASSWORD}
        """))
    _ = try await daemon.ready()
    for shown in try await house.dials("offered", 2) {
      let screen = try await house.mail.client.call(.GET, "/v1/dials/\(shown["dial_id"].string ?? "")")
      #expect(screen["script"].string?.contains("您好") == true && screen["campaign"].string == "rates")
      #expect(screen["why_zh"].string?.hasPrefix("通过电话发送") == true)
      #expect(try await house.act(shown, "accept")["state"].string == "dialled")
    }
    for talked in try await house.dials("wrap_up", 2) {
      _ = try await house.act(talked, "result", ["result": "reached"])
    }
    try await house.mail.until("the campaign ends") { try $0.campaign(id)?.state == .finished }
    let client = house.mail.client
    let rows = try await client.call(.GET, "/v1/campaigns/\(id)/results")["items"].array
    #expect(rows.map { $0["outcome"].string } == ["reached", "reached", "reached", "reached"])
    #expect(rows.map { $0["channel"].string } == ["email", "phone", "phone", "email"])
    #expect(house.calls.sorted() == ["+8613800020001", "+8613800020002"])
    #expect(
      house.exchange.orders.filter { $0["Action"] == "Originate" }.allSatisfy {
        $0["ChannelId"]?.hasPrefix("liaison-attempt_") == true
      })
    let reasons = ["SEND_DEFAULT", "SEND_DEFAULT", "SEND_PREFERRED", "SEND_PREFERRED"]
    for index in 0..<4 {
      let told = try await client.call(.GET, "/v1/campaigns/\(id)/customers/C\(index)")
      #expect(told["decisions"].array.last?["reason"].string == reasons[index], "C\(index)")
      let why = try await client.call(.GET, "/v1/explain/\(told["result"]["job_id"].string ?? "")")
      let zh = why["decisions"].array.compactMap { $0["sentence_zh"].string }.joined()
      let en = why["decisions"].array.compactMap { $0["sentence_en"].string }.joined()
      switch index {
      case 1:
        #expect(zh.contains("通过电话发送") && zh.contains("电子邮件：客户不愿通过该渠道接收"), "\(zh)")
        #expect(en.contains("Send by phone") && en.contains("e-mail: the customer does not want it"), "\(en)")
      case 2: #expect(zh.contains("客户首选该渠道") && en.contains("the customer prefers it"), "\(zh) \(en)")
      default: #expect(zh.contains("通过电子邮件发送") && en.contains("Send by e-mail"), "\(zh) \(en)")
      }
    }
    // Postfix has two mails, and none for who dislikes them.
    let deadline = ContinuousClock.now + .seconds(30)
    while server.messages(user: "kehu").count < 2, ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(50))  // Another program: there is nothing else to wait on.
    }
    let mails = server.messages(user: "kehu")
    #expect(mails.count == 2 && !mails.contains { $0.contains("kehu+1@") || $0.contains("kehu+2@") })
    // A call is one contact, the customer's.
    let contacts = try await house.mail.look { try $0.lastContacts(of: CustomerNumber("C1")!, limit: 5) }
    #expect(contacts.map(\.channel.kind) == [.telephony] && contacts.first?.disposition == "answered")
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    house.close()
  }

  @Test(.timeLimit(.minutes(2)))
  func `paused, stopped or told no, showings leave the screens within a second and nothing is dialled`() async throws {
    let house = try await House(talk: nil)
    try await house.fill(6, agents: 3)
    let id = try await house.schedule(["phone"], .preview)
    let daemon = try house.start()
    _ = try await daemon.ready()
    let client = house.mail.client
    _ = try await house.dials("offered", 3)
    _ = try await client.call(.POST, "/v1/campaigns/\(id)/pause", body: JSONObjectText(["reason": "test"]))
    _ = try await house.dials("offered", 0, within: .seconds(1))
    _ = try await client.call(.POST, "/v1/campaigns/\(id)/resume", body: JSONObjectText([:]))
    var shown = try await house.dials("offered", 3)
    let first = shown[0]["customer_no"].string ?? ""
    try await house.refuse(first)
    let deadline = ContinuousClock.now + .seconds(1)
    repeat {
      shown = try await client.call(.GET, "/v1/dials", query: ["state": "offered"])["items"].array
    } while shown.contains { $0["customer_no"].string == first } && ContinuousClock.now < deadline
    #expect(!shown.contains { $0["customer_no"].string == first })
    _ = try await client.call(.PUT, "/v1/kill-switch", body: JSONObjectText(["on": true, "reason": "test"]))
    _ = try await house.dials("offered", 0, within: .seconds(1))
    #expect(house.calls.isEmpty)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    house.close()
  }

  @Test(.timeLimit(.minutes(2)))
  func `killed while customers talk, each call is found again by its name and none is placed twice`() async throws {
    let house = try await House(talk: nil)
    try await house.fill(3, agents: 3)
    _ = try await house.schedule(["phone"], .progressive)
    var daemon = try house.start()
    _ = try await daemon.ready()
    let talking = try await house.dials("talking", 3)
    daemon.child.send(SIGKILL)
    _ = try await daemon.child.ended(within: .seconds(10))
    // One hangs up while nobody listens.
    house.switchboard.hangUp(talking[0]["call_id"].string ?? "")
    daemon = try house.start()
    _ = try await daemon.ready()
    let over = try await house.dials("wrap_up", 1)
    #expect(over[0]["dial_id"].string == talking[0]["dial_id"].string)
    _ = try await house.act(over[0], "result", ["result": "reached"])
    for call in try await house.dials("talking", 2) { house.switchboard.hangUp(call["call_id"].string ?? "") }
    let last = try await house.dials("wrap_up", 2)
    _ = try await house.act(last[0], "result", ["result": "no-calls"])
    let later = Self.now + .seconds(86_400)
    _ = try await house.act(last[1], "result", ["result": "call-back", "call_back_at": later.description])
    let states = try await house.mail.look { connection in
      try connection.query("SELECT state, next_at FROM proactive_job ORDER BY state").map {
        (try $0.text("state"), try $0.timeOrNil("next_at"))
      }
    }
    #expect(states.map(\.0) == ["done", "done", "planned"] && states.last?.1 == later)
    #expect(Set(house.calls).count == 3 && house.calls.count == 3)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    house.close()
  }
}
