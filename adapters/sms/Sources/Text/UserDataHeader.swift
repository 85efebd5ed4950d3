/// The header in front of a short message's text: which part of what it is, which port it is for.
///
/// Source: 3GPP TS 23.040 §9.2.3.24. Of an element given twice the last counts; unknown elements are kept and passed
/// over; a concatenation that contradicts itself (part 0, part 3 of 2) is as if it were absent (§9.2.3.24.1).
public struct UserDataHeader: Hashable, Sendable {
  public struct Element: Hashable, Sendable {
    public var id: UInt8
    public var octets: [UInt8]
    public init(id: UInt8, octets: [UInt8]) {
      self.id = id
      self.octets = octets
    }
  }

  public var elements: [Element]

  public init(elements: [Element]) { self.elements = elements }

  /// Splits off the header. Nil if the octets do not hold what the length octets promise.
  public static func split(_ octets: [UInt8]) -> (header: UserDataHeader, rest: [UInt8])? {
    guard let length = octets.first.map(Int.init), length + 1 <= octets.count else { return nil }
    var elements: [Element] = []
    var index = 1
    let end = length + 1
    while index < end {
      guard index + 2 <= end else { return nil }
      let count = Int(octets[index + 1])
      guard index + 2 + count <= end else { return nil }
      elements.append(Element(id: octets[index], octets: Array(octets[index + 2..<index + 2 + count])))
      index += 2 + count
    }
    return (UserDataHeader(elements: elements), Array(octets[end...]))
  }

  public var encoded: [UInt8] {
    var out: [UInt8] = [0]
    for element in elements {
      out.append(element.id)
      out.append(UInt8(truncatingIfNeeded: element.octets.count))
      out.append(contentsOf: element.octets)
    }
    out[0] = UInt8(truncatingIfNeeded: out.count - 1)
    return out
  }

  /// 0x00: 8-bit reference; 0x08: 16-bit reference.
  public var concatenation: Concatenation? {
    for element in elements.reversed() {
      let o = element.octets
      if element.id == 0x00, o.count == 3 {
        return Concatenation(reference: UInt16(o[0]), wide: false, total: o[1], number: o[2])
      }
      if element.id == 0x08, o.count == 4 {
        return Concatenation(reference: UInt16(o[0]) << 8 | UInt16(o[1]), wide: true, total: o[2], number: o[3])
      }
    }
    return nil
  }

  /// 0x05: application port addressing, 16 bit; 0x04: 8 bit.
  public var destinationPort: UInt16? {
    for element in elements.reversed() {
      if element.id == 0x05, element.octets.count == 4 {
        return UInt16(element.octets[0]) << 8 | UInt16(element.octets[1])
      }
      if element.id == 0x04, element.octets.count == 2 { return UInt16(element.octets[0]) }
    }
    return nil
  }
}

/// Which part of which message: from a user data header, the SAR TLVs, or CMPP's Pk fields.
public struct Concatenation: Hashable, Sendable {
  public var reference: UInt16
  /// From a 16-bit reference; an 8-bit one of the same value names another message.
  public var wide: Bool
  public var total: Int
  public var number: Int

  /// Nil if it contradicts itself.
  public init?(reference: UInt16, wide: Bool, total: UInt8, number: UInt8) {
    guard number >= 1, number <= total else { return nil }
    self.reference = reference
    self.wide = wide
    self.total = Int(total)
    self.number = Int(number)
  }

  public func header() -> UserDataHeader {
    let numbers = [UInt8(truncatingIfNeeded: total), UInt8(truncatingIfNeeded: number)]
    let low = UInt8(reference & 0xff)
    return wide
      ? UserDataHeader(elements: [.init(id: 0x08, octets: [UInt8(reference >> 8), low] + numbers)])
      : UserDataHeader(elements: [.init(id: 0x00, octets: [low] + numbers)])
  }
}
