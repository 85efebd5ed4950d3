/// Reads fields in order from the octets of one PDU; a read past the end is nil and reads nothing.
struct OctetReader {
  let octets: [UInt8]
  private(set) var index: Int

  init(_ octets: [UInt8], at index: Int = 0) {
    self.octets = octets
    self.index = min(index, octets.count)
  }

  var remaining: Int { octets.count - index }

  mutating func uint8() -> UInt8? {
    guard remaining >= 1 else { return nil }
    index += 1
    return octets[index - 1]
  }

  mutating func uint16() -> UInt16? {
    guard remaining >= 2 else { return nil }
    index += 2
    return UInt16(octets[index - 2]) << 8 | UInt16(octets[index - 1])
  }

  mutating func uint32() -> UInt32? {
    guard remaining >= 4 else { return nil }
    index += 4
    var value: UInt32 = 0
    for octet in octets[index - 4..<index] { value = value << 8 | UInt32(octet) }
    return value
  }

  mutating func uint64() -> UInt64? {
    guard remaining >= 8, let high = uint32(), let low = uint32() else { return nil }
    return UInt64(high) << 32 | UInt64(low)
  }

  mutating func take(_ count: Int) -> [UInt8]? {
    guard count >= 0, remaining >= count else { return nil }
    index += count
    return Array(octets[index - count..<index])
  }

  mutating func rest() -> [UInt8] {
    let out = Array(octets[index...])
    index = octets.count
    return out
  }

  /// A C-octet string; nil, nothing read, if its NUL is missing.
  mutating func cString() -> String? {
    guard let end = octets[index...].firstIndex(of: 0) else { return nil }
    let text = String(latin1: octets[index..<end])
    index = end + 1
    return text
  }

  /// A field of fixed size, padded with NULs.
  mutating func padded(_ count: Int) -> String? {
    guard let field = take(count) else { return nil }
    return String(latin1: field.prefix { $0 != 0 })
  }
}

extension String {
  /// One character an octet: keeps what a peer wrote, also where it is no ASCII, so that ids compare as octets.
  init(latin1 octets: some Sequence<UInt8>) {
    var view = String.UnicodeScalarView()
    for octet in octets { view.append(Unicode.Scalar(octet)) }
    self = String(view)
  }

  /// The octets back; characters beyond U+00FF become `?`.
  var latin1Octets: [UInt8] { unicodeScalars.map { $0.value < 0x100 ? UInt8($0.value) : 0x3f } }
}

extension [UInt8] {
  mutating func append(integer value: UInt16) {
    append(UInt8(value >> 8))
    append(UInt8(value & 0xff))
  }
  mutating func append(integer value: UInt32) {
    append(integer: UInt16(value >> 16))
    append(integer: UInt16(value & 0xffff))
  }
  mutating func append(integer value: UInt64) {
    append(integer: UInt32(value >> 32))
    append(integer: UInt32(value & 0xffff_ffff))
  }
  /// At most `maximum - 1` octets of text and a NUL; NULs within are left out.
  mutating func append(cString text: String, maximum: Int) {
    for octet in text.latin1Octets.prefix(maximum - 1) where octet != 0 { append(octet) }
    append(0)
  }
  /// Exactly `count` octets, cut or filled with NULs.
  mutating func append(padded text: String, _ count: Int) {
    let octets = text.latin1Octets.prefix(count)
    append(contentsOf: octets)
    append(contentsOf: repeatElement(0, count: count - octets.count))
  }

  /// Lower-case hexadecimal.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    out.reserveCapacity(count * 2)
    for octet in self {
      out.append(digits[Int(octet >> 4)])
      out.append(digits[Int(octet & 15)])
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Nil unless an even number of hexadecimal digits.
  public init?(hex: some StringProtocol) {
    var out: [UInt8] = []
    var high: UInt8?
    for byte in hex.utf8 {
      let value: UInt8
      switch byte {
      case 0x30...0x39: value = byte - 0x30
      case 0x61...0x66: value = byte - 0x61 + 10
      case 0x41...0x46: value = byte - 0x41 + 10
      default: return nil
      }
      if let first = high {
        out.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    guard high == nil else { return nil }
    self = out
  }
}
