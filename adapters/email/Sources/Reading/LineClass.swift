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
    let bare = line.trimmedSlice
    if Self.isDelimiter(bare) {
      self = .delimiter
    } else if Self.isDeviceSignature(bare) {
      self = .signature
    } else if Attribution.matches(line) {
      self = .attribution
    } else if MailHeaderLine.matches(bare) {
      self = .header
    } else if bare.begins(with: ">") {
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
    return isDeviceSignature(line.trimmedSlice)
  }

  private static func isDelimiter(_ line: Substring) -> Bool {
    line.unicodeScalars.allSatisfy { delimiters.contains($0) }
  }
  private static let delimiters = "-_,=+~#*ᐧ—─━".unicodeScalars

  private static func isDeviceSignature(_ line: Substring) -> Bool {
    let text = line.droppingFirst { $0 == 0x3c || $0 == 0x28 || $0 == 0x5b }
    // The first letters of everything below; most lines begin otherwise.
    guard let first = text.utf8.first.map(lowered) else { return false }
    switch first {
    case 0x73, 0x67, 0x65, 0x69, 0x76, 0x66, 0x64, 0xe4...0xe9: break  // s g e i v f d, 从来 发 通 获
    default: if !text.has("obile") && !text.has("OBILE") { return false }
    }
    let lower = withoutLinks(text.lowercased())
    if lower.beginsWithAny(of: deviceOpenings) { return true }
    if lower.begins(with: "from my "), lower.count <= 28 { return true }
    if lower.begins(with: "von meinem "), lower.has(" gesendet") { return true }
    if lower.begins(with: "diese nachricht wurde von "), lower.has(" gesendet") { return true }
    if let offset = lower.firstOffset(of: " from mobile"), !lower.utf8.prefix(offset).contains(0x20) { return true }
    // 发自我的iPhone, 发自我的小米手机, 发自网易邮箱大师, 来自 Outlook for iOS, 從我的 iPhone 傳送
    guard first >= 0xe4, lower.utf8.count <= 120, lower.count <= 30 else { return false }
    return lower.beginsWithAny(of: ["发自", "發自", "從我的", "来自我的", "通过手机发送", "获取 outlook for", "获取outlook for"])
      || lower.begins(with: "从我的") && lower.ends(with: "发送")
  }

  /// `get [outlook for android](https://…)` → `get outlook for android`.
  private static func withoutLinks(_ text: String) -> String {
    guard text.has("]("), let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]"),
      let end = text[close...].firstIndex(of: ")")
    else { return text }
    return String(
      text[..<open] + text[text.index(after: open)..<close] + text[text.index(after: end)...])
  }

  private static let deviceOpenings: [StaticString] = [
    "sent from ", "sent via ", "sent with ", "sent by ", "get outlook for ", "envoyé depuis mon ",
    "envoyé depuis yahoo mail", "envoyé de mon ", "inviato da ", "sendt fra min ", "enviado do meu ",
    "enviado desde mi ", "verzonden met ", "verstuurd vanaf mijn ", "från min ", "skickat från min ",
    "sent from my ",
  ]
}

/// "From: …", "Sent: …" and their like in the languages of mail clients.
enum MailHeaderLine {
  static func matches(_ line: Substring) -> Bool {
    let text = line.droppingFirst { $0 == 0x2a || $0 == 0x20 }
    guard let bytes = text.utf8.prefix(160).firstIndex(where: { $0 == 0x3a || $0 == 0xef }) else { return false }
    guard text.utf8[bytes] == 0x3a || text.prefix(40).contains("：") else { return false }
    guard let colon = text.firstIndex(where: { $0 == ":" || $0 == "：" }) else { return false }
    var name = text[..<colon]
    while let last = name.last, last == "*" || last == " " || last == "\u{3000}" { name.removeLast() }
    // No name of a field is that long, in bytes.
    guard name.utf8.count <= 32 else { return false }
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
