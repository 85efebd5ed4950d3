/// Who may call: the secret in the path, compared without telling by its timing, and the caller's address.
struct CallbackGate: Hashable, Sendable {
  /// The last path component before `/mo` and `/dlr`; at least 16 characters.
  var secret: String
  /// Numeric addresses or networks (`10.1.0.0/16`); empty: any.
  var sources: [String]

  func admits(_ request: CallbackRequest) -> Bool {
    let components = request.path.split(separator: "/")
    guard components.count >= 2 else { return false }
    let given = Array(components[components.count - 2].utf8)
    let wanted = Array(secret.utf8)
    guard !wanted.isEmpty else { return false }
    var difference = given.count ^ wanted.count
    for index in wanted.indices { difference |= Int(wanted[index] ^ (index < given.count ? given[index] : 0)) }
    guard difference == 0 else { return false }
    return sources.isEmpty || sources.contains { CallbackSource.contains(request.sourceAddress, in: $0) }
  }
}

/// An address or network that callbacks may come from. Pure.
public enum CallbackSource {
  /// `10.1.0.5`, `10.1.0.0/16`, or an IPv6 address as the system writes it.
  public static func isValid(_ text: String) -> Bool {
    let halves = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    if halves.count == 2 {
      return ipv4(String(halves[0])) != nil && Int(halves[1]).map { (0...32).contains($0) } ?? false
    }
    return ipv4(text) != nil
      || text.contains(":") && text.utf8.allSatisfy { $0 == 0x3a || Unicode.Scalar($0).properties.isASCIIHexDigit }
  }

  static func contains(_ address: String, in network: String) -> Bool {
    var address = address.lowercased()
    if address.hasPrefix("::ffff:"), address.contains(".") { address = String(address.dropFirst(7)) }
    let halves = network.split(separator: "/", maxSplits: 1)
    guard halves.count == 2, let bits = Int(halves[1]), (0...32).contains(bits), let base = ipv4(String(halves[0])),
      let own = ipv4(address)
    else { return address == network.lowercased() }
    return bits == 0 || base >> UInt32(32 - bits) == own >> UInt32(32 - bits)
  }

  private static func ipv4(_ text: String) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard let part else { return nil }
      value = value << 8 | UInt32(part)
    }
    return value
  }
}
