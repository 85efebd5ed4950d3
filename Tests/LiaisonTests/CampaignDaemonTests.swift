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

/// A daemon whose mail goes to a real Postfix and whose text messages to an SMSC, both of which outlive it.
private struct CampaignHouse: Sendable {
  let mail: MailBank
  let server: BankMail
  let smsc: StandInSMSC
  let smscPort: Int

  init() async throws {
    mail = try MailBank()
    server = try BankMail("lmtp=\(mail.lmtp)")
    smsc = StandInSMSC(.init())
    smscPort = try await smsc.start()
  }

  /// Customers C0 … : each with a telephone, and a mailbox at the bank's own Postfix. `deny` says who refuses e-mail.
  func fill(_ count: Int, deny: Set<Int>, at time: Timestamp) async throws {
    let database = try Database.open(StoreURL("sqlite://\(mail.bank.database)"), migrations: migrations, now: time)
    try await database.write { transaction in
      for index in 0..<count {
        let number = CustomerNumber("C\(index)")!
        let points = [
          ContactPoint(
            address: Address(
              kind: .phone, canonical: "+86138000\(20_000 + index)", raw: "138000\(20_000 + index)"), verifiedAt: time),
          ContactPoint(
            address: Address(
              kind: .email, canonical: "kehu+\(index)@bank.example", raw: "kehu+\(index)@bank.example"),
            verifiedAt: time),
        ]
        try transaction.upsert(
          CustomerRecord(
            customer: Customer(customerNo: number, type: Code("retail")!, name: "客户\(index)"), contactPoints: points),
          nameFolded: "客户\(index)", source: "test", at: time)
        guard deny.contains(index) else { continue }
        let evidence = ConsentEvidence(
          id: EvidenceID(at: time), kind: .callRecording, reference: "rec", capturedAt: time, capturedBy: "1001")
        try transaction.record(
          ChannelPreference(channel: .email, purpose: nil, verdict: .deny, effectiveAt: time, source: .customer),
          id: PreferenceID(at: time), of: number, evidence: evidence, policyVersion: "1", actor: .liaison, at: time)
      }
    }
    await database.close()
  }

  func start(crashAt place: String? = nil) async throws -> LiaisonForTests.Liaison {
    let yaml =
      mail.yaml(
        """
        submission:
          host: localhost
          port: \(server.submission)
          tls: starttls
          authorities: \(server.caFile)
          user: service
          password: {env: MAIL_PASSWORD}
        """) + """
          - kind: sms
            name: texts
            doubt_memory: 1h
            links:
              - name: a
                protocol: smpp
                host: 127.0.0.1
                port: \(smscPort)
                system_id: liaison
                password: {env: SMSC_PASSWORD}
                sender: "95599"
                reconnect_delay: 100ms

        """
    var environment = ["SMSC_PASSWORD": "x", "MAIL_PASSWORD": "secret"]
    if let place { environment["LIAISON_CRASH_AT"] = place }
    return try mail.bank.start(yaml, environment: environment)
  }

  /// A campaign of statutory news, which may go at any hour: e-mail first, then SMS. Approved and scheduled as two people would.
  func schedule(_ time: Timestamp) async throws -> CampaignID {
    let database = try Database.open(StoreURL("sqlite://\(mail.bank.database)"), migrations: migrations, now: time)
    let words = ["zh": CampaignPlan.Words(subject: "存款利率", text: "{{name}}，您好：利率有变化。")]
    let plan = CampaignPlan(
      name: "rates", purpose: .transaction, arms: [.init(name: "a", contents: ["email": words, "sms": words])])
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

  func textsTo(_ index: Int) -> Int {
    smsc.submitted.count { $0.message.destination.digits.hasSuffix("\(20_000 + index)") }
  }
}

@Suite(
  .enabled(
    if: BankMail.isAvailable && FileManager.default.isExecutableFile(atPath: Liaison.program),
    "needs Postfix, Dovecot and root"))
struct CampaignDaemonTests {
  private static let now = Timestamp(seconds: Int64(Date().timeIntervalSince1970))

  @Test func `a campaign over real peers reaches everybody by the channel he allows, and explains each`() async throws {
    let house = try await CampaignHouse()
    // The bank's order prefers SMS for this purpose; customer 2 refuses it, customer 1 refuses e-mail too.
    try await house.fill(4, deny: [1], at: Self.now)
    let database = try Database.open(
      StoreURL("sqlite://\(house.mail.bank.database)"), migrations: migrations, now: Self.now)
    try await database.write { transaction in
      for (index, channel) in [(0, OutboundChannel.email), (2, .email), (3, .sms)] {
        let evidence = ConsentEvidence(
          id: EvidenceID(at: Self.now), kind: .webForm, reference: "page", capturedAt: Self.now, capturedBy: "customer")
        try transaction.record(
          ChannelPreference(channel: channel, purpose: nil, verdict: .prefer, effectiveAt: Self.now, source: .customer),
          id: PreferenceID(at: Self.now), of: CustomerNumber("C\(index)")!, evidence: evidence, policyVersion: "1",
          actor: .liaison, at: Self.now)
      }
    }
    await database.close()
    let id = try await house.schedule(Self.now)
    let daemon = try await house.start()
    _ = try await daemon.ready()
    try await house.mail.until("the campaign ends") { try $0.campaign(id)?.state == .finished }
    let client = house.mail.client
    let rows = try await client.call(.GET, "/v1/campaigns/\(id)/results")["items"].array
    #expect(rows.map { $0["outcome"].string } == ["reached", "reached", "reached", "reached"])
    #expect(rows.map { $0["channel"].string } == ["email", "sms", "email", "sms"])
    #expect((0..<4).map(house.textsTo) == [0, 1, 0, 1])
    let why = try await client.call(.GET, "/v1/campaigns/\(id)/customers/C1")
    #expect(why["decisions"].array.last?["refused"]["email"].string == "PREF_DENY")
    let told = try await client.call(.GET, "/v1/explain/\(why["result"]["job_id"].string ?? "")")
    #expect(told["decisions"].array.contains { $0["sentence_en"].string?.contains("e-mail") == true })
    for index in [0, 2] {
      let other = try await client.call(.GET, "/v1/campaigns/\(id)/customers/C\(index)")
      #expect(other["result"]["reason"].string == "accepted" || other["result"]["reason"].string == "delivered")
      #expect(other["decisions"].array.last?["reason"].string == "SEND_PREFERRED")
    }
    // Postfix has them.
    let deadline = ContinuousClock.now + .seconds(30)
    while house.server.messages(user: "kehu").count < 2, ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(50))  // Another program: there is nothing else to wait on.
    }
    #expect(house.server.messages(user: "kehu").count == 2)
    #expect(try await daemon.stop() == .code(0))
    await house.smsc.stop()
    house.mail.bank.remove()
  }

  @Test func `killed again and again in a campaign nobody is reached twice and everybody has an outcome`() async throws
  {
    let house = try await CampaignHouse()
    let count = 120
    try await house.fill(count, deny: Set(0..<count), at: Self.now)
    let id = try await house.schedule(Self.now)
    var kills = 0
    let places = ["before-commit:9", "after-commit:14", "reserved:2", "handing:3", "submitted:5", "settled:7"]
    for turn in 0..<18 {
      let daemon = try await house.start(crashAt: places[turn % places.count])
      // It dies by itself, at the latest when nothing is left to do.
      do {
        let exit = try await daemon.child.ended(within: .seconds(10))
        if exit == .signal(SIGKILL) { kills += 1 }
      } catch {
        daemon.child.send(SIGKILL)
        _ = try await daemon.child.ended(within: .seconds(10))
        break
      }
    }
    let daemon = try await house.start()
    _ = try await daemon.ready()
    try await house.mail.until("nobody waits") { connection in
      try connection.campaignPlan(id)?.isComplete == true
        && connection.one(
          """
          SELECT count(*) AS n FROM proactive_job j WHERE j.state = 'planned' OR (j.state = 'active' AND NOT EXISTS
            (SELECT 1 FROM attempt a WHERE a.job_id = j.job_id AND a.state = 'in_doubt'))
          """, []
        ).int("n") == 0
    }
    let states = try await house.mail.look { connection in
      try connection.query(
        """
        SELECT j.customer_no, j.state, (SELECT count(*) FROM attempt a WHERE a.job_id = j.job_id AND a.state = 'in_doubt')
          AS doubts FROM proactive_job j WHERE j.campaign_id = $1 ORDER BY j.customer_no
        """, [.id(id)]
      ).map { (try $0.text("customer_no"), try $0.text("state"), try $0.int("doubts")) }
    }
    #expect(states.count == count)
    for (number, state, doubts) in states {
      let texts = house.textsTo(Int(number.dropFirst()) ?? -1)
      #expect(texts <= 1, "\(number) was written to \(texts) times")
      if doubts == 0 { #expect(state == "done" && texts == 1, "\(number): \(state), \(texts)") }
    }
    // How many is chance: the campaign may be through before the later points are passed.
    #expect(kills >= 2)
    #expect(try await daemon.stop() == .code(0))
    await house.smsc.stop()
    house.mail.bank.remove()
  }
}
