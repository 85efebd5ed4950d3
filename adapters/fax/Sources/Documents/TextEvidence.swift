/// Customer numbers in the text of faxed pages: a hint whom the fax may be from, the weakest there is.
///
/// Only what stands behind a word for customer number is taken. The letter before a number is its weakest character
/// (`E-00092014` was read as `#-00092014`, specs/fax.md §5), so the digits alone are proposed too; what belongs to
/// nobody then proposes nobody, and a person confirms the rest.
enum TextEvidence {
  private static let labels = [
    "客户编码", "客户编号", "客户号码", "客户号", "客户代码", "customer number", "customer no", "customer id", "client number",
    "client no",
  ]
  static let most = 4

  /// As written, then its digits alone, in the order of the text; each once, at most four.
  static func customerNumbers(in text: String) -> [String] {
    let characters = Array(text.lowercased().unicodeScalars.prefix(50_000))
    var found: [String] = []
    for label in labels.map({ Array($0.unicodeScalars) }) {
      var index = 0
      while index + label.count <= characters.count, found.count < most {
        guard characters[index..<index + label.count].elementsEqual(label) else {
          index += 1
          continue
        }
        index += label.count
        guard let number = number(in: characters[index...]) else { continue }
        for form in [number.whole, number.digits] where !found.contains(form) { found.append(form) }
      }
    }
    return Array(found.prefix(most))
  }

  /// The number at the beginning of `rest`, behind at most eight characters that are neither letter nor digit.
  private static func number(in rest: ArraySlice<Unicode.Scalar>) -> (whole: String, digits: String)? {
    func isLetter(_ c: Unicode.Scalar) -> Bool { ("a"..."z").contains(c) }
    func isDigit(_ c: Unicode.Scalar) -> Bool { ("0"..."9").contains(c) }
    var rest = rest
    var skipped = 0
    while let first = rest.first, !isLetter(first), !isDigit(first), skipped < 8 {
      rest.removeFirst()
      skipped += 1
    }
    let token = rest.prefix { isLetter($0) || isDigit($0) || $0 == "-" }.prefix(24)
    let digits = token.filter(isDigit)
    guard (5...20).contains(digits.count), token.count - digits.count <= 3 else { return nil }
    let whole = String(String.UnicodeScalarView(token)).uppercased()
    return (whole.trimmed, String(String.UnicodeScalarView(digits)))
  }
}
