/// What one line of a mail's text is, looked at by itself.
enum LineClass: Sendable {
  case empty
  /// A line of dashes, underscores, stars alone.
  case delimiter
  /// "Sent from my …", which a device adds.
  case signature
  /// "On … wrote:", "------ 原始邮件 ------": a quoted mail begins.
  case attribution
  /// "From: …", "发件人：…" of a quoted mail.
  case header
  /// Starts with `>`.
  case quote
  case text

  init(_ line: Substring) {
    if line.isBlank {
      self = .empty
      return
    }
    let bare = line.trimmed
    if Self.isDelimiter(bare) {
      self = .delimiter
    } else if Self.isDeviceSignature(bare) {
      self = .signature
    } else if Attribution.matches(line) {
      self = .attribution
    } else if MailHeaderLine.matches(bare) {
      self = .header
    } else if bare.hasPrefix(">") {
      self = .quote
    } else {
      self = .text
    }
  }

  /// A cheap look whether a line can be anything but text or empty: most mail is not a reply, and is not searched.
  static func mayMark(_ line: Substring) -> Bool {
    for byte in line.utf8 {
      switch byte {
      case 0x3e, 0x2d, 0x5f, 0x3a, 0x3d, 0x2a, 0x7e, 0x23, 0x2b, 0x2c, 0x7c: return true
      case 0xe1, 0xe2, 0xe5, 0xe6, 0xe8, 0xef: return true
      default: continue
      }
    }
    return isDeviceSignature(line.trimmed)
  }

  private static func isDelimiter(_ line: String) -> Bool {
    line.unicodeScalars.allSatisfy { "-_,=+~#*ᐧ—─━".unicodeScalars.contains($0) || $0 == " " }
      && !line.utf8.contains(0x20)
  }

  private static func isDeviceSignature(_ line: String) -> Bool {
    var text = line
    if text.hasPrefix("<") || text.hasPrefix("(") || text.hasPrefix("[") {
      text = String(text.drop { $0 == "<" || $0 == "(" || $0 == "[" })
    }
    let lower = withoutLinks(text.lowercased())
    if deviceOpenings.contains(where: { lower.hasPrefix($0) }) { return true }
    if lower.hasPrefix("from my "), lower.count <= 28 { return true }
    if lower.hasPrefix("von meinem "), lower.has(" gesendet") { return true }
    if lower.hasPrefix("diese nachricht wurde von "), lower.has(" gesendet") { return true }
    if let offset = lower.firstOffset(of: " from mobile"), !lower.utf8.prefix(offset).contains(0x20) { return true }
    // 发自我的iPhone, 发自我的小米手机, 发自网易邮箱大师, 来自 Outlook for iOS, 從我的 iPhone 傳送
    if lower.count <= 30 {
      if lower.hasPrefix("发自") || lower.hasPrefix("發自") || lower.hasPrefix("從我的") { return true }
      if lower.hasPrefix("从我的"), lower.hasSuffix("发送") { return true }
      if lower.hasPrefix("来自我的") || lower.hasPrefix("通过手机发送") { return true }
      if lower.hasPrefix("获取 outlook for") || lower.hasPrefix("获取outlook for") { return true }
    }
    return false
  }

  /// `get [outlook for android](https://…)` → `get outlook for android`.
  private static func withoutLinks(_ text: String) -> String {
    guard text.has("]("), let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]"),
      let end = text[close...].firstIndex(of: ")")
    else { return text }
    return String(
      text[..<open] + text[text.index(after: open)..<close] + text[text.index(after: end)...])
  }

  private static let deviceOpenings = [
    "sent from ", "sent via ", "sent with ", "sent by ", "get outlook for ", "envoyé depuis mon ",
    "envoyé depuis yahoo mail", "envoyé de mon ", "inviato da ", "sendt fra min ", "enviado do meu ",
    "enviado desde mi ", "verzonden met ", "verstuurd vanaf mijn ", "från min ", "skickat från min ",
    "sent from my ",
  ]
}

/// "From: …", "Sent: …" and their like in the languages of mail clients.
enum MailHeaderLine {
  static func matches(_ line: String) -> Bool {
    var text = line[...]
    while let first = text.first, first == "*" || first == " " { text.removeFirst() }
    guard let colon = text.prefix(40).firstIndex(where: { $0 == ":" || $0 == "：" }) else { return false }
    var name = text[..<colon]
    while let last = name.last, last == "*" || last == " " || last == "\u{3000}" { name.removeLast() }
    let value = text[text.index(after: colon)...]
    let key = name.lowercased().filter { $0 != " " || !name.contains(where: \.isCJK) }
    if dated.contains(key) { return value.contains(where: \.isNumber) || value.contains(where: \.isCJK) }
    return named.contains(key) && value.contains { $0.isLetter || $0.isNumber || $0 == "_" }
  }

  private static let dated: Set<String> = [
    "sendt", "sent", "date", "le", "gesendet", "enviada em", "enviado", "fecha", "data", "datum", "skickat",
    "发送时间", "發送時間", "发送日期", "日期", "寄件日期", "時間", "时间", "发件时间", "傳送時間", "已发送", "送信日時",
  ]
  private static let named: Set<String> = [
    "fra", "til", "emne", "from", "to", "cc", "reply-to", "subject", "de", "expéditeur", "à", "destinataire",
    "répondre à", "objet", "von", "an", "betreff", "para", "assunto", "asunto", "da", "risposta", "a", "oggetto", "van",
    "beantwoorden - aan", "aan", "onderwerp", "från", "till", "ämne", "发件人", "收件人", "主题", "主旨", "寄件者",
    "收件者", "寄件人", "抄送", "抄送人", "副本", "主題", "发件者", "答复", "回复", "bcc", "密送", "收件人地址",
  ]
}

extension Character {
  var isCJK: Bool { unicodeScalars.first.map { $0.value >= 0x2e80 && $0.value <= 0x9fff } ?? false }
}
