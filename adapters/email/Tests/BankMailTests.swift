import Channels
import Foundation
import LiaisonForTests
import Synchronization
import Testing

@testable import Email

/// Keeps what is offered as Intake does: by wire key, once. Waits on a signal with a deadline.
actor Ledger {
  private(set) var arrivals: [Arrival] = []
  private var ids: [String: ArrivalID] = [:]
  private(set) var offers = 0
  private var busy = 0
  private let stream = AsyncStream<Void>.makeStream()

  func beBusy(_ times: Int) { busy = times }

  func accept(_ arrival: Arrival) -> Acceptance {
    offers += 1
    defer { stream.continuation.yield() }
    if busy > 0 {
      busy -= 1
      return .busy(retryAfter: .milliseconds(100))
    }
    if let key = arrival.wireKey, let id = ids[key] { return .duplicate(of: id) }
    let id = ArrivalID(at: arrival.receivedAt)
    if let key = arrival.wireKey { ids[key] = id }
    arrivals.append(arrival)
    return .stored(id)
  }

  var subjects: [String] {
    arrivals.map { if case .message(let message) = $0.payload { message.subject ?? "" } else { "-" } }
  }

  nonisolated func wait(seconds: Int = 90, until reached: @escaping @Sendable (Ledger) async -> Bool) async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        while !Task.isCancelled {
          if await reached(self) { return true }
          try? await Task.sleep(for: .milliseconds(20))  // ends early only when cancelled, which the loop sees
        }
        return false
      }
      group.addTask {
        try? await Task.sleep(for: .seconds(seconds))  // the deadline; cancelled when reached in time
        return false
      }
      let result = await group.next() ?? false
      group.cancelAll()
      return result
    }
  }
}

/// Cursors that outlive an adapter, as a store would keep them.
final class Cursors: Sendable {
  private let kept = Mutex<[String: MailboxCursor]>([:])
  var closures: MailboxCursors {
    MailboxCursors(
      load: { name in self.kept.withLock { $0[name] } },
      save: { name, cursor in self.kept.withLock { $0[name] = cursor } })
  }
}

/// Runs an adapter for the length of `body`, then drains it and waits for it to return.
func running(_ adapter: EmailAdapter, _ ledger: Ledger, _ body: @Sendable () async throws -> Void) async throws {
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await adapter.run { await ledger.accept($0) } }
    do {
      try await body()
      adapter.beginDrain()
      try await group.waitForAll()
    } catch {
      group.cancelAll()
      throw error
    }
  }
}

@Suite(.serialized, .enabled(if: BankMail.isAvailable, "Postfix, Dovecot or ../shared/peers/email are absent"))
struct BankMailTests {
  private func settings(
    submission: MailSubmissionSettings? = nil, listener: MailListenerSettings? = nil, mailboxes: [MailboxSettings] = []
  ) -> EmailSettings {
    EmailSettings(
      name: "service", composer: .init(mailbox: "service@liaison.example", displayName: "客服"), signingKeys: testKeys,
      listener: listener, mailboxes: mailboxes, submission: submission)
  }

  private func customer(_ bank: BankMail, from: String = "kehu@bank.example") -> EmailAdapter {
    EmailAdapter(
      settings: EmailSettings(
        name: "customer", composer: .init(mailbox: from, displayName: "李娜", bounceMailbox: "kehu-bounce@bank.example"),
        signingKeys: testKeys,
        submission: MailSubmissionSettings(host: "127.0.0.1", port: bank.smtp, tls: .none)))
  }

  @Test func `in by LMTP, answered, and the reply is bound to its request`() async throws {
    let port = try freePort()
    let bank = try BankMail("lmtp=\(port)")
    let ledger = Ledger()
    let adapter = EmailAdapter(
      settings: settings(
        submission: MailSubmissionSettings(
          host: "localhost", port: bank.submission, hostName: "liaison.example", tls: .starttls, caFile: bank.caFile,
          user: "service", password: "secret"),
        listener: MailListenerSettings(wire: .lmtp, port: port)))
    try await running(adapter, ledger) {
      let customer = self.customer(bank)
      let first = dispatch(
        to: "service@liaison.example", subject: "信用卡账单有疑问", text: "请核对。客户号：62007919", adapter: customer)
      #expect(Wanted(await customer.submit(first)) == .accepted)
      #expect(await ledger.wait { await $0.subjects == ["信用卡账单有疑问"] })
      let arrival = try #require(await ledger.arrivals.first)
      guard case .message(let message) = arrival.payload else {
        Issue.record("no message")
        return
      }
      #expect(message.thread.ownID == first.wireIdentity)
      #expect(message.claims.contains(Claim(.customerNo, "62007919", source: .text)))
      // The answer of an agent, with a signed Reply-To.
      var answer = dispatch(
        to: "kehu@bank.example", subject: "Re: 信用卡账单有疑问", options: ["case": "request_0042"], adapter: adapter)
      answer.content.references = [first.wireIdentity]
      let outcome = await adapter.submit(answer)
      #expect(Wanted(outcome) == .accepted, "\(outcome)")
      // The customer replies to the signed address.
      let signed = SignedAddress(keys: testKeys).address(
        .reply, token: "request_0042", mailbox: "service@liaison.example")
      var reply = dispatch(
        to: signed, subject: "回复：信用卡账单有疑问",
        text: "谢谢\n\n在 2024-05-06 09:30:00，\"客服\" <service@liaison.example> 写道：\n>旧文", adapter: customer)
      reply.content.references = [answer.wireIdentity]
      #expect(Wanted(await customer.submit(reply)) == .accepted)
      #expect(await ledger.wait { await $0.arrivals.count == 2 })
      guard case .message(let bound)? = await ledger.arrivals.last?.payload else {
        Issue.record("no reply")
        return
      }
      #expect(bound.thread.signedToken == "request_0042")
      #expect(bound.thread.references.first == answer.wireIdentity)
      #expect(bound.text == "谢谢")
      #expect(bound.fullText != nil)
      // The answer lies in the customer's mailbox.
      #expect(await ledger.wait { _ in !bank.files(user: "kehu").isEmpty })
    }
  }

  @Test func `a bounce settles its attempt`() async throws {
    let port = try freePort()
    let bank = try BankMail("lmtp=\(port)")
    let ledger = Ledger()
    let adapter = EmailAdapter(
      settings: settings(
        submission: MailSubmissionSettings(host: "127.0.0.1", port: bank.smtp, tls: .none),
        listener: MailListenerSettings(wire: .lmtp, port: port)))
    try await running(adapter, ledger) {
      // Taken by Postfix, refused by ourselves at RCPT: Postfix must report it to the VERP address.
      let sent = dispatch(to: "nobody@liaison.example", adapter: adapter)
      #expect(Wanted(await adapter.submit(sent)) == .accepted)
      #expect(await ledger.wait() { await $0.arrivals.count == 1 })
      guard case .report(let report)? = await ledger.arrivals.first?.payload else {
        Issue.record("no report")
        return
      }
      #expect(report.wireIdentity == sent.wireIdentity)
      #expect(report.state == .undelivered)
      #expect(report.recipient?.canonical == "nobody@liaison.example")
      #expect(report.condemnsAddress)
      #expect(report.fault?.code == .unknownRecipient)
    }
  }

  @Test func `what came while Liaison was away or busy is delivered later and once`() async throws {
    let port = try freePort()
    let bank = try BankMail("lmtp=\(port)")
    let ledger = Ledger()
    let customer = self.customer(bank)
    for number in 1...3 {
      let mail = dispatch(to: "service@liaison.example", subject: "away \(number)", adapter: customer)
      #expect(Wanted(await customer.submit(mail)) == .accepted)
    }
    await ledger.beBusy(2)
    let adapter = EmailAdapter(settings: settings(listener: MailListenerSettings(wire: .lmtp, port: port)))
    try await running(adapter, ledger) {
      #expect(await ledger.wait() { await $0.arrivals.count == 3 })
    }
    #expect(await ledger.subjects.sorted() == ["away 1", "away 2", "away 3"])
  }

  @Test func `IMAP with IDLE fetches, marks only after acceptance, and goes on at its cursor`() async throws {
    let bank = try BankMail()
    let ledger = Ledger()
    let cursors = Cursors()
    let mailbox = MailboxSettings(
      wire: .imap, host: "127.0.0.1", port: bank.imap, tls: .starttls, caFile: bank.caFile, user: "service",
      password: "secret", after: .move(folder: "Done"), address: "service@bank.example", idleSeconds: 60,
      timeoutSeconds: 60)
    let customer = self.customer(bank)
    @Sendable func mail(_ subject: String) async {
      let outcome = await customer.submit(dispatch(to: "service@bank.example", subject: subject, adapter: customer))
      #expect(Wanted(outcome) == .accepted)
    }
    await mail("before")
    let adapter = EmailAdapter(settings: settings(mailboxes: [mailbox]), cursors: cursors.closures)
    try await running(adapter, ledger) {
      #expect(await ledger.wait { await $0.subjects == ["before"] })
      await ledger.beBusy(1)
      await mail("idle")
      #expect(await ledger.wait { await $0.subjects == ["before", "idle"] })
      #expect(await ledger.wait { _ in bank.files(user: "service", folder: ".Done").count == 2 })
      // The server is restarted: fetching resumes by itself.
      try bank.crash()
      #expect(await ledger.wait { _ in await adapter.health.state != .up })
      try bank.start()
      await mail("after restart")
      #expect(await ledger.wait() { await $0.subjects.count == 3 })
      #expect(await ledger.wait { _ in await adapter.health.state == .up })
    }
    // Liaison is away; what comes meanwhile is fetched by the next adapter, and nothing twice.
    await mail("while away")
    let next = EmailAdapter(settings: settings(mailboxes: [mailbox]), cursors: cursors.closures)
    try await running(next, ledger) {
      #expect(await ledger.wait { await $0.subjects == ["before", "idle", "after restart", "while away"] })
    }
    #expect(await ledger.offers == 5)
  }

  @Test func `POP3 and IMAP over TLS from the start work, a wrong password and a wrong authority do not`() async throws
  {
    let bank = try BankMail()
    let customer = self.customer(bank)
    #expect(
      Wanted(await customer.submit(dispatch(to: "service@bank.example", subject: "pop", adapter: customer)))
        == .accepted)
    let ledger = Ledger()
    var mailbox = MailboxSettings(
      wire: .pop3, host: "127.0.0.1", port: bank.pop3, tls: .starttls, caFile: bank.caFile, user: "service",
      password: "secret", after: .delete, address: "service@bank.example", pollSeconds: 1, timeoutSeconds: 60)
    try await running(EmailAdapter(settings: settings(mailboxes: [mailbox])), ledger) {
      #expect(await ledger.wait { await $0.subjects == ["pop"] })
      #expect(await ledger.wait { _ in bank.files(user: "service").isEmpty })
    }
    mailbox.wire = .imap
    mailbox.port = bank.imaps
    mailbox.tls = .implicit
    #expect(
      Wanted(await customer.submit(dispatch(to: "service@bank.example", subject: "imaps", adapter: customer)))
        == .accepted)
    try await running(EmailAdapter(settings: settings(mailboxes: [mailbox])), ledger) {
      #expect(await ledger.wait { await $0.subjects == ["pop", "imaps"] })
    }
    mailbox.caFile = nil
    let untrusting = EmailAdapter(settings: settings(mailboxes: [mailbox]))
    try await running(untrusting, ledger) {
      #expect(await ledger.wait { _ in await untrusting.health.state == .down })
    }
    #expect(await ledger.offers == 2)
  }
}
