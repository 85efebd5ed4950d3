/// What a short message means if it is nothing but a keyword: stop, start again, or a command of the bank's own.
///
/// Only the whole message counts, trimmed, case- and width-folded, without the marks around it: `TD`, ` r\r\n`, `Ｔ`,
/// `退订。` stop; `T+0 什么意思` does not. Pure. Source: specs/sms.md §9.
public struct KeywordTable: Hashable, Sendable {
  public enum Meaning: Hashable, Sendable {
    /// An address stop of scope promo, with the message as its evidence.
    case optOut
    /// Lifts such a stop.
    case optIn
    /// A category of request, for example `ye` → balance.
    case command(category: String)
  }

  private var meanings: [String: Meaning] = [:]

  public static let defaultOptOut = [
    "T", "TD", "R", "N", "退订", "拒收", "取消", "STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT",
    "OPTOUT", "OPT OUT", "退訂",
  ]
  public static let defaultOptIn = ["START", "YES", "UNSTOP", "恢复", "恢复订阅", "订阅"]

  /// Commands give way to opt-out words: a customer who says stop means it.
  public init(
    optOut: [String] = Self.defaultOptOut, optIn: [String] = Self.defaultOptIn, commands: [String: String] = [:]
  ) {
    for (word, category) in commands { meanings[Self.folded(word)] = .command(category: category) }
    for word in optIn { meanings[Self.folded(word)] = .optIn }
    for word in optOut { meanings[Self.folded(word)] = .optOut }
    meanings[""] = nil
  }

  /// Nil for any other message.
  public func meaning(of text: String) -> (meaning: Meaning, word: String)? {
    // No keyword is that long; folding a long text would be wasted.
    guard text.utf8.count <= 120 else { return nil }
    let word = Self.folded(text)
    return meanings[word].map { ($0, word) }
  }

  /// Upper case, narrow, inner blanks single, outer blanks and marks taken off.
  static func folded(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      var value = scalar.value
      if (0xff01...0xff5e).contains(value) { value -= 0xfee0 }
      if value == 0x3000 || value == 0xa0 || value < 0x20 { value = 0x20 }
      if value == 0xfeff || value == 0x200b { continue }
      if value == 0x20, scalars.last == " " { continue }
      if let narrow = Unicode.Scalar(value) { scalars.append(narrow) }
    }
    let marks: Set<Unicode.Scalar> = [
      " ", ".", "!", "?", ",", ";", ":", "。", "\"", "'", "“", "”", "‘", "’", "【", "】", "(", ")",
    ]
    while let first = scalars.first, marks.contains(first) { scalars.removeFirst() }
    while let last = scalars.last, marks.contains(last) { scalars.removeLast() }
    return String(scalars).uppercased()
  }
}
