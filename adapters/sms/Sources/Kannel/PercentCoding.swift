/// Percent-coding of URL query values, octet for octet: Kannel sends UTF-16 in them, which no text type survives.
public enum PercentCoding {
  /// Leaves only RFC 3986's unreserved characters as they are.
  public static func encode(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count * 3)
    for octet in text.utf8 {
      switch octet {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.append(octet)
      default:
        out.append(0x25)
        out.append(digits[Int(octet >> 4)])
        out.append(digits[Int(octet & 15)])
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// `+` is a blank; a `%` without two digits stays as it is.
  public static func decode(_ text: some StringProtocol) -> [UInt8] {
    func value(_ octet: UInt8) -> UInt8? {
      switch octet {
      case 0x30...0x39: octet - 0x30
      case 0x41...0x46: octet - 0x37
      case 0x61...0x66: octet - 0x57
      default: nil
      }
    }
    let octets = Array(text.utf8)
    var out: [UInt8] = []
    out.reserveCapacity(octets.count)
    var index = 0
    while index < octets.count {
      if octets[index] == 0x25, index + 2 < octets.count, let high = value(octets[index + 1]),
        let low = value(octets[index + 2])
      {
        out.append(high << 4 | low)
        index += 3
      } else {
        out.append(octets[index] == 0x2b ? 0x20 : octets[index])
        index += 1
      }
    }
    return out
  }

  /// The last value of each name of a query string; at most 100 names are read.
  public static func query(_ text: some StringProtocol) -> [String: [UInt8]] {
    var out: [String: [UInt8]] = [:]
    for pair in text.split(separator: "&").prefix(100) {
      let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = halves.first else { continue }
      out[String(decoding: decode(name), as: UTF8.self)] = halves.count == 2 ? decode(halves[1]) : []
    }
    return out
  }
}
