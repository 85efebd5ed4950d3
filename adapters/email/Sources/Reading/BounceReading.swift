/// Delivery reports: those built as RFC 3464 says, and the many that are only text.
///
/// Order of evidence: (1) message/delivery-status, wherever it stands; (2) the same fields written into the text;
/// (3) X-Failed-Recipients (Exim, Gmail); (4) the text, when sender and words say that it is a bounce. The id of the
/// mail that came back is taken from its returned headers.
enum BounceReading {
  struct Judgement {
    var isBounce = false
    var recipients: [BouncedRecipient] = []
  }

  static func read(
    _ headers: HeaderBlock, _ root: MIMEPart, _ mail: ReadMail, reportType: String?, isAutomaticAnswer: Bool,
    _ hints: Charset.Hints
  ) -> Judgement {
    if mail.isComplaint || mail.isReadReceipt { return Judgement() }
    var statusText = ""
    var returnedHeaders: HeaderBlock?
    var nested: MIMEPart?
    func collect(_ part: MIMEPart) {
      switch part.content {
      case .leaf(let bytes) where part.mediaType == "message/delivery-status":
        statusText += Charset.decode(bytes, label: nil, hints: hints) + "\n\n"
      case .leaf(let bytes) where part.mediaType == "text/rfc822-headers" || part.mediaType == "message/rfc822-headers":
        if returnedHeaders == nil { returnedHeaders = bytes.withUnsafeBufferPointer { HeaderBlock.parse($0).block } }
      case .leaf(let bytes) where part.mediaType == "text/plain" && part.name?.lowercased().hasPrefix("dsn") == true:
        statusText += Charset.decode(bytes, label: nil, hints: hints) + "\n\n"
      case .message(let raw, let inner):
        if returnedHeaders == nil { returnedHeaders = raw.withUnsafeBufferPointer { HeaderBlock.parse($0).block } }
        if nested == nil { nested = inner }
      default: break
      }
    }
    root.walk(collect)
    var result = Judgement()
    result.recipients = StatusFields.recipients(in: statusText)
    let structural = reportType == "delivery-status" || reportType == "delivery status" || !result.recipients.isEmpty
    if structural {
      result.isBounce = true
    } else if let failed = headers.first("x-failed-recipients") {
      result.isBounce = true
      for mailbox in Mailboxes.parse(failed, hints: hints, limit: 100) where mailbox.address.has("@") {
        result.recipients.append(.init(address: mailbox.address, diagnostic: BounceText.diagnostic(in: mail.text)))
      }
    } else if !isAutomaticAnswer || isDaemon(mail.from), saysBounce(headers, root, mail) {
      result.isBounce = true
    }
    guard result.isBounce else { return result }
    // A gateway wrapped the report it got: what counts is in the message within.
    if result.recipients.isEmpty, let nested {
      returnedHeaders = nil
      nested.walk(collect)
      result.recipients = StatusFields.recipients(in: statusText)
      if returnedHeaders == nil { root.walk(collect) }
    }
    if result.recipients.isEmpty { result.recipients = StatusFields.recipients(in: mail.text) }
    if result.recipients.isEmpty {
      result.recipients = BounceText.recipients(in: mail.text, excluding: mail.recipients + [mail.from])
    }
    let original =
      returnedHeaders?.first("message-id").flatMap { MessageID.own(in: $0) }
      ?? BounceText.messageID(in: mail.text) ?? ""
    let delayed = saysDelayed(mail)
    let prose = BounceText.explanation(in: mail.text)
    for index in result.recipients.indices {
      result.recipients[index].originalMessageID = original
      result.recipients[index].conclude(saidDelayed: delayed, prose: prose)
    }
    return result
  }

  private static func isDaemon(_ from: String) -> Bool {
    let local = String(from.lowercased().prefix { $0 != "@" })
    return local.has("mailer-daemon") || local.has("mailerdaemon") || local.has("mail-daemon")
      || local == "mail-delivery-subsystem" || local == "maildelivery" || local == "mdaemon"
  }

  private static func saysBounce(_ headers: HeaderBlock, _ root: MIMEPart, _ mail: ReadMail) -> Bool {
    if isDaemon(mail.from) { return true }
    let subject = mail.subject.lowercased()
    // A person's answer to a bounce, or its forwarding, is mail from a person.
    if subject.hasPrefix("re:") || subject.hasPrefix("fw") || subject.hasPrefix("回复") || subject.hasPrefix("转发") {
      return false
    }
    let failure = subject.hasAny(failureSubjects)
    let local = String(mail.from.lowercased().prefix { $0 != "@" })
    let name = mail.fromName.lowercased()
    let system =
      mail.from.isEmpty
      || ["postmaster", "poostmaster", "mailmaster", "mail", "system", "bounce", "bounces", "10000"]
        .contains(local)
      || name.has("mail delivery") || name.has("postmaster") || name.has("系统")
      || headers.text("return-path") == "<>" || root.mediaType == "multipart/report"
    if failure, system { return true }
    if root.mediaType == "multipart/report", mail.from.isEmpty || system { return true }
    if system || failure {
      let words = String(mail.text.lowercased().prefix(4_000))
      return words.hasAny(failurePhrases)
    }
    return false
  }

  private static let failureSubjects: [StaticString] = [
    "undeliver", "returned mail", "delivery status", "delivery failure", "delivery failed", "delivery notification",
    "failure notice", "mail delivery", "mail failure", "could not send message", "could not be delivered",
    "delivery report", "non delivery", "nondeliver", "delivery has failed", "returned to sender", "delayed mail",
    "delivery error", "message delayed", "undelivered", "退信", "退回", "投递失败", "发送失败", "无法投递", "系统退件",
    "недоставлен", "не доставлен", "unzustellbar", "delivery problem", "bounced mail", "投遞失敗", "無法傳遞",
    "email delivery error",
  ]
  private static let failurePhrases: [StaticString] = [
    "could not be delivered", "couldn't be delivered", "delivery to the following", "undeliverable", "user unknown",
    "unknown user", "permanent error", "was not delivered", "unable to deliver", "cannot be delivered",
    "delivery failed", "did not reach the following", "returned below", "mailbox not found", "undelivered",
    "has not been delivered", "failed to deliver", "delivery failure", "transcript of session",
    "the following address", "following recipient", "final-recipient:", "退信原因", "被退回", "无法送达", "投递失败", "无法投递",
    "无法发送", "発送できません", "送信できません", "配送できません", "no such user", "banned file", "banned name",
    "you sent the following message", "not delivered to", "无法被送达", "被对方服务器退回",
  ]

  private static func saysDelayed(_ mail: ReadMail) -> Bool {
    let subject = mail.subject.lowercased()
    if subject.hasAny(["delay", "warning: could not send", "still being retried", "延迟"]) { return true }
    let text = mail.text.lowercased().prefix(3_000)
    return text.hasAny([
      "this is a warning message only", "will keep trying", "will be retried", "you do not need to resend",
    ])
  }
}

/// Per-recipient fields of a delivery report. Source: RFC 3464 §2.3.
enum StatusFields {
  static func recipients(in text: String) -> [BouncedRecipient] {
    guard text.lowercased().has("-recipient") else { return [] }
    var out: [BouncedRecipient] = []
    var fields: [(String, String)] = []
    func finish() {
      defer { fields = [] }
      func value(_ name: String) -> String? { fields.first { $0.0 == name }?.1 }
      // Original-Recipient only where the final one is missing: bounces name what finally failed.
      guard let recipient = value("final-recipient") ?? value("original-recipient") ?? value("x-actual-recipient")
      else { return }
      let typed = recipient.split(separator: ";", maxSplits: 1).last.map(String.init) ?? recipient
      var address = BounceText.addresses(in: typed[...]).first ?? typed.filter { !"<>\" ".contains($0) }
      if !address.has("@"), let other = value("original-recipient"),
        let better = BounceText.addresses(in: other[...]).first
      {
        address = better
      }
      guard !address.isEmpty, out.count < 500 else { return }
      let action = value("action")?.lowercased().split(whereSeparator: { $0 == " " || $0 == "(" || $0 == ";" }).first
      out.append(
        BouncedRecipient(
          address: address, action: action.flatMap { BouncedRecipient.Action(rawValue: String($0)) },
          status: value("status").flatMap { BounceText.status(in: $0[...]) } ?? "",
          diagnostic: value("diagnostic-code") ?? value("smtp-remote-recipient") ?? ""))
    }
    for line in text.split(omittingEmptySubsequences: false, whereSeparator: { $0.isNewline }) {
      if line.allSatisfy({ $0 == " " || $0 == "\t" }) {
        finish()
        continue
      }
      if line.first == " " || line.first == "\t" {
        if !fields.isEmpty { fields[fields.count - 1].1 += " " + line.trimmed }
        continue
      }
      guard let colon = line.firstIndex(of: ":") else { continue }
      let name = line[..<colon].lowercased().trimmedBlanks
      if name == "final-recipient", fields.contains(where: { $0.0 == name }) { finish() }
      if fields.count < 60 { fields.append((name, line[line.index(after: colon)...].trimmed)) }
    }
    finish()
    // Some reports say everything twice.
    var unique: [BouncedRecipient] = []
    for entry in out where unique.last?.address != entry.address || unique.last?.status != entry.status {
      unique.append(entry)
    }
    return unique
  }
}

extension BouncedRecipient {
  init(address: String, action: Action? = nil, status: String = "", diagnostic: String) {
    self.address = address
    self.action = action ?? .failed
    actionWasGiven = action != nil
    self.status = status
    reason = ""
    condemnsAddress = false
    isHard = false
    self.diagnostic = diagnostic
    originalMessageID = ""
  }

  /// Settles what the report left open: the words give the reason, reason and code the rest.
  mutating func conclude(saidDelayed: Bool, prose: String) {
    let words = diagnostic.isEmpty ? prose : diagnostic
    if status.isEmpty || status.hasSuffix(".0.0") {
      if let found = BounceText.status(in: words[...]), !found.hasSuffix(".0.0") || status.isEmpty { status = found }
    }
    reason = BounceText.reason(words, status: status)
    if reason == "undefined", words != prose { reason = BounceText.reason(prose, status: status) }
    if !actionWasGiven { action = saidDelayed || status.hasPrefix("4.") && saidDelayed ? .delayed : .failed }
    if action == .delayed, reason == "undefined" { reason = "expired" }
    if status.isEmpty {
      status = (action == .delayed ? "4" : "5") + ".0." + (BounceText.impliedDetail[reason] ?? "900")
    }
    isHard = action == .failed && ["userunknown", "hostunknown", "hasmoved", "notaccept"].contains(reason)
    // specs/email.md §7: 5.x.x condemns the address, except 5.2.2 and 5.7.x; a status we made up counts by reason.
    let excepted = status == "5.2.2" || status.hasPrefix("5.7.") || status.hasPrefix("5.0.9") || status == "5.3.4"
    let soft = [
      "mailboxfull", "spamdetected", "mesgtoobig", "expired", "networkerror", "policyviolation", "authfailure",
    ]
    condemnsAddress =
      action == .failed && (isHard && !status.hasPrefix("5.7.") || status.hasPrefix("5.") && !excepted)
      && !soft.contains(reason)
  }
}
