/// Base 64 (RFC 4648 §4), tolerant in: other bytes are skipped, padding in the middle starts anew.
enum Base64 {
  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 0xff, count: 256)
    for (value, digit) in digits.enumerated() { table[Int(digit)] = UInt8(value) }
    table[0x2d] = 62  // URL-safe alphabet, seen in headers of web mailers
    table[0x5f] = 63
    return table
  }()

  static func decode(_ text: some Sequence<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in text {
      if byte == 0x3d {
        bits = 0
        count = 0
        continue
      }
      let value = values[Int(byte)]
      guard value != 0xff else { continue }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return out
  }

  static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var iterator = bytes.makeIterator()
    while let first = iterator.next() {
      let second = iterator.next()
      let third = iterator.next()
      let group = UInt32(first) << 16 | UInt32(second ?? 0) << 8 | UInt32(third ?? 0)
      out.append(digits[Int(group >> 18)])
      out.append(digits[Int(group >> 12 & 63)])
      out.append(second == nil ? 0x3d : digits[Int(group >> 6 & 63)])
      out.append(third == nil ? 0x3d : digits[Int(group & 63)])
    }
    return out
  }
}
