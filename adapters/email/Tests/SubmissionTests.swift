import Channels
import Foundation
import LiaisonForTests
import Testing

@testable import Email

let testKeys: [[UInt8]] = [Array("a key for tests only, 32 octets..".utf8)]

func adapter(_ submission: MailSubmissionSettings) -> EmailAdapter {
  EmailAdapter(
    settings: EmailSettings(
      name: "service", composer: .init(mailbox: "service@bank.example", displayName: "客服中心"),
      signingKeys: testKeys, submission: submission))
}

func dispatch(
  to address: String = "kehu@example.cn", subject: String = "您的请求已受理", text: String = "尊敬的客户，您好。",
  options: [String: String] = [:], adapter: EmailAdapter
) -> Dispatch {
  let attempt = AttemptID(at: systemTime())
  return Dispatch(
    key: attempt.description, attempt: attempt, wireIdentity: adapter.wireIdentity(of: attempt),
    to: Address(kind: .email, canonical: address, raw: address), from: nil,
    content: .init(subject: subject, text: text, options: options), expires: nil)
}

enum Wanted: Sendable, Equatable {
  case accepted, deferred, rejected, inDoubt
  init(_ submission: Submission) {
    switch submission {
    case .accepted: self = .accepted
    case .deferred: self = .deferred
    case .rejected: self = .rejected
    case .inDoubt: self = .inDoubt
    }
  }
}

struct SinkCase: Sendable, CustomStringConvertible {
  var mode: String
  var options: [String] = []
  var to = "kehu@example.cn"
  var tls = MailSubmissionSettings.TLS.none
  var trusts = false
  var user: String?
  var password = "secret"
  var bytes = 0
  var wanted: Wanted
  /// How many messages the sink must have taken in the end.
  var taken: Int
  var description: String { mode + (to == "kehu@example.cn" ? "" : " \(to)") + (trusts ? " trusted" : "") }
}

@Suite(.enabled(if: Sink.isAvailable, "../shared/peers/email/sink.py is absent"))
struct SubmissionTests {
  static let cases: [SinkCase] = [
    .init(mode: "ok", wanted: .accepted, taken: 1),
    .init(mode: "greylist", wanted: .deferred, taken: 0),
    .init(mode: "reject", to: "bad@example.cn", wanted: .rejected, taken: 0),
    .init(mode: "reject", to: "full@example.cn", wanted: .deferred, taken: 0),
    .init(mode: "reject", to: "moved@example.cn", wanted: .rejected, taken: 0),
    .init(mode: "reject", to: "bye@example.cn", wanted: .deferred, taken: 0),
    .init(mode: "reject", to: "good@example.cn", wanted: .accepted, taken: 1),
    .init(mode: "busy", wanted: .deferred, taken: 0),
    .init(mode: "slow", options: ["delay=0.1"], wanted: .accepted, taken: 1),
    .init(mode: "tarpit", options: ["delay=0.2"], wanted: .accepted, taken: 1),
    .init(mode: "dropdata", wanted: .inDoubt, taken: 1),
    .init(mode: "dropmid", bytes: 4 << 20, wanted: .deferred, taken: 0),
    .init(mode: "tempdata", wanted: .deferred, taken: 0),
    .init(mode: "permdata", wanted: .rejected, taken: 0),
    .init(mode: "starttls", tls: .starttls, trusts: true, wanted: .accepted, taken: 1),
    .init(mode: "starttls", tls: .starttls, wanted: .deferred, taken: 0),
    .init(mode: "badcert", tls: .starttls, trusts: true, wanted: .deferred, taken: 0),
    .init(mode: "tls", tls: .starttls, trusts: true, wanted: .deferred, taken: 0),
    .init(mode: "tls", tls: .implicit, trusts: true, wanted: .accepted, taken: 1),
    .init(mode: "tls", tls: .implicit, wanted: .deferred, taken: 0),
    .init(mode: "ok", tls: .implicit, trusts: true, wanted: .deferred, taken: 0),
    .init(mode: "stripstarttls", tls: .starttls, wanted: .deferred, taken: 0),
    .init(mode: "badtls", tls: .starttls, wanted: .deferred, taken: 0),
    .init(mode: "auth", tls: .starttls, trusts: true, user: "service", wanted: .accepted, taken: 1),
    .init(mode: "auth", tls: .starttls, trusts: true, user: "service", password: "wrong", wanted: .deferred, taken: 0),
    .init(mode: "maxrcpt", wanted: .accepted, taken: 1),
    .init(mode: "maxmsg", wanted: .accepted, taken: 1),
    .init(mode: "size", bytes: 20_000, wanted: .rejected, taken: 0),
    .init(mode: "noehlo", wanted: .accepted, taken: 1),
    // libesmtp refuses a line eight times as long as RFC 5321 allows before anything is sent.
    .init(mode: "longreply", wanted: .deferred, taken: 0),
    .init(mode: "blackhole", wanted: .deferred, taken: 0),
  ]

  @Test(arguments: cases)
  func `every way of a mail server to fail gives its outcome`(_ test: SinkCase) async throws {
    let sink = try Sink(test.mode, test.options)
    // Where the server never says anything the wait must end soon; elsewhere a busy machine is no fault.
    let isMute = ["blackhole", "badtls"].contains(test.mode) || test.mode == "tls" && test.tls != .implicit
    let patience = isMute ? 4 : 60
    let adapter = adapter(
      MailSubmissionSettings(
        host: "localhost", port: sink.port, tls: test.tls,
        caFile: test.trusts ? sink.directory.appendingPathComponent("cert.pem").path : nil, user: test.user,
        password: test.password, sessions: 1, timeoutSeconds: patience,
        transferTimeoutSeconds: patience))
    let text = String(repeating: "x", count: test.bytes)
    let outcome = await adapter.submit(dispatch(to: test.to, text: "尊敬的客户\n.\n..\n" + text, adapter: adapter))
    #expect(Wanted(outcome) == test.wanted, "\(outcome)")
    #expect(sink.accepted.count == test.taken)
    #expect(sink.accepted.allSatisfy { !$0.hasSuffix("PLAINTEXT") })
  }

  @Test func `one refused recipient of a session condemns only itself`() async throws {
    let sink = try Sink("reject")
    let adapter = adapter(
      MailSubmissionSettings(host: "localhost", port: sink.port, tls: .none, sessions: 1, batch: 10))
    let addresses = [
      "a@example.cn", "bad1@example.cn", "full1@example.cn", "b@example.cn", "moved1@example.cn", "c@example.cn",
    ]
    let outcomes = await withTaskGroup(of: (String, Wanted).self) { group in
      for address in addresses {
        group.addTask { (address, Wanted(await adapter.submit(dispatch(to: address, adapter: adapter)))) }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    #expect(outcomes["bad1@example.cn"] == .rejected)
    #expect(outcomes["moved1@example.cn"] == .rejected)
    #expect(outcomes["full1@example.cn"] == .deferred)
    for address in ["a@example.cn", "b@example.cn", "c@example.cn"] { #expect(outcomes[address] == .accepted) }
    #expect(sink.accepted.count == 3)
  }

  @Test func `what a server drops after the dot is in doubt and the rest of the session is not lost`() async throws {
    let sink = try Sink("dropdata", ["every=3"])
    let adapter = adapter(
      MailSubmissionSettings(host: "localhost", port: sink.port, tls: .none, sessions: 1, batch: 10))
    let outcomes = await withTaskGroup(of: Wanted.self) { group in
      for number in 0..<6 {
        group.addTask { Wanted(await adapter.submit(dispatch(to: "k\(number)@example.cn", adapter: adapter))) }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    // Whatever the sink has taken is known as accepted or in doubt; whatever was never handed over is deferred.
    let taken = sink.accepted.count
    #expect(outcomes.count { $0 == .accepted || $0 == .inDoubt } == taken)
    #expect(outcomes.count { $0 == .inDoubt } == sink.accepted.count { $0.hasSuffix("DROPPED") })
    #expect(!outcomes.contains(.rejected))
  }

  /// The same ends over our own conversation, which carries addresses beyond ASCII and TLS from the first byte.
  static let beyondASCII: [SinkCase] = [
    .init(mode: "ok", wanted: .accepted, taken: 1), .init(mode: "dropdata", wanted: .inDoubt, taken: 1),
    .init(mode: "dropmid", bytes: 4 << 20, wanted: .deferred, taken: 0),
    .init(mode: "tempdata", wanted: .deferred, taken: 0), .init(mode: "permdata", wanted: .rejected, taken: 0),
    .init(mode: "greylist", wanted: .deferred, taken: 0), .init(mode: "busy", wanted: .deferred, taken: 0),
    .init(mode: "reject", to: "bad张@example.cn", wanted: .rejected, taken: 0),
    .init(mode: "noehlo", wanted: .rejected, taken: 0), .init(mode: "longreply", wanted: .accepted, taken: 1),
    .init(mode: "auth", tls: .starttls, trusts: true, user: "service", wanted: .accepted, taken: 1),
    .init(
      mode: "auth", tls: .starttls, trusts: true, user: "service", password: "wrong", wanted: .deferred, taken: 0),
    .init(mode: "stripstarttls", tls: .starttls, wanted: .deferred, taken: 0),
    .init(mode: "starttls", tls: .starttls, wanted: .deferred, taken: 0),
    .init(mode: "tarpit", options: ["delay=0.1"], wanted: .accepted, taken: 1),
    .init(mode: "maxmsg", wanted: .accepted, taken: 1),
  ]

  @Test(arguments: beyondASCII)
  func `an address beyond ASCII gets its mail, or its outcome`(_ test: SinkCase) async throws {
    let sink = try Sink(test.mode, test.options)
    let adapter = adapter(
      MailSubmissionSettings(
        host: "localhost", port: sink.port, tls: test.tls,
        caFile: test.trusts ? sink.directory.appendingPathComponent("cert.pem").path : nil, user: test.user,
        password: test.password, sessions: 1))
    let to = test.to == "kehu@example.cn" ? "客户@example.cn" : test.to
    let text = String(repeating: "x", count: test.bytes)
    let outcome = await adapter.submit(dispatch(to: to, text: "尊敬的客户\n.\n..\n" + text, adapter: adapter))
    #expect(Wanted(outcome) == test.wanted, "\(outcome)")
    #expect(sink.accepted.count == test.taken)
    guard test.mode == "ok" else { return }
    let mail = try await MailReader().read(try sink.message(1))
    #expect(mail.text == "尊敬的客户\r\n.\r\n..")
    #expect(mail.recipients == [to])
  }

  @Test func `a mail arrives as composed and is read back by our own reader`() async throws {
    let sink = try Sink("ok")
    let adapter = adapter(MailSubmissionSettings(host: "localhost", port: sink.port, tls: .none))
    var sent = dispatch(
      subject: "关于您的信用卡账单有疑问的答复：请查收附件并确认金额", text: "第一行\n.第二行以点开始\n\n..\n", options: ["case": "request_01"],
      adapter: adapter)
    sent.content.html = "<p>第一行</p>"
    sent.content.references = ["near@x", "far@x"]
    sent.content.attachments = [
      .init(
        name: "对账单（二〇二四年五月）以及很长很长很长很长很长很长很长很长的名字.pdf", mediaType: "application/pdf", bytes: Array("%PDF-1.4 x".utf8))
    ]
    #expect(Wanted(await adapter.submit(sent)) == .accepted)
    let mail = try await MailReader().read(try sink.message(1))
    #expect(mail.subject == sent.content.subject)
    #expect(mail.text == "第一行\r\n.第二行以点开始\r\n\r\n..")
    #expect(mail.messageID == sent.wireIdentity)
    #expect(mail.fromName == "客服中心")
    #expect(mail.attachments.map(\.name) == [sent.content.attachments[0].name])
    #expect(mail.inReplyToIDs == ["near@x"])
    #expect(mail.referenceIDs == ["far@x", "near@x"])
    let signer = SignedAddress(keys: testKeys)
    #expect(signer.token(.reply, in: mail.replyTo) == "request_01")
    let fields = sink.accepted[0].split(separator: "\t", omittingEmptySubsequences: false)
    let envelope = fields[3].drop { $0 == "<" }.prefix { $0 != ">" }
    #expect(signer.token(.bounce, in: String(envelope)) == sent.attempt.description)
    #expect(fields[3].contains("ENVID=\(sent.attempt)"))
  }
}
