/// A language with tables of its own in the GSM alphabet, announced in the user data header.
///
/// A *single shift* table (element 0x24) takes the place of the extension table, a *locking shift* table (0x25) that of
/// the basic one. Spanish has no locking table. Of languages not known here the default tables hold, as a handset does
/// that does not know them. Source: 3GPP TS 23.038 §6.2.1.2 and annex A; TS 23.040 §9.2.3.24.15, 16.
public enum NationalLanguage: UInt8, Hashable, Sendable, CaseIterable {
  case turkish = 1
  case spanish = 2
  case portuguese = 3

  /// As a configuration names it.
  public var word: String {
    switch self {
    case .turkish: "turkish"
    case .spanish: "spanish"
    case .portuguese: "portuguese"
    }
  }
  public init?(word: String) {
    guard let found = Self.allCases.first(where: { $0.word == word }) else { return nil }
    self = found
  }

  var hasLockingTable: Bool { self != .spanish }

  /// What differs from the basic table: septet → code point.
  fileprivate var locking: [UInt8: UInt16] {
    switch self {
    case .spanish: [:]
    case .turkish:
      [
        0x04: 0x20ac, 0x07: 0x0131, 0x0b: 0x011e, 0x0c: 0x011f, 0x1c: 0x015e, 0x1d: 0x015f, 0x40: 0x0130, 0x60: 0x00e7,
      ]
    case .portuguese:
      [
        0x04: 0x00ea, 0x06: 0x00fa, 0x07: 0x00ed, 0x08: 0x00f3, 0x09: 0x00e7, 0x0b: 0x00d4, 0x0c: 0x00f4, 0x0e: 0x00c1,
        0x0f: 0x00e1, 0x12: 0x00aa, 0x13: 0x00c7, 0x14: 0x00c0, 0x15: 0x221e, 0x16: 0x005e, 0x17: 0x005c, 0x18: 0x20ac,
        0x19: 0x00d3, 0x1a: 0x007c, 0x1c: 0x00c2, 0x1d: 0x00e2, 0x1e: 0x00ca, 0x1f: 0x00c9, 0x24: 0x00ba, 0x40: 0x00cd,
        0x5b: 0x00c3, 0x5c: 0x00d5, 0x5d: 0x00da, 0x5e: 0x00dc, 0x5f: 0x00a7, 0x60: 0x007e, 0x7b: 0x00e3, 0x7c: 0x00f5,
        0x7d: 0x0060, 0x7e: 0x00fc, 0x7f: 0x00e0,
      ]
    }
  }

  /// What it has beyond the extension table.
  fileprivate var single: [UInt8: UInt16] {
    switch self {
    case .turkish:
      [0x47: 0x011e, 0x49: 0x0130, 0x53: 0x015e, 0x63: 0x00e7, 0x67: 0x011f, 0x69: 0x0131, 0x73: 0x015f]
    case .spanish:
      [
        0x09: 0x00e7, 0x41: 0x00c1, 0x49: 0x00cd, 0x4f: 0x00d3, 0x55: 0x00da, 0x61: 0x00e1, 0x69: 0x00ed, 0x6f: 0x00f3,
        0x75: 0x00fa,
      ]
    case .portuguese:
      [
        0x05: 0x00ea, 0x09: 0x00e7, 0x0b: 0x00d4, 0x0c: 0x00f4, 0x0e: 0x00c1, 0x0f: 0x00e1, 0x12: 0x03a6, 0x13: 0x0393,
        0x15: 0x03a9, 0x16: 0x03a0, 0x17: 0x03a8, 0x18: 0x03a3, 0x19: 0x0398, 0x1f: 0x00ca, 0x41: 0x00c0, 0x49: 0x00cd,
        0x4f: 0x00d3, 0x55: 0x00da, 0x5b: 0x00c3, 0x5c: 0x00d5, 0x61: 0x00c2, 0x69: 0x00ed, 0x6f: 0x00f3, 0x75: 0x00fa,
        0x7b: 0x00e3, 0x7c: 0x00f5, 0x7f: 0x00e2,
      ]
    }
  }
}

/// Which tables hold for one short message. Neither: the default alphabet.
public struct NationalTables: Hashable, Sendable {
  public var single: NationalLanguage?
  public var locking: NationalLanguage?

  public init(single: NationalLanguage? = nil, locking: NationalLanguage? = nil) {
    self.single = single
    self.locking = locking
  }

  public static let none = NationalTables()

  /// The elements that announce them.
  var elements: [UserDataHeader.Element] {
    [single.map { .init(id: 0x24, octets: [$0.rawValue]) }, locking.map { .init(id: 0x25, octets: [$0.rawValue]) }]
      .compactMap(\.self)
  }

  /// Like `GSMAlphabet.decode`.
  public func decode(_ octets: some Sequence<UInt8>) -> (text: String, defects: Int) {
    guard self != .none else { return GSMAlphabet.decode(octets) }
    let (locking, single) = (locking?.locking ?? [:], single?.single ?? [:])
    var text = String.UnicodeScalarView()
    var defects = 0
    var isEscaped = false
    for octet in octets {
      guard octet < 0x80 else {
        text.append("\u{fffd}")
        defects += 1
        isEscaped = false
        continue
      }
      if isEscaped {
        isEscaped = false
        if let point = single[octet] {
          text.append(Unicode.Scalar(point) ?? "\u{fffd}")
        } else if GSMAlphabet.isExtension(octet) || octet == GSMAlphabet.escape {
          text += GSMAlphabet.decode([GSMAlphabet.escape, octet]).text.unicodeScalars
        } else if let point = locking[octet] {
          text.append(Unicode.Scalar(point) ?? "\u{fffd}")
        } else {
          text += GSMAlphabet.decode([octet]).text.unicodeScalars
        }
      } else if octet == GSMAlphabet.escape {
        isEscaped = true
      } else if let point = locking[octet] {
        text.append(Unicode.Scalar(point) ?? "\u{fffd}")
      } else {
        text += GSMAlphabet.decode([octet]).text.unicodeScalars
      }
    }
    if isEscaped {
      text.append(" ")
      defects += 1
    }
    return (String(text), defects)
  }

  /// The septets of one character, one an octet; nil if these tables lack it.
  func septets(of scalar: Unicode.Scalar) -> [UInt8]? {
    if let locking = locking?.locking {
      if let septet = locking.first(where: { $0.value == scalar.value })?.key { return [septet] }
      if let own = GSMAlphabet.septets(of: scalar) {
        // Taken by another character in the locking table.
        if own.count > 1 || locking[own[0]] == nil { return own }
      }
    } else if let own = GSMAlphabet.septets(of: scalar) {
      return own
    }
    return single?.single.first { $0.value == scalar.value }.map { [GSMAlphabet.escape, $0.key] }
  }

  func encode(_ text: String) -> [UInt8]? {
    guard self != .none else { return GSMAlphabet.encode(text) }
    var out: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard let septets = septets(of: scalar) else { return nil }
      out += septets
    }
    return out
  }
}

extension UserDataHeader {
  /// 0x24 and 0x25; a language not known here is as if it were not named.
  public var tables: NationalTables {
    var tables = NationalTables()
    for element in elements where element.octets.count == 1 {
      if element.id == 0x24 { tables.single = NationalLanguage(rawValue: element.octets[0]) }
      if element.id == 0x25 { tables.locking = NationalLanguage(rawValue: element.octets[0]) }
    }
    if tables.locking?.hasLockingTable == false { tables.locking = nil }
    return tables
  }
}
