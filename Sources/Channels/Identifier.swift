/// What an identifier names; gives the prefix under which it is shown.
public protocol IdentifierKind: Sendable {
  /// 1–63 lower-case ASCII letters or underscores, for example `arrival` (TypeID 0.3, "Prefix").
  static var prefix: String { get }
}

/// A UUIDv7 (RFC 9562 §5.7) shown as a TypeID: `arrival_01jdf3…`.
///
/// Stored and sent in its text form only, so an operator can paste what a log shows into a query. Identifiers made
/// later sort later; within a millisecond the 12 bits of `rand_a` hold the fraction (RFC 9562 §6.2, method 3).
public struct Identifier<Kind: IdentifierKind>: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
  private let high: UInt64
  private let low: UInt64

  public init(at time: Timestamp, using generator: inout some RandomNumberGenerator) {
    self.init(at: time, random: generator.next())
  }

  public init(at time: Timestamp) {
    self.init(at: time, random: .random(in: .min ... .max))
  }

  private init(at time: Timestamp, random: UInt64) {
    let millis = UInt64(truncatingIfNeeded: max(0, time.milliseconds)) & 0xffff_ffff_ffff
    let fraction = UInt64(max(0, time.microseconds - time.milliseconds * 1_000)) * 4_096 / 1_000
    high = millis << 16 | 0x7000 | fraction & 0xfff
    low = random & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
  }

  /// Nil unless `text` is this kind's prefix, an underscore, and 26 characters of TypeID's base 32.
  public init?(_ text: String) {
    var text = text
    guard let parsed = text.withUTF8({ Self.parse($0) }) else { return nil }
    (high, low) = parsed
  }

  private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> (UInt64, UInt64)? {
    let prefix = Kind.prefix.utf8
    guard bytes.count == prefix.count + 27, bytes.starts(with: prefix), bytes[prefix.count] == 0x5f else { return nil }
    var high: UInt64 = 0
    var low: UInt64 = 0
    let start = prefix.count + 1
    for position in start..<bytes.count {
      let digit = digitValues[Int(bytes[position])]
      guard digit < (position == start ? 8 : 32) else { return nil }
      high = high << 5 | low >> 59
      low = low << 5 | UInt64(digit)
    }
    return (high, low)
  }

  public var description: String {
    let prefix = Kind.prefix.utf8
    let count = prefix.count + 27
    return String(unsafeUninitializedCapacity: count) { buffer in
      var index = 0
      for byte in prefix {
        buffer[index] = byte
        index += 1
      }
      buffer[index] = 0x5f
      var high = high
      var low = low
      for position in stride(from: count - 1, to: index, by: -1) {
        buffer[position] = alphabet[Int(low & 31)]
        low = low >> 5 | high << 59
        high >>= 5
      }
      return count
    }
  }

  public static func < (a: Self, b: Self) -> Bool { (a.high, a.low) < (b.high, b.low) }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Self(text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a \(Kind.prefix) id: \(text)")
    }
    self = value
  }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// Crockford's base 32 in lower case, the digits of a TypeID.
private let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
/// By byte; 255 for what is no digit.
private let digitValues: [UInt8] = (0..<256).map { byte in
  alphabet.firstIndex(of: UInt8(byte)).map { UInt8($0) } ?? 255
}

public enum ArrivalKind: IdentifierKind { public static let prefix = "arrival" }
/// Names one kept arrival; what a wire is told about is this.
public typealias ArrivalID = Identifier<ArrivalKind>

public enum AttemptKind: IdentifierKind { public static let prefix = "attempt" }
/// Names one outbound attempt; its wire identity is derived from it and so is the same after a restart.
public typealias AttemptID = Identifier<AttemptKind>
