import Channels
import Crypto
import Foundation

/// What a customer is told to quote: ten characters nobody can guess and one that finds a slip, as `7K3M-Q9XW-2PD`.
///
/// Crockford's base 32: no I, L, O, U; when read, I and L are 1 and O is 0, case and separators do not count. The last
/// character is a check over GF(32) that finds every single wrong character and every exchange of two.
public struct ReferenceNumber: Sendable, Hashable, LosslessStringConvertible {
  private let digits: [UInt8]

  /// The number of an arrival: 50 bits of HMAC-SHA256, so the same again after a restart, and no hint at any other.
  public init(for arrival: ArrivalID, key: [UInt8]) {
    let message = Array("liaison reference 1\0\(arrival)".utf8)
    let code = HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key))
    var bits = code.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    var digits: [UInt8] = []
    for _ in 0..<10 {
      digits.append(UInt8(bits >> 59))
      bits <<= 5
    }
    self.digits = digits + [Self.check(digits)]
  }

  /// Nil for anything that is not eleven such characters with the right check character.
  public init?(_ text: String) {
    var digits: [UInt8] = []
    for scalar in text.unicodeScalars {
      switch scalar {
      case "-", " ", "\u{3000}", "\u{2013}", "\u{ff0d}": continue
      default:
        guard digits.count < 11, let digit = Self.value(scalar) else { return nil }
        digits.append(digit)
      }
    }
    guard digits.count == 11, Self.check(Array(digits[..<10])) == digits[10] else { return nil }
    self.digits = digits
  }

  /// `7K3M-Q9XW-2PD`: how it is shown, and stored to be found again.
  public var description: String {
    let characters = digits.map { Character(Unicode.Scalar(Self.alphabet[Int($0)])) }
    return String(characters[0..<4]) + "-" + String(characters[4..<8]) + "-" + String(characters[8..<11])
  }

  private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

  private static func value(_ scalar: Unicode.Scalar) -> UInt8? {
    // Full-width letters and digits are what a Chinese input method gives.
    let code = (0xff01...0xff5e).contains(scalar.value) ? scalar.value - 0xfee0 : scalar.value
    guard var byte = UInt8(exactly: code) else { return nil }
    if (0x61...0x7a).contains(byte) { byte -= 0x20 }
    switch byte {
    case UInt8(ascii: "I"), UInt8(ascii: "L"): return 1
    case UInt8(ascii: "O"): return 0
    default: return alphabet.firstIndex(of: byte).map { UInt8($0) }
    }
  }

  /// Σ αⁱ·dᵢ over GF(32) with x⁵+x²+1: the powers of α differ for all places, hence the promise above.
  private static func check(_ digits: [UInt8]) -> UInt8 {
    func doubled(_ value: UInt8) -> UInt8 { value & 16 == 0 ? value << 1 : (value << 1 ^ 0b100101) & 31 }
    // Horner's scheme from the first place; the check itself stands at power 0.
    return doubled(digits.reduce(0) { doubled($0) ^ $1 })
  }
}
