import Channels

/// Addresses that people and files give, in the form in which they are compared.
///
/// Source: Telephone numbers by `NumberPlan`. Source: specs/identity.md §1.1.
public enum AddressForm {
  /// Nil when `text` cannot be an address of this kind.
  public static func address(_ kind: Address.Kind, _ text: String, countryCode: String = "86") -> Address? {
    let trimmed = text.trimmingBlanks
    guard !trimmed.isEmpty, trimmed.utf8.count <= 320 else { return nil }
    switch kind {
    case .phone, .fax:
      guard let number = NumberPlan(countryCode: countryCode).e164(trimmed) else { return nil }
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
}
