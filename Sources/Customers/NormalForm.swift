import Foundation

/// The forms in which names and numbers are compared; stored beside the raw value. Source: specs/identity.md §1.1.
///
/// Version `norm-1`: NFKC, case, separators. Traditional forms, pinyin and company cores come with the full method.
public enum NormalForm {
  public static let version = "norm-1"

  /// A name for comparison: NFKC, upper case, blanks and middle dots gone from Han names, Latin tokens sorted.
  public static func name(_ raw: String) -> String {
    let folded = raw.precomposedStringWithCompatibilityMapping.uppercased()
    let isHan = folded.unicodeScalars.contains { (0x3400...0x9fff).contains($0.value) || $0.value >= 0x20000 }
    if isHan {
      return String(folded.unicodeScalars.filter { !separators.contains($0) })
    }
    return folded.split(whereSeparator: { $0.isWhitespace || $0 == "," || $0 == "." }).sorted().joined(separator: " ")
  }

  /// An identity or account number: NFKC, upper case, only letters and digits. Nil when nothing is left.
  public static func number(_ raw: String) -> String? {
    let folded = raw.precomposedStringWithCompatibilityMapping.uppercased()
    let kept = folded.unicodeScalars.filter { ("0"..."9").contains($0) || ("A"..."Z").contains($0) }
    return kept.isEmpty ? nil : String(String.UnicodeScalarView(kept))
  }

  private static let separators: Set<Unicode.Scalar> = [" ", "·", "•", "・", ".", "．", "\u{3000}", "\t"]
}
