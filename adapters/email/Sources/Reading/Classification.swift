/// What kind of mail this is: a bounce, a machine's answer, list mail, a complaint; and whether a machine may answer.
///
/// A bounce settles an attempt and opens no request, so the word of the structure (RFC 3464) goes before senders and
/// subjects. An out-of-office reply is neither an answer nor a bounce. Suppression asked of us (X-Auto-Response-Suppress)
/// forbids an answer but makes no mail automatic. Source: specs/email.md §5, RFC 3834.
enum Classification {
  static func apply(_ headers: HeaderBlock, _ root: MIMEPart, to mail: inout ReadMail, hints: Charset.Hints) {
    let reportType = root.type.parameters["report-type"]?.lowercased()
    mail.isReadReceipt = reportType == "disposition-notification" || contains(root, "message/disposition-notification")
    mail.isComplaint = reportType == "feedback-report" || contains(root, "message/feedback-report")
    mail.isListMail =
      !mail.isComplaint
      && (headers.has("list-id") || headers.has("list-post") || headers.has("list-unsubscribe")
        || headers.has("x-mailing-list") || headers.has("x-beenthere")
        || headers.text("precedence")?.lowercased() == "list")
    let automatic = isAutomaticAnswer(headers, mail)
    let judgement = BounceReading.read(headers, root, mail, reportType: reportType, isAutomaticAnswer: automatic, hints)
    mail.isBounce = judgement.isBounce
    mail.bouncedRecipients = judgement.recipients
    let sender = mail.from.lowercased()
    mail.isAutomaticAnswer = automatic && !(mail.isBounce && sender.hasPrefix("mailer-daemon"))
    if mail.isComplaint { mail.complaint = complaint(in: root, hints) }
    mail.noAnswerReason = noAnswerReason(headers, mail)
  }

  /// RFC 5965 §3.2; where the report names nobody, the recipient of the mail it returns.
  private static func complaint(in root: MIMEPart, _ hints: Charset.Hints) -> (address: String, messageID: String) {
    var address = ""
    var returned: HeaderBlock?
    root.walk { part in
      switch part.content {
      case .leaf(let bytes) where part.mediaType == "message/feedback-report":
        let block = bytes.withUnsafeBufferPointer { HeaderBlock.parse($0).block }
        for name in ["original-rcpt-to", "removal-recipient"] where address.isEmpty {
          address = block.first(name).flatMap { Mailboxes.parse($0, hints: hints).first?.address } ?? ""
        }
      case .leaf(let bytes) where part.mediaType.hasSuffix("rfc822-headers") || part.mediaType == "message/rfc822":
        returned = bytes.withUnsafeBufferPointer { HeaderBlock.parse($0).block }
      case .message(let raw, _): returned = raw.withUnsafeBufferPointer { HeaderBlock.parse($0).block }
      default: break
      }
    }
    if address.isEmpty, let to = returned?.first("to") {
      address = Mailboxes.parse(to, hints: hints).first { $0.address.utf8.contains(0x40) }?.address ?? ""
    }
    return (address, returned?.first("message-id").flatMap { MessageID.own(in: $0) } ?? "")
  }

  private static func contains(_ root: MIMEPart, _ mediaType: String) -> Bool {
    var found = false
    root.walk { if $0.mediaType == mediaType { found = true } }
    return found
  }

  private static func isAutomaticAnswer(_ headers: HeaderBlock, _ mail: ReadMail) -> Bool {
    if let submitted = headers.text("auto-submitted")?.lowercased(), submitted.hasPrefix("auto-replied") { return true }
    for name in [
      "x-autoreply", "x-autorespond", "x-auto-reply", "x-qq-auto-reply", "x-autoreply-from", "x-mail-autoreply",
    ] {
      if let value = headers.text(name)?.lowercased(), value != "no", value != "false", value != "0" { return true }
    }
    switch headers.text("precedence")?.lowercased() {
    case "auto_reply", "auto-reply", "autoreply": return true
    default: break
    }
    let subject = mail.subject.lowercased()
    return answerSubjects.contains { subject.hasPrefix($0) }
  }

  private static let answerSubjects = [
    "自动回复", "自動回覆", "自动答复", "自动应答", "[自动回复]", "【自动回复】", "(自动回复)", "（自动回复）", "外出自动回复", "休假自动回复",
    "automatic reply", "auto reply:", "auto-reply", "autoreply", "auto response:", "auto-response:",
    "automatic response",
    "out of office", "out-of-office", "out of the office:", "[auto-reply]", "[autoreply]", "automatische antwort",
    "abwesenheitsnotiz", "réponse automatique", "respuesta automática", "risposta automatica", "resposta automática",
    "自動応答", "不在办公室", "i am out of the office",
  ]

  private static func noAnswerReason(_ headers: HeaderBlock, _ mail: ReadMail) -> String? {
    if mail.isBounce { return "bounce" }
    if mail.isComplaint { return "complaint" }
    if mail.isReadReceipt { return "read-receipt" }
    if mail.isAutomaticAnswer { return "automatic-answer" }
    if let path = headers.text("return-path"), path == "<>" { return "null-sender" }
    if let value = headers.text("auto-submitted")?.lowercased(), !value.hasPrefix("no"), !value.isEmpty {
      return "auto-submitted"
    }
    if mail.isListMail { return "list" }
    if let value = headers.text("precedence")?.lowercased(), ["bulk", "junk", "list"].contains(value) {
      return "precedence"
    }
    if let value = headers.text("x-auto-response-suppress")?.lowercased(),
      value.has("all") || value.has("autoreply") || value.has("oof")
    {
      return "suppressed"
    }
    if headers.has("x-loop") || headers.has("x-liaison-attempt") { return "loop" }
    let local = mail.from.lowercased().prefix { $0 != "@" }
    if ["mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply"].contains(String(local)) {
      return "system-sender"
    }
    return nil
  }
}
