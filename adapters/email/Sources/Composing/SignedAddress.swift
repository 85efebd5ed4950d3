import Crypto

/// Addresses that come back and can be believed: `service+request_01h….k3m9…@bank.example`.
///
/// The tag after the plus is a token and the first 80 bits of HMAC-SHA-256 over purpose, mailbox and token, in
/// Crockford's base 32: fit for a local part, and not to be forged without the key. Two purposes, which cannot stand
/// for each other: a reply to a service request, and a report about an attempt (VERP). Old keys still verify, the
/// first signs.
/// Source: specs/email.md §6, §7; RFC 5233 (subaddress).
public struct SignedAddress: Sendable {
  public enum Purpose: String, Sendable, CaseIterable { case reply, bounce }

  private let keys: [[UInt8]]

  /// - Parameter keys: at least one; secret; the first is used to sign.
  public init(keys: [[UInt8]]) {
    precondition(!keys.isEmpty, "an address is signed with a key")
    self.keys = keys
  }

  /// `mailbox` with the signed tag. Lower case throughout: local parts are often lowered on their way.
  public func address(_ purpose: Purpose, token: String, mailbox: String) -> String {
    let (local, host) = Self.split(mailbox)
    let body = token.lowercased()
    return "\(local)+\(body).\(tag(purpose, body, local: local, host: host, key: keys[0]))@\(host)"
  }

  /// The token, if `address` bears a tag of ours for `purpose` whose signature holds.
  public func token(_ purpose: Purpose, in address: String) -> String? {
    let (local, host) = Self.split(address.lowercased())
    guard let plus = local.firstIndex(of: "+") else { return nil }
    let base = String(local[..<plus])
    let rest = local[local.index(after: plus)...]
    guard let dot = rest.lastIndex(of: "."), dot != rest.startIndex else { return nil }
    let body = String(rest[..<dot])
    let given = Array(rest[rest.index(after: dot)...].utf8)
    for key in keys {
      let wanted = Array(tag(purpose, body, local: base, host: host, key: key).utf8)
      guard wanted.count == given.count else { continue }
      // Every byte is compared, whatever differs: no timing tells how far a guess was right.
      if zip(wanted, given).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 { return body }
    }
    return nil
  }

  private func tag(_ purpose: Purpose, _ body: String, local: String, host: String, key: [UInt8]) -> String {
    let mac = HMAC<SHA256>.authenticationCode(
      for: Array("\(purpose.rawValue)\n\(local.lowercased())@\(host.lowercased())\n\(body)".utf8),
      using: SymmetricKey(data: key))
    let digits = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
    var out: [UInt8] = []
    var bits = 0
    var value: UInt32 = 0
    for byte in mac.prefix(10) {
      value = value << 8 | UInt32(byte)
      bits += 8
      while bits >= 5 {
        bits -= 5
        out.append(digits[Int(value >> UInt32(bits) & 31)])
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func split(_ address: String) -> (local: String, host: String) {
    guard let at = address.lastIndex(of: "@") else { return (address, "") }
    return (String(address[..<at]), String(address[address.index(after: at)...]))
  }
}
