import Channels

/// Addresses that people and files give, in the form in which they are compared.
///
/// Source: ITU-T E.164 §6.1; specs/identity.md §1.1.
public enum AddressForm {
  /// Nil when `text` cannot be an address of this kind.
  public static func address(_ kind: Address.Kind, _ text: String, countryCode: String = "86") -> Address? {
    let trimmed = text.trimmingBlanks
    guard !trimmed.isEmpty, trimmed.utf8.count <= 320 else { return nil }
    switch kind {
    case .phone, .fax:
      guard let number = e164(trimmed, countryCode: countryCode) else { return nil }
      return Address(kind: kind, canonical: number, raw: trimmed)
    case .email:
      let parts = trimmed.split(separator: "@", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, parts[1].contains("."), !trimmed.contains(where: \.isWhitespace) else {
        return nil
      }
      return Address(kind: kind, canonical: trimmed.lowercased(), raw: trimmed)
    case .shortCode, .other: return Address(kind: kind, canonical: trimmed, raw: trimmed)
    }
  }

  /// `+` and 8 to 15 digits; a leading 0 is the trunk prefix, 11 digits that begin with 1 a mainland mobile number.
  public static func e164(_ text: String, countryCode: String = "86") -> String? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-() ./".utf8.contains($0) }) else { return nil }
    let digits = String(text.filter { $0.isASCII && $0.isNumber })
    let number: String
    if text.hasPrefix("+") {
      number = digits
    } else if digits.hasPrefix("00") {
      number = String(digits.dropFirst(2))
    } else if countryCode == "86", digits.hasPrefix("1"), digits.utf8.count == 11 {
      number = countryCode + digits
    } else if countryCode == "86", digits.hasPrefix("861"), digits.utf8.count == 13 {
      number = digits
    } else if digits.hasPrefix("0") {
      number = countryCode + digits.dropFirst()
    } else {
      return nil
    }
    return (8...15).contains(number.utf8.count) && !number.hasPrefix("0") ? "+" + number : nil
  }
}

extension String {
  var trimmingBlanks: String {
    var view = self[...]
    while let first = view.first, first.isWhitespace { view = view.dropFirst() }
    while let last = view.last, last.isWhitespace { view = view.dropLast() }
    return String(view)
  }
}
