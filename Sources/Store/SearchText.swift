/// Words for full-text search that both databases find alike, Chinese included.
///
/// Han text is stored as overlapping pairs of characters (信用卡 → 信用 用卡) and asked for as a phrase of pairs; other
/// scripts go by words. Neither engine's own tokenizer finds the two-character words most Chinese searches consist of.
/// Source: specs/stack.md §3.
public enum SearchText {
  /// What is stored in the `words` column.
  public static func words(of text: String) -> String {
    runs(of: text).flatMap(\.tokens).joined(separator: " ")
  }

  /// The parameter of `{{search:table:$n}}`: every run of `text` must occur. Nil when there is nothing to look for.
  /// A single Han character matches only where it stands alone.
  public static func query(_ text: String) -> String? {
    let phrases = runs(of: text).map { "\"" + $0.tokens.joined(separator: " ") + "\"" }
    return phrases.isEmpty ? nil : phrases.joined(separator: " ")
  }

  private struct Run {
    var isHan: Bool
    var characters: [Character]
    var tokens: [String] {
      guard isHan, characters.count > 1 else { return [String(characters)] }
      return (0..<characters.count - 1).map { String(characters[$0...$0 + 1]) }
    }
  }

  private static func runs(of text: String) -> [Run] {
    var runs: [Run] = []
    var open = false
    for character in text.lowercased() {
      guard character.isLetter || character.isNumber else {
        open = false
        continue
      }
      let isHan = character.unicodeScalars.first.map(isHan) ?? false
      if open, runs.last?.isHan == isHan {
        runs[runs.count - 1].characters.append(character)
      } else {
        runs.append(Run(isHan: isHan, characters: [character]))
      }
      open = true
    }
    return runs
  }

  /// CJK Unified Ideographs with extensions A and B onwards, and the compatibility block.
  private static func isHan(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x3400...0x4dbf, 0x4e00...0x9fff, 0xf900...0xfaff, 0x20000...0x3ffff: true
    default: false
    }
  }
}
