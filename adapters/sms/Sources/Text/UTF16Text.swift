/// UCS-2 as it is really sent: UTF-16, high octet first, sometimes with a byte-order mark that must not be shown.
///
/// FE FF at the start is dropped; FF FE says the peer sends the low octet first, and is obeyed. Half a surrogate pair
/// (Kannel cuts pairs between parts) and an odd last octet become U+FFFD. Parts are joined before decoding, so a pair
/// cut between two parts is whole again. Source: specs/sms.md §5.10, §9.
public enum UTF16Text {
  public static func decode(_ octets: [UInt8]) -> (text: String, defects: Int) {
    var start = 0
    var lowFirst = false
    if octets.count >= 2 {
      if octets[0] == 0xfe, octets[1] == 0xff { start = 2 }
      if octets[0] == 0xff, octets[1] == 0xfe {
        start = 2
        lowFirst = true
      }
    }
    var units: [UInt16] = []
    units.reserveCapacity((octets.count - start) / 2)
    var index = start
    while index + 1 < octets.count {
      let first = UInt16(octets[index])
      let second = UInt16(octets[index + 1])
      units.append(lowFirst ? second << 8 | first : first << 8 | second)
      index += 2
    }
    var text = String.UnicodeScalarView()
    var defects = 0
    var position = 0
    while position < units.count {
      let unit = units[position]
      position += 1
      if let scalar = Unicode.Scalar(unit) {
        text.append(scalar)
      } else if UTF16.isLeadSurrogate(unit), position < units.count, UTF16.isTrailSurrogate(units[position]) {
        text.append(UTF16.decode(UTF16.EncodedScalar([unit, units[position]])))
        position += 1
      } else {
        text.append("\u{fffd}")
        defects += 1
      }
    }
    if index < octets.count {
      text.append("\u{fffd}")
      defects += 1
    }
    return (String(text), defects)
  }

  public static func encode(_ text: String) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf16.count * 2)
    for unit in text.utf16 {
      out.append(UInt8(unit >> 8))
      out.append(UInt8(unit & 0xff))
    }
    return out
  }

  /// The octets without a byte-order mark that says what is expected anyway: dropped from each part before joining.
  static func withoutMark(_ octets: [UInt8]) -> [UInt8] {
    octets.count >= 2 && octets[0] == 0xfe && octets[1] == 0xff ? Array(octets[2...]) : octets
  }
}
