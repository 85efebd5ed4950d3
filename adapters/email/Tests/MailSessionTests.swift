import Channels
import NIOCore
import Testing

@testable import Email

/// Conversations as transcripts: `C:` what the peer says, `S:` what it must hear.
@Suite struct MailSessionTests {
  private func session(_ flavour: MailSession.Flavour, limits: MailSession.Limits = .init(), tls: Bool = false)
    -> MailSession
  {
    MailSession(flavour: flavour, hostName: "liaison", limits: limits, offersTLS: tls, requiresTLS: tls) {
      baseAddress($0) == "service@bank.example"
    }
  }
  private func say(_ session: inout MailSession, _ line: String) -> String {
    session.command(Array(line.utf8)).map { if case .reply(let text) = $0 { text } else { "[\($0)]" } }.joined()
  }

  @Test func `LMTP answers each recipient by itself`() {
    var lmtp = session(.lmtp)
    #expect(say(&lmtp, "LHLO mx").hasPrefix("250-liaison\r\n250-PIPELINING\r\n250-SIZE "))
    #expect(say(&lmtp, "MAIL FROM:<a@b.cn> SIZE=100 BODY=8BITMIME SMTPUTF8") == "250 2.1.0 Ok\r\n")
    #expect(say(&lmtp, "RCPT TO:<service@bank.example>") == "250 2.1.5 Ok\r\n")
    #expect(say(&lmtp, "RCPT TO:<nobody@bank.example>").hasPrefix("550 5.1.1"))
    #expect(say(&lmtp, "rcpt to:<SERVICE+x@bank.example> NOTIFY=NEVER") == "250 2.1.5 Ok\r\n")
    #expect(say(&lmtp, "DATA").hasPrefix("354"))
    for line in ["Subject: x\r\n", "\r\n", "..dot\r\n"] { #expect(lmtp.data(Array(line.utf8)) == []) }
    let end = lmtp.data(Array(".\r\n".utf8))
    let envelope = MailSession.Envelope(
      helo: "mx", from: "a@b.cn", recipients: ["service@bank.example", "SERVICE+x@bank.example"], isUTF8: true)
    #expect(end == [.deliver(envelope, message: Array("Subject: x\r\n\r\n.dot\r\n".utf8))])
    #expect(
      lmtp.outcome(of: [.stored, .busy]) == [
        .reply("250 2.0.0 Ok: stored\r\n"), .reply("451 4.3.0 Busy, try again later\r\n"),
      ])
    #expect(say(&lmtp, "RCPT TO:<service@bank.example>").hasPrefix("503"))
  }
  @Test func `SMTP has one answer and it is the worst that can be mended`() {
    var smtp = session(.smtp)
    _ = say(&smtp, "EHLO mx")
    #expect(smtp.outcome(of: [.stored, .busy]) == [.reply("451 4.3.0 Busy, try again later\r\n")])
    #expect(smtp.outcome(of: [.stored, .refused("no")]) == [.reply("250 2.0.0 Ok: stored\r\n")])
    #expect(smtp.outcome(of: [.refused("no\r\nway")]) == [.reply("554 5.7.0 no way\r\n")])
  }
  @Test func `order, size and number are enforced`() {
    var smtp = session(.smtp, limits: .init(messageBytes: 20, recipients: 1, errors: 100))
    #expect(say(&smtp, "MAIL FROM:<a@b>").hasPrefix("503"))
    _ = say(&smtp, "EHLO mx")
    #expect(say(&smtp, "DATA").hasPrefix("503"))
    #expect(say(&smtp, "MAIL FROM:<a@b> SIZE=21").hasPrefix("552 5.3.4"))
    #expect(say(&smtp, "MAIL FROM:<> SIZE=20").hasPrefix("250"))
    #expect(say(&smtp, "MAIL FROM:<a@b>").hasPrefix("503"))
    #expect(say(&smtp, "DATA").hasPrefix("554"))
    #expect(say(&smtp, "RCPT TO:<service@bank.example>").hasPrefix("250"))
    #expect(say(&smtp, "RCPT TO:<service@bank.example>").hasPrefix("452 4.5.3"))
    _ = say(&smtp, "DATA")
    _ = smtp.data(Array("0123456789\r\n".utf8))
    _ = smtp.data(Array("0123456789\r\n".utf8))
    #expect(
      smtp.data(Array(".\r\n".utf8)) == [
        .reply("552 5.3.4 Message size exceeds fixed limit\r\n"), .refused(.tooLarge),
      ])
    #expect(say(&smtp, "LHLO x").hasPrefix("500"))
    #expect(say(&smtp, "NOOP").hasPrefix("250"))
    #expect(say(&smtp, "QUIT").hasPrefix("221"))
  }
  @Test func `without TLS nothing is taken where TLS is demanded`() {
    var smtp = session(.smtp, tls: true)
    #expect(say(&smtp, "EHLO mx").contains("250 STARTTLS"))
    #expect(say(&smtp, "MAIL FROM:<a@b>").hasPrefix("530 5.7.0"))
    #expect(say(&smtp, "STARTTLS") == "220 2.0.0 Ready to start TLS\r\n[startTLS]")
    smtp.secured()
    #expect(say(&smtp, "MAIL FROM:<a@b>").hasPrefix("503"))
    #expect(!say(&smtp, "EHLO mx").contains("STARTTLS"))
    #expect(say(&smtp, "MAIL FROM:<a@b>").hasPrefix("250"))
  }
  @Test func `who cannot speak is hung up on`() {
    var smtp = session(.smtp, limits: .init(errors: 3))
    for _ in 0..<3 { _ = say(&smtp, "\u{0}\u{ff}") }
    #expect(smtp.command(Array("x".utf8)) == [.reply("421 4.7.0 Too many errors\r\n"), .close])
  }
  @Test func `a line is cut where it ends, whatever the packets`() {
    let stream = Array("EHLO x\r\nDATA\r\nabc\r\n.\r\n".utf8)
    for size in 1...7 {
      var buffer = LineBuffer()
      var lines: [String] = []
      var index = 0
      while index < stream.count {
        buffer.append(.init(bytes: stream[index..<min(index + size, stream.count)]))
        index += size
        while case .line(let line, _)? = buffer.next(isData: false) {
          lines.append(String(decoding: line, as: UTF8.self))
        }
      }
      #expect(lines == ["EHLO x\r\n", "DATA\r\n", "abc\r\n", ".\r\n"])
    }
  }
  @Test func `an endless command is refused and an endless data line is not an end`() {
    var buffer = LineBuffer()
    buffer.append(.init(bytes: [UInt8](repeating: 0x61, count: 10_000)))
    #expect(buffer.next(isData: false) == nil)
    buffer.append(.init(string: "\r\nNOOP\r\n"))
    guard case .overlong? = buffer.next(isData: false), case .line? = buffer.next(isData: false) else {
      Issue.record("the overlong line was not told from the next")
      return
    }
    var data = LineBuffer()
    data.append(.init(bytes: [UInt8](repeating: 0x61, count: LineBuffer.maximumDataPiece)))
    var continued: [Bool] = []
    if case .line(_, let continues)? = data.next(isData: true) { continued.append(continues) }
    data.append(.init(string: ".\r\n"))
    while case .line(_, let continues)? = data.next(isData: true) { continued.append(continues) }
    #expect(continued == [false, true])
  }
}

extension LineBuffer.Line: Equatable {
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.overlong, .overlong): true
    case (.line(let x, let p), .line(let y, let q)): x == y && p == q
    default: false
    }
  }
}
