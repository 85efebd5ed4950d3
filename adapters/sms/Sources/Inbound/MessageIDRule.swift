/// How a link's message ids compare: the ids of submit_sm_resp and of receipts are brought to one form.
///
/// SMSCs answer in one base and report in the other, change the case, pad with zeros. The same digits may be valid in
/// both bases, so the base is a setting of each link and never guessed. The form is what both sides are stored and
/// matched by: blanks and NULs off, lower case, leading zeros off where only digits of the base are left, converted to
/// decimal where the setting says in which base each side writes. Ids of up to 64 octets; arithmetic without limit.
/// Source: specs/sms.md §5.3, §5.6.
public struct MessageIDRule: Hashable, Sendable {
  public enum Base: String, Hashable, Sendable, Codable, CaseIterable {
    /// A name like any other: UUIDs, letters.
    case text
    case hexadecimal = "hex"
    case decimal
  }

  public var responses: Base
  public var receipts: Base

  public init(responses: Base = .text, receipts: Base = .text) {
    self.responses = responses
    self.receipts = receipts
  }

  public func canonicalResponse(_ id: String) -> String { canonical(id, responses) }
  public func canonicalReceipt(_ id: String) -> String { canonical(id, receipts) }

  private func canonical(_ id: String, _ base: Base) -> String {
    var text = id.trimmed.lowercased()
    switch base {
    case .text: break
    case .decimal:
      guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return text }
    case .hexadecimal:
      let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : text
      guard let decimal = Self.decimal(ofHexadecimal: digits) else { return text }
      text = decimal
    }
    let stripped = text.drop { $0 == "0" }
    let isNumber = text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    return isNumber && !text.isEmpty ? (stripped.isEmpty ? "0" : String(stripped)) : text
  }

  /// Of any length: ids go beyond 64 bits.
  static func decimal(ofHexadecimal digits: String) -> String? {
    guard !digits.isEmpty, digits.utf8.count <= 64 else { return nil }
    var decimal: [UInt8] = [0]
    for character in digits {
      guard let digit = character.hexDigitValue else { return nil }
      var carry = digit
      for index in decimal.indices {
        let value = Int(decimal[index]) * 16 + carry
        decimal[index] = UInt8(value % 10)
        carry = value / 10
      }
      while carry > 0 {
        decimal.append(UInt8(carry % 10))
        carry /= 10
      }
    }
    return String(decoding: decimal.reversed().map { $0 + 0x30 }, as: UTF8.self)
  }
}
