/// The line by which a client introduces the mail it quotes: "On …, X wrote:", "X 于…写道：", "----- 原始邮件 -----".
///
/// Openings and closings per language; an opening alone may be followed by its closing on a later line, which is what
/// `begins` is for. Dates or addresses are demanded where the words alone are common in prose.
enum Attribution {
  static func matches(_ line: Substring) -> Bool {
    let text = line.trimmedSlice.droppingFirst { $0 == 0x3e || $0 == 0x20 || $0 == 0x3c || $0 == 0x2a }
    guard text.utf8.count >= 5, text.utf8.count <= 600 else { return false }
    let bare = stripped(text)
    return isSeparator(text) || isOnDateWrote(bare, whole: text) || isDateSomeone(text) || isSomeoneWrote(text)
      || isChinese(text, bare)
  }

  /// May be the first line of an attribution wrapped over several.
  static func begins(_ line: Substring) -> Bool {
    let text = line.trimmedSlice.droppingFirst { $0 == 0x3e || $0 == 0x20 || $0 == 0x2d || $0 == 0x3c }
    guard text.utf8.count >= 4 else { return false }
    if openings.contains(where: { text.begins(with: $0.open) }) { return true }
    if text.beginsWithAny(of: ["在 ", "在2", "于"]) { return true }
    if text.has(" schrieb am ") || text.has(" wrote on ") { return true }
    // A date, a name, and the verb on the next line.
    return yearIndex(text) != nil && text.count < 200
  }

  /// The verb alone: the end of an attribution whose first line was complete enough to be known.
  static func isBareClosing(_ line: Substring) -> Bool {
    let bare = stripped(line.trimmedSlice.droppingFirst { $0 == 0x3e || $0 == 0x20 })
    return bare.utf8.count <= 40
      && (bareClosings.contains(String(bare)) || bare.ends(with: "> wrote") || bare.ends(with: ">写道"))
  }
  private static let bareClosings: Set<String> = [
    "wrote", "writes", "a écrit", "schrieb", "schreef", "写道", "寫道", "ha scritto", "escribió", "escreveu",
    "napisał(a)", "het volgende geschreven", "skrev",
  ]

  /// Without dashes and closing punctuation at the ends.
  private static func stripped(_ text: Substring) -> Substring {
    var bare = text.droppingFirst { $0 == 0x2d || $0 == 0x3c || $0 == 0x3e || $0 == 0x20 }
    while let byte = bare.utf8.last {
      if byte < 0x80 {
        guard isSpace(byte) || [0x2e, 0x3a, 0x3e, 0x2d].contains(byte) else { break }
        bare = Substring(bare.utf8.dropLast())
      } else {
        guard let last = bare.last, last == "：" || last.isWhitespace else { break }
        bare.removeLast()
      }
    }
    return bare
  }

  private static let openings: [(open: StaticString, close: [StaticString])] = [
    ("On ", ["wrote", "writes", "said", "says"]), ("At ", ["wrote", "writes", "said", "says"]),
    ("on ", ["wrote", "writes"]), ("In message ", ["writes", "wrote"]),
    ("Op ", ["het volgende geschreven", "schreef"]), ("Le ", ["a écrit", "a e\u{301}crit", "nous a dit"]),
    ("Am ", ["geschrieben", "schrieben Sie", "schrieb"]), ("Il ", ["ha scritto"]),
    ("Dnia ", ["napisał", "napisał(a)"]), ("Dňa ", ["napisał", "napísal", "napísal(a)"]), ("Em ", ["escreveu"]),
    ("El ", ["escribió"]), ("在 ", ["写道", "寫道"]), ("Den ", ["skrev"]), ("søn", ["skrev"]),
  ]

  private static let middleVerbs: [(open: StaticString, verb: StaticString)] = [
    ("Op ", " schreef "), ("Am ", " schrieb "), ("Den ", " skrev "), ("søn.", " skrev "), ("", " skrev "),
  ]

  private static func isOnDateWrote(_ bare: Substring, whole: Substring) -> Bool {
    for (open, closings) in openings where bare.begins(with: open) {
      for close in closings
      where bare.ends(with: close) && bare.utf8.count > open.utf8CodeUnitCount + close.utf8CodeUnitCount {
        // "On the whole, he said" is prose; a date, an address or a colon is an attribution.
        return whole.contains(where: \.isNumber) || whole.has("@") || whole.ends(with: ":") || whole.ends(with: "：")
      }
    }
    // The verb in the middle: "Am 18.09.2013 um 16:24 schrieb codinghorror <…>:".
    guard whole.ends(with: ":") else { return false }
    for (open, verb) in middleVerbs where whole.begins(with: open) {
      guard let offset = whole.firstOffset(of: verb) else { continue }
      if whole.utf8.prefix(offset).contains(where: { $0 >= 0x30 && $0 <= 0x39 }) { return true }
    }
    return false
  }

  /// "2015-10-18 0:17 GMT+03:00 Matt <m@example.com>:", "вт, 5 янв. 2016 г. в 23:39, E. S. <…>:", "… пользователь x написал:".
  private static func isDateSomeone(_ text: Substring) -> Bool {
    guard let year = yearIndex(text) else { return false }
    let rest = text[year...]
    if rest.ends(with: ">") || rest.ends(with: ">:") || rest.ends(with: ">："), let open = rest.lastIndex(of: "<") {
      let address = rest[rest.index(after: open)...].prefix { $0 != ">" }
      if address.has("@"), !address.drop(while: { $0 == " " }).has(" "),
        rest.distance(from: rest.startIndex, to: open) <= 90
      {
        return true
      }
    }
    if text.utf8.last == 0x3a || text.has(":"), text.hasAny(datedVerbs) { return true }
    // ISO date with a zone and a name: "2016-03-03 17:21 GMT+01:00 Some One"
    if text.begins(with: "20"), text.has(" GMT+"), text.count < 90, !text.has("<") { return true }
    return false
  }
  private static let datedVerbs: [StaticString] = [
    "написал:", "написала:", "написал(а):", "napisał(a):", "napisał:", "пише:", "писал(а):", "пишет:", "kirjoitti:",
  ]

  private static func isSomeoneWrote(_ text: Substring) -> Bool {
    let hasColon = text.utf8.last == 0x3a
    let bare = hasColon ? Substring(text.utf8.dropLast()) : text
    if bare.ends(with: "wrote"), bare.has("@"), bare.count < 200 { return true }
    if bare.ends(with: " wrote") || bare.ends(with: " schrieb"), bare.has(" via ") { return true }
    // "Max <m@example.com> schrieb am Fr., 28. Apr. 2017 um 11:53 Uhr:"
    if hasColon, text.has(" schrieb am ") || text.has(" wrote on "), text.contains(where: \.isNumber) { return true }
    guard text.utf8.first.map(lowered) == 0x70, bare.has(" on ") else { return false }
    return bare.lowercased().begins(with: "posted by ") && bare.last?.isNumber == true
  }

  private static func isSeparator(_ text: Substring) -> Bool {
    guard let first = text.utf8.first.map(lowered) else { return false }
    if first == 0x62 || first == 0x64 {
      return text.lowercased().beginsWithAny(of: ["begin forwarded message", "début du message transféré"])
    }
    if text.beginsWithAny(of: ["开始转发的邮件", "下面是被转发的邮件", "開始轉寄郵件"]) { return true }
    guard text.beginsWithAny(of: ["--", "__", "=="]) else { return false }
    let words = text.lowercased().filter { $0 != "-" && $0 != "_" && $0 != "=" }.trimmedBlanks.trimmingStars
    return separatorWords.contains(words)
  }

  private static let separatorWords: Set<String> = [
    "forwarded message", "original message", "reply message", "message transféré", "message d'origine",
    "ursprüngliche nachricht", "weitergeleitete nachricht", "originalnachricht", "mensaje original",
    "mensaje reenviado", "messaggio originale", "mensagem original", "oorspronkelijk bericht", "original appointment",
    "原始邮件", "原始郵件", "邮件原件", "原邮件", "原始信息", "原郵件", "转发邮件信息", "转发的邮件", "转发邮件", "已转发邮件",
    "回复的原邮件", "回复的邮件", "被转发邮件信息", "邮件转发信息", "原始消息", "原始訊息", "轉寄郵件", "转发的原邮件", "引用原文",
  ]

  /// "在 2024-05-06 09:30:00，"客服" <…> 写道：", "客服 <…> 于2024年5月6日周一 09:30写道：", "2024-05-06 … 客服 写道".
  private static func isChinese(_ text: Substring, _ bare: Substring) -> Bool {
    guard chineseVerbs.contains(where: { bare.ends(with: $0) }) else { return false }
    return text.contains(where: \.isNumber) || text.has("@")
      || (text.ends(with: ":") || text.ends(with: "：")) && text.count < 60
  }
  private static let chineseVerbs: [StaticString] = ["写道", "寫道", "写到", "寫到", "撰寫", "写了"]

  /// Where a year stands (a number 1990–2099 of four digits).
  private static func yearIndex(_ text: Substring) -> Substring.Index? {
    let utf8 = text.utf8
    let offset = utf8.withContiguousStorageIfAvailable(yearOffset) ?? Array(utf8).withUnsafeBufferPointer(yearOffset)
    return offset.map { utf8.index(utf8.startIndex, offsetBy: $0) }
  }

  private static func yearOffset(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    var digits = 0
    var value = 0
    for index in 0...bytes.count {
      let byte = index < bytes.count ? bytes[index] : 0
      if byte >= 0x30, byte <= 0x39 {
        digits += 1
        value = digits <= 4 ? value * 10 + Int(byte - 0x30) : 0
      } else {
        if digits == 4, value >= 1990, value < 2100 { return index - 4 }
        digits = 0
        value = 0
      }
    }
    return nil
  }
}

extension String {
  fileprivate var trimmingStars: String {
    var text = self[...]
    while let first = text.first, first == "*" || first == " " { text.removeFirst() }
    while let last = text.last, last == "*" || last == " " { text.removeLast() }
    return String(text)
  }
}
