import Channels

/// Numbers as exchange, modem and sender write them, brought to E.164 for comparison.
///
/// One line was seen as `01055550199`, `+86 10 55550199`, `+86.10.55550199` and `55550199` (specs/fax.md §8).
public struct NumberPlan: Hashable, Sendable {
  /// Without `+`.
  public var country: String
  /// Without the trunk prefix.
  public var area: String
  public var trunk: String
  public var international: String

  public init(country: String = "86", area: String = "10", trunk: String = "0", international: String = "00") {
    self.country = country
    self.area = area
    self.trunk = trunk
    self.international = international
  }

  /// `raw` unless it is a number of 7 to 15 digits in some form.
  public func canonical(_ raw: String) -> String {
    var digits = ""
    var plus = false
    for character in raw.unicodeScalars {
      switch character {
      case "0"..."9": digits.unicodeScalars.append(character)
      case "+" where digits.isEmpty: plus = true
      case " ", ".", "-", "(", ")", "/": continue
      default: return raw
      }
    }
    guard (7...18).contains(digits.count) else { return raw }
    if plus { return bounded("+" + digits) ?? raw }
    if digits.hasPrefix(international) { return bounded("+" + digits.dropFirst(international.count)) ?? raw }
    if digits.hasPrefix(trunk) { return bounded("+" + country + digits.dropFirst(trunk.count)) ?? raw }
    if digits.hasPrefix(country), digits.count >= 11 { return bounded("+" + digits) ?? raw }
    if digits.count == 11, digits.hasPrefix("1") { return "+" + country + digits }
    return digits.count <= 8 ? "+" + country + area + digits : raw
  }

  public func address(_ raw: String) -> Address { Address(kind: .fax, canonical: canonical(raw), raw: raw) }

  /// Whether `raw` is a number at all, and not a name such as `HUIMIN BANK`.
  public func isNumber(_ raw: String) -> Bool { canonical(raw).hasPrefix("+") }

  private func bounded(_ number: String) -> String? { (8...16).contains(number.count) ? number : nil }
}
