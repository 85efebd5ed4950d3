import Channels
import ContactModel
import Email
import Foundation

/// What the demo's customers write to the bank's mailbox and answer to its mail: one letter after another.
public struct MailTraffic: Sendable {
  private var random = SplitMix64(state: 11)
  private let people: [DemoBank.Person]
  private let mailbox: String
  private var number = 0

  public init(people: [DemoBank.Person], mailbox: String) {
    self.people = people
    self.mailbox = mailbox
  }

  /// A question of a customer; now and then with HTML, a picture, or from a machine.
  public mutating func next(at time: Timestamp) -> MailPeer.Letter {
    let person = people[Int.random(in: 0..<people.count, using: &random)]
    let isZh = person.customer.language == "zh-Hans"
    let matters: [(subject: String, text: String)] =
      isZh
      ? [
        ("信用卡账单有疑问", "您好，我本月的信用卡账单上有一笔消费不是我的，请核对。"),
        ("投诉：排队时间太长", "昨天在网点排队两个小时，柜员态度很差，我要投诉。"),
        ("咨询定期存款利率", "请问三年期定期存款的利率是多少？谢谢。"),
      ]
      : [
        ("Question about my statement", "There is a payment on my statement which I do not recognise."),
        ("Complaint", "I waited two hours at the branch. I wish to complain."),
      ]
    let matter = matters[Int.random(in: 0..<matters.count, using: &random)]
    switch Int.random(in: 0..<8, using: &random) {
    case 0:
      return letter(
        from: person, subject: (isZh ? "自动回复：" : "Automatic reply: ") + matter.subject,
        text: isZh ? "我正在休假，下周一回来。" : "I am away until Monday.", headers: ["Auto-Submitted: auto-replied"], at: time)
    case 1: return letter(from: person, subject: matter.subject, text: matter.text, picture: true, at: time)
    default: return letter(from: person, subject: matter.subject, text: matter.text, at: time)
    }
  }

  /// What a customer says to a mail of the bank's: an answer with the bank's words below it; from every eighth the mail
  /// comes back as undeliverable. Nil where he says nothing.
  public mutating func answer(to taken: StandInMTA.Taken, at time: Timestamp) async throws -> MailPeer.Letter? {
    let mail = try await MailReader().read(taken.bytes)
    guard let person = people.first(where: { taken.recipients.contains($0.email) }), !taken.from.isEmpty else {
      return nil
    }
    let isZh = person.customer.language == "zh-Hans"
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return bounce(of: mail, to: taken.from, recipient: person.email, at: time)
    case 1...4:
      let quoted = mail.text.split(separator: "\n", omittingEmptySubsequences: false).map { "> " + $0 }
      let intro =
        isZh ? "在 2026-11-24，\"\(mail.fromName)\" <\(mail.from)> 写道：" : "On 24 Nov 2026, \(mail.from) wrote:"
      return letter(
        from: person, to: mail.replyTo.isEmpty ? mail.from : mail.replyTo,
        subject: (isZh ? "回复：" : "Re: ") + mail.subject,
        text: (isZh ? "谢谢，问题已经解决。" : "Thank you, that helped.") + "\r\n\r\n" + intro + "\r\n"
          + quoted.joined(separator: "\n"),
        headers: ["In-Reply-To: <\(mail.messageID)>", "References: <\(mail.messageID)>"], at: time)
    default: return nil
    }
  }

  private mutating func letter(
    from person: DemoBank.Person, to recipient: String? = nil, subject: String, text: String, headers: [String] = [],
    picture: Bool = false, at time: Timestamp
  ) -> MailPeer.Letter {
    number += 1
    var head = [
      "From: \(Self.word(person.customer.name)) <\(person.email)>", "To: <\(recipient ?? mailbox)>",
      "Subject: \(Self.word(subject))", "Date: \(Composer.date(time))",
      "Message-ID: <\(time.microseconds).\(number)@mail.example>", "MIME-Version: 1.0",
    ]
    head += headers
    let body = text.replacingOccurrences(of: "\r\n", with: "\n").replacingOccurrences(of: "\n", with: "\r\n")
    if picture {
      head.append("Content-Type: multipart/mixed; boundary=\"=_demo\"")
      let lines = [
        "--=_demo", "Content-Type: text/plain; charset=utf-8", "", body, "--=_demo",
        "Content-Type: image/png; name=\"statement.png\"",
        "Content-Disposition: attachment; filename=\"statement.png\"",
        "Content-Transfer-Encoding: base64", "", Self.picture, "--=_demo--", "",
      ]
      head += [""] + lines
    } else {
      head += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", body, ""]
    }
    return MailPeer.Letter(
      from: person.email, to: [recipient ?? mailbox], bytes: Array(head.joined(separator: "\r\n").utf8))
  }

  /// RFC 3464, as a server of the customer's would write it.
  private mutating func bounce(of mail: ReadMail, to envelope: String, recipient: String, at time: Timestamp)
    -> MailPeer.Letter
  {
    number += 1
    let lines = [
      "From: MAILER-DAEMON@mail.example", "To: <\(envelope)>", "Subject: Undelivered Mail Returned to Sender",
      "Date: \(Composer.date(time))", "Message-ID: <\(time.microseconds).\(number)@mail.example>",
      "Auto-Submitted: auto-replied", "MIME-Version: 1.0",
      "Content-Type: multipart/report; report-type=delivery-status; boundary=\"=_dsn\"", "", "--=_dsn",
      "Content-Type: text/plain", "", "Your message could not be delivered.", "--=_dsn",
      "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.mail.example", "",
      "Final-Recipient: rfc822; \(recipient)", "Action: failed", "Status: 5.1.1",
      "Diagnostic-Code: smtp; 550 5.1.1 User unknown", "--=_dsn", "Content-Type: text/rfc822-headers", "",
      "Message-ID: <\(mail.messageID)>", "--=_dsn--", "",
    ]
    return MailPeer.Letter(from: "", to: [envelope], bytes: Array(lines.joined(separator: "\r\n").utf8))
  }

  private static func word(_ text: String) -> String {
    text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f }
      ? text : "=?UTF-8?B?\(Data(text.utf8).base64EncodedString())?="
  }

  /// One white point.
  private static let picture =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
}
