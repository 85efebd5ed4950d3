import AsyncHTTPClient
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Outbound
import SMS
import Store
import Synchronization
import Testing

@testable import liaison

/// Customers who say no while a campaign is on its way to them: by SMS, by the button of their mail program, on their
/// page. What is planned or reserved for them must not go a second later.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct StopRaceTests {
  private static let now = Timestamp(seconds: Int64(Date().timeIntervalSince1970))
  private static let texts = 0..<180
  private static let mails = 180..<230

  /// When something was, by customer.
  private final class Moments: Sendable {
    private let moments = Mutex<[Int: [ContinuousClock.Instant]]>([:])
    func note(_ index: Int) { moments.withLock { $0[index, default: []].append(.now) } }
    var all: [Int: [ContinuousClock.Instant]] { moments.withLock { $0 } }
  }

  private func fill(_ bank: TestBank) async throws -> CampaignID {
    let time = Self.now
    let database = try Database.open(StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: time)
    let evidence = ConsentEvidence(
      id: EvidenceID(at: time), kind: .webForm, reference: "page", capturedAt: time, capturedBy: "customer")
    for index in 0..<Self.mails.upperBound {
      try await database.write { transaction in
        let number = CustomerNumber("C\(index)")!
        try transaction.upsert(
          CustomerRecord(
            customer: Customer(customerNo: number, type: Code("retail")!, name: "客户\(index)"),
            contactPoints: [
              ContactPoint(
                address: Address(
                  kind: .phone, canonical: "+861380002\(1_000 + index)", raw: "1380002\(1_000 + index)"),
                verifiedAt: time),
              ContactPoint(
                address: Address(kind: .email, canonical: "c\(index)@mail.example", raw: "c\(index)@mail.example"),
                verifiedAt: time),
            ]), nameFolded: "客户\(index)", source: "test", at: time)
        for preference in [
          ChannelPreference(
            channel: nil, purpose: .marketing, verdict: .allow, effectiveAt: time, source: .customer),
          ChannelPreference(
            channel: Self.texts.contains(index) ? .sms : .email, purpose: nil, verdict: .prefer, effectiveAt: time,
            source: .customer),
        ] {
          try transaction.record(
            preference, id: PreferenceID(at: time), of: number, evidence: evidence, policyVersion: "1", actor: .liaison,
            at: time)
        }
      }
    }
    let plan = CampaignPlan(
      name: "rates", purpose: .marketing,
      arms: [
        .init(
          name: "a",
          contents: [
            "sms": ["zh": .init(text: "NEW RATES")],
            "email": ["zh": .init(subject: "NEW RATES", text: "NEW RATES {{preference_link}}")],
          ])
      ])
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

  @Test(.timeLimit(.minutes(3)))
  func `a stop by SMS, by the mail's button or on the page holds within a second, whatever is planned or reserved`()
    async throws
  {
    let house = try MailBank()
    let (texts, letters) = (Moments(), Moments())
    let smsc = StandInSMSC(.init(answersAfter: .milliseconds(1_000), reportsAfter: nil)) { submitted in
      guard String(decoding: submitted.message.octets, as: UTF8.self) == "NEW RATES",
        let number = Int(submitted.message.destination.digits.suffix(4))
      else { return }
      texts.note(number - 1_000)
    }
    let smscPort = try await smsc.start()
    let smtp = try freePort()
    let mta = StandInMTA(
      port: smtp, now: { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
    // Ended by `stop` below.
    let taking = Task {
      try await mta.run { letter in
        for one in letter.recipients {
          if let index = Int(one.dropFirst().prefix { $0 != "@" }) { letters.note(index) }
        }
        try? await Task.sleep(for: .milliseconds(150))  // A slow server: mails wait behind one another.
        return .taken
      }
    }
    let id = try await fill(house.bank)
    let yaml =
      house.yaml("submission: {host: 127.0.0.1, port: \(smtp), tls: none, sessions: 1, batch: 1}") + """
          - kind: sms
            name: texts
            in_flight: 50  # What is handed over waits in no queue behind the SMSC's window.
            links:
              - {name: a, protocol: smpp, host: 127.0.0.1, port: \(smscPort), system_id: liaison,
                 password: {env: SMSC_PASSWORD}, sender: "95599", reconnect_delay: 100ms}
        preferences:
          page_base: https://contact.bank.example

        """
    let daemon = try house.bank.start(
      yaml.replacing(TestBank.shippedParameters, with: house.bank.parametersOfABankThatNeverSleeps()),
      environment: ["SMSC_PASSWORD": "x"])
    let page = try await daemon.ready().public
    try await house.until("jobs for everybody") { try $0.campaignPlan(id)?.isFedOut == true }
    let tokens = try await house.look { connection in
      try connection.query("SELECT customer_no, contents FROM proactive_job").reduce(into: [Int: String]()) {
        out, row in
        let parts = try row.text("contents").components(separatedBy: "contact.bank.example")
        guard let index = Int(try row.text("customer_no").dropFirst()), parts.count > 1,
          let token = parts[1].replacing("\\/", with: "/").components(separatedBy: "preferences/").last
        else { return }
        out[index] = String(token.prefix { $0.isLetter || $0.isNumber || "-_.~".contains($0) })
      }
    }
    #expect(tokens.count == Self.mails.upperBound)

    // Everybody at once, and the campaign in the middle of it.
    let said = Moments()
    await withTaskGroup(of: Void.self) { group in
      for index in 110..<180 where index % 2 == 0 {
        group.addTask {
          if await smsc.deliver(from: "+861380002\(1_000 + index)", to: "95599", text: "TD") == .ok { said.note(index) }
        }
      }
      for index in (110..<180).filter({ $0 % 2 == 1 }) + Array(Self.mails.dropFirst(10)) {
        group.addTask {
          let isMail = Self.mails.contains(index)
          var request = HTTPClientRequest(
            url: "\(page)/preferences/\(tokens[index] ?? "")" + (isMail ? "/unsubscribe?c=email" : ""))
          request.method = .POST
          request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
          request.body = .bytes(ByteBuffer(string: isMail ? "List-Unsubscribe=One-Click" : "nothing=yes"))
          // Not answered: then nothing was promised.
          if let answer = try? await HTTPClient.shared.execute(request, timeout: .seconds(20)),
            answer.status == .ok
          {
            said.note(index)
          }
        }
      }
    }
    #expect(said.all.count == 110, "\(said.all.count) were heard")
    try await house.until("nobody waits") { connection in
      try connection.one("SELECT count(*) AS n FROM proactive_job WHERE state IN ('planned', 'active')").int("n") == 0
    }
    let (byText, byMail, refused) = (texts.all, letters.all, said.all)
    var held = 0
    for index in 0..<Self.mails.upperBound {
      let count = (byText[index]?.count ?? 0) + (byMail[index]?.count ?? 0)
      #expect(count <= 1, "C\(index) was written to twice")
      guard let word = refused[index]?.first else {
        #expect(count == 1, "C\(index) was lost")
        continue
      }
      // A stop by SMS is about his number, the button about his mailbox; the other way may be open. The page said all.
      let isStop = index < 180 && index % 2 == 0
      let isButton = index >= 180
      let out = (isButton ? [] : byText[index] ?? []) + (isStop ? [] : byMail[index] ?? [])
      guard let went = out.first else {
        held += 1
        continue
      }
      #expect(went - word <= .seconds(1), "C\(index) was written to \(went - word) after he said no")
    }
    #expect(held > 20, "the stops came too late to prove anything: \(held)")
    #expect(try await daemon.stop(within: .seconds(20)) == .code(0), "\(daemon.child.tail)")
    mta.stop()
    // Its end says nothing more.
    _ = try? await taking.value
    await smsc.stop()
    house.bank.remove()
  }
}
