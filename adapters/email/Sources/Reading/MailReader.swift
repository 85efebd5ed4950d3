import Channels

/// From the bytes of a mail to what it says: the one entry to reading.
///
/// Never fails on bad mail: what cannot be read is left out and the rest is given. Only what is no mail at all (empty,
/// no header field) is reported as unreadable by the caller. Runs on the MIME thread.
public struct MailReader: Sendable {
  /// Texts beyond this are cut for display; the raw mail keeps them.
  public static let maximumTextBytes = 2 << 20

  public init() {}

  /// Reads one mail. Throws only if the process is shutting its threads down.
  public func read(_ raw: [UInt8]) async throws -> ReadMail {
    try await MIMEThread.shared.run { Self.read(raw) }
  }

  static func read(_ raw: [UInt8]) -> ReadMail {
    let source = normalisedLineEnds(raw)
    return source.withUnsafeBufferPointer { read($0) }
  }

  /// Mail of old Macs: line ends of CR alone.
  private static func normalisedLineEnds(_ raw: [UInt8]) -> [UInt8] {
    guard !raw.contains(0x0a), raw.contains(0x0d) else { return raw }
    return raw.map { $0 == 0x0d ? 0x0a : $0 }
  }

  private static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> ReadMail {
    let (headers, bodyStart) = HeaderBlock.parse(bytes)
    var mail = ReadMail()
    guard !headers.fields.isEmpty else {
      mail.unreadableReason = bytes.isEmpty ? "empty" : "no header field was found"
      return mail
    }
    var hints = Charset.Hints()
    hints.chinese = looksChinese(headers)
    let root = MIMEParser.parse(bytes, hints: hints, headers: headers, bodyStart: bodyStart)
    root.walk { part in
      guard part.mediaType.hasPrefix("text/"), let label = part.charsetLabel else { return }
      if hints.bodyLabel == nil { hints.bodyLabel = label }
      if chineseCharsets.contains(Charset.canonical(label)) { hints.chinese = true }
    }
    readHeaders(headers, into: &mail, hints: hints)
    readBody(root, into: &mail, hints: hints)
    Classification.apply(headers, root, to: &mail, hints: hints)
    mail.replyText = ReplyText.trim(mail.text, isForward: isForward(mail.subject))
    return mail
  }

  private static let chineseCharsets: Set<String> = ["gb18030", "big5-hkscs", "hz-gb-2312", "iso-2022-cn"]

  private static func looksChinese(_ headers: HeaderBlock) -> Bool {
    for name in ["from", "content-type", "subject", "reply-to", "content-language", "x-mailer", "message-id"] {
      guard let value = headers.first(name) else { continue }
      let text = String(decoding: value, as: UTF8.self).lowercased()
      if name == "from" || name == "reply-to" || name == "message-id" {
        if text.has(".cn>") || text.hasSuffix(".cn") || text.has("@qq.com") || text.has("@163.com")
          || text.has("@126.com") || text.has("@sina.com") || text.has("@foxmail.com")
          || text.has("coremail") || text.has("tencent_")
        {
          return true
        }
      }
      if name == "content-language", text.hasPrefix("zh") { return true }
      if name == "x-mailer", text.has("foxmail") || text.has("qqmail") || text.has("coremail") {
        return true
      }
      if text.has("=?gb") || text.has("=?big5") || text.has("charset=gb") || text.has("charset=\"gb") { return true }
    }
    return false
  }

  private static func isForward(_ subject: String) -> Bool {
    let lower = subject.lowercased()
    return ["fw:", "fwd:", "转发", "轉寄", "fw：", "fwd："].contains { lower.hasPrefix($0) }
  }

  private static func readHeaders(_ headers: HeaderBlock, into mail: inout ReadMail, hints: Charset.Hints) {
    if let value = headers.first("from"), let first = Mailboxes.parse(value, hints: hints, limit: 4).first {
      mail.from = first.address
      mail.fromName = first.name
    }
    if let value = headers.first("reply-to") {
      mail.replyTo = Mailboxes.parse(value, hints: hints, limit: 4).first?.address ?? ""
    }
    for name in ["to", "cc"] {
      for value in headers.all(name).prefix(4) {
        mail.recipients += Mailboxes.parse(value, hints: hints, limit: 100).map(\.address).filter { !$0.isEmpty }
      }
    }
    if let value = headers.first("subject") { mail.subject = EncodedWords.folded(value, hints: hints) }
    if let value = headers.first("message-id") { mail.messageID = MessageID.own(in: value) ?? "" }
    if let value = headers.first("in-reply-to") {
      mail.inReplyTo = foldBlanks(String(decoding: value, as: UTF8.self))
      mail.inReplyToIDs = MessageID.all(in: value, limit: 20)
    }
    if let value = headers.first("references") {
      mail.references = foldBlanks(String(decoding: value, as: UTF8.self))
      mail.referenceIDs = MessageID.all(in: value)
    }
    mail.date = headers.text("date") ?? ""
    mail.contentLanguage = headers.text("content-language").flatMap { $0.isEmpty ? nil : $0 }
    for name in [
      "return-path", "sender", "reply-to", "date", "x-mailer", "user-agent", "x-originating-ip", "list-id",
      "precedence",
      "auto-submitted", "x-priority", "importance",
    ] {
      guard let value = headers.first(name), value.count <= 512 else { continue }
      mail.properties.append(.init("header." + name, EncodedWords.folded(value, hints: hints)))
    }
  }

  // MARK: Body

  private static func readBody(_ root: MIMEPart, into mail: inout ReadMail, hints: Charset.Hints) {
    var foundText = false
    root.walk { part in
      guard case .leaf = part.content else { return }
      if !foundText, part.mediaType.hasPrefix("text/"), !isAttachment(part) {
        foundText = true
        mail.charset = part.charsetLabel ?? ""
      }
    }
    collectAttachments(root, into: &mail, hints: hints)
    let shown = texts(of: root, hints: hints)
    mail.text = shown.plain.joined(separator: "\n").trimmedBlanks
    if !shown.html.isEmpty { mail.html = sanitizedHTML(shown.html.joined(separator: "<hr>")) }
    if mail.text.isEmpty, let inner = mail.attachments.first(where: { $0.mediaType == "application/ms-tnef" }),
      let tnef = TNEF(inner.bytes, hints: hints), let text = tnef.text
    {
      mail.text = text.trimmedBlanks
    }
  }

  /// Whether a leaf is what the corpus and a person call an attachment: all but unnamed text and machine reports.
  static func isAttachment(_ part: MIMEPart) -> Bool {
    switch part.content {
    case .multipart: return false
    case .message: return true
    case .leaf: break
    }
    let reports: Set<String> = ["message/delivery-status", "message/disposition-notification", "text/rfc822-headers"]
    if part.mediaType == "text/plain" || part.mediaType == "text/html" || reports.contains(part.mediaType) {
      return part.name != nil || part.disposition?.value == "attachment"
    }
    return true
  }

  private static func collectAttachments(_ root: MIMEPart, into mail: inout ReadMail, hints: Charset.Hints) {
    root.walk { part in
      guard isAttachment(part) else { return }
      var bytes: [UInt8]
      switch part.content {
      case .leaf(let content): bytes = content
      case .message(let raw, _): bytes = raw
      case .multipart: return
      }
      let declared = part.mediaType
      var attachment = ReadMail.Attachment(
        name: part.name.map(foldBlanks) ?? "",
        mediaType: declared.hasPrefix("message/") ? declared : effectiveMediaType(bytes, declared: declared),
        bytes: bytes, contentID: part.contentID)
      if attachment.mediaType == "application/ms-tnef", let tnef = TNEF(bytes, hints: hints) {
        attachment.contained = tnef.files.map {
          ReadMail.Attachment(
            name: $0.name ?? "", mediaType: effectiveMediaType($0.bytes, declared: "application/octet-stream"),
            bytes: $0.bytes, contentID: $0.contentID)
        }
      }
      mail.attachments.append(attachment)
    }
  }

  /// What is to be read: of alternatives the plain text and the HTML, of everything else all in order.
  private static func texts(of part: MIMEPart, hints: Charset.Hints) -> (plain: [String], html: [String]) {
    switch part.content {
    case .message: return ([], [])
    case .leaf(let bytes):
      guard !isAttachment(part), part.mediaType.hasPrefix("text/"), part.mediaType != "text/rfc822-headers" else {
        return ([], [])
      }
      let bounded = bytes.count > maximumTextBytes ? Array(bytes[..<maximumTextBytes]) : bytes
      if part.mediaType == "text/html" {
        let label = part.charsetLabel ?? HTMLCharset.declared(in: bounded)
        let html = Charset.decode(bounded, label: label, hints: hints)
        let text = plainText(ofHTML: html)
        return (text.isEmpty ? [] : [text], [html])
      }
      var text = Charset.decode(bounded, label: part.charsetLabel, hints: hints)
      if part.type.parameters["format"]?.lowercased() == "flowed" {
        text = unflowed(text, deletingBlank: part.type.parameters["delsp"]?.lowercased() == "yes")
      }
      return (text.isEmpty ? [] : [text], [])
    case .multipart(let children):
      let found = children.map { ($0, texts(of: $0, hints: hints)) }
      if part.mediaType == "multipart/alternative" {
        let html = found.last { !$0.1.html.isEmpty }?.1.html ?? []
        let plain =
          found.first { child, texts in
            texts.html.isEmpty && texts.plain.contains { !$0.trimmedBlanks.isEmpty } && child.mediaType != "text/html"
          }?.1.plain ?? found.first { !$0.1.plain.isEmpty }?.1.plain ?? []
        return (plain, html)
      }
      return (found.flatMap { $0.1.plain }, found.flatMap { $0.1.html })
    }
  }

  /// RFC 3676: a line that ends in a blank goes on in the next; quoted lines flow only within their depth.
  private static func unflowed(_ text: String, deletingBlank: Bool) -> String {
    var out: [String] = []
    var open = false
    var openDepth = 0
    for var line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.last == "\r" || line.last == "\r\n" { line.removeLast() }
      let depth = line.prefix { $0 == ">" }.count
      var body = line.dropFirst(depth)
      if body.first == " " { body.removeFirst() }
      let flows = body.last == " " && body != "-- "
      if flows, deletingBlank { body.removeLast() }
      if open, depth == openDepth, !out.isEmpty, body != "-- " {
        out[out.count - 1] += body
      } else {
        out.append(String(repeating: ">", count: depth) + (depth > 0 ? " " : "") + body)
      }
      open = flows
      openDepth = depth
    }
    return out.joined(separator: "\n")
  }
}

/// The charset a page declares about itself, for HTML parts without a label. Source: WHATWG HTML §13.2.3.2.
enum HTMLCharset {
  static func declared(in bytes: [UInt8]) -> String? {
    let head = String(decoding: bytes.prefix(2_048).map { $0 < 0x80 ? lowered($0) : 0x20 }, as: UTF8.self)
    guard let offset = head.firstOffset(of: "charset=") else { return nil }
    let label = String(decoding: head.utf8.dropFirst(offset + 8), as: UTF8.self).drop {
      $0 == "\"" || $0 == "'" || $0 == " "
    }
    .prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
    return label.isEmpty ? nil : String(label)
  }
}
