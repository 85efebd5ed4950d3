import Channels
import Crypto

/// A static bearer token: `lsn_` and 52 base-32 digits of 256 random bits. Shown once, when it is made.
///
/// Only its SHA-256 is stored. A plain hash is right here, and a password hash would be wrong: the token has the
/// entropy that a password lacks, and is checked on every request.
public struct AccessToken: Sendable {
  public static let prefix = "lsn_"
  public let text: String

  public init(using generator: inout some RandomNumberGenerator) {
    let bytes = (0..<4).flatMap { _ in withUnsafeBytes(of: generator.next() as UInt64) { Array($0) } }
    text = Self.prefix + base32(bytes)
  }
  public init() {
    var generator = SystemRandomNumberGenerator()
    self.init(using: &generator)
  }

  /// Nil unless it has the form of a token, so that a secret of something else is not looked up.
  public init?(_ text: String) {
    guard text.hasPrefix(Self.prefix), text.utf8.count == 56,
      text.utf8.dropFirst(4).allSatisfy({ base32Digits.contains($0) })
    else { return nil }
    self.text = text
  }

  public var digest: TokenDigest { TokenDigest(of: text) }
}

/// The SHA-256 of a token in lower-case hexadecimal: what the store and the configuration hold.
public struct TokenDigest: Hashable, Sendable, CustomStringConvertible {
  public let description: String

  init(of token: String) {
    var out: [UInt8] = []
    out.reserveCapacity(64)
    for byte in SHA256.hash(data: Array(token.utf8)) {
      out.append(hexDigits[Int(byte >> 4)])
      out.append(hexDigits[Int(byte & 15)])
    }
    description = String(decoding: out, as: UTF8.self)
  }
  /// From its stored form; nil unless 64 lower-case hexadecimal digits.
  public init?(_ text: String) {
    guard text.utf8.count == 64, text.utf8.allSatisfy({ hexDigits.contains($0) }) else { return nil }
    description = text
  }
}

/// What is known of a token.
public struct TokenRecord: Hashable, Sendable {
  public var principal: Principal
  /// Refused from then on; nil never expires.
  public var expiresAt: Timestamp?
  public var revokedAt: Timestamp?
  public init(principal: Principal, expiresAt: Timestamp? = nil, revokedAt: Timestamp? = nil) {
    self.principal = principal
    self.expiresAt = expiresAt
    self.revokedAt = revokedAt
  }
  func isValid(at now: Timestamp) -> Bool {
    (expiresAt.map { now < $0 } ?? true) && (revokedAt.map { now < $0 } ?? true)
  }
}

private let hexDigits = Array("0123456789abcdef".utf8)
private let base32Digits = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)

private func base32(_ bytes: [UInt8]) -> String {
  var out: [UInt8] = []
  var buffer: UInt32 = 0
  var bits = 0
  for byte in bytes {
    buffer = buffer << 8 | UInt32(byte)
    bits += 8
    while bits >= 5 {
      bits -= 5
      out.append(base32Digits[Int(buffer >> UInt32(bits) & 31)])
    }
    buffer &= (1 << UInt32(bits)) - 1
  }
  if bits > 0 { out.append(base32Digits[Int(buffer << UInt32(5 - bits) & 31)]) }
  return String(decoding: out, as: UTF8.self)
}
