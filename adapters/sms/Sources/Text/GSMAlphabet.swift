/// The GSM 7-bit default alphabet and its extension table, one octet a septet (unpacked), as SMPP carries it.
///
/// 0x00 is `@` and no end of string; 0x1b announces a character of the extension table and so costs two septets. An
/// unknown extension is shown as the basic character of the same code, a lone escape as a space (3GPP TS 23.038 §6.2.1.1).
/// Source: 3GPP TS 23.038 §6.2.1; the tables are generated from specs/sms.md's gsm0338.tsv and compared with it by a test.
public enum GSMAlphabet {
  /// Code point of each septet; 0x1b stands for the escape itself.
  static let basic: [UInt16] = [
    0x0040, 0x00a3, 0x0024, 0x00a5, 0x00e8, 0x00e9, 0x00f9, 0x00ec, 0x00f2, 0x00c7, 0x000a, 0x00d8,
    0x00f8, 0x000d, 0x00c5, 0x00e5, 0x0394, 0x005f, 0x03a6, 0x0393, 0x039b, 0x03a9, 0x03a0, 0x03a8,
    0x03a3, 0x0398, 0x039e, 0x000c, 0x00c6, 0x00e6, 0x00df, 0x00c9, 0x0020, 0x0021, 0x0022, 0x0023,
    0x00a4, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b,
    0x003c, 0x003d, 0x003e, 0x003f, 0x00a1, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f, 0x0050, 0x0051, 0x0052, 0x0053,
    0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x00c4, 0x00d6, 0x00d1, 0x00dc, 0x00a7,
    0x00bf, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b,
    0x006c, 0x006d, 0x006e, 0x006f, 0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007a, 0x00e4, 0x00f6, 0x00f1, 0x00fc, 0x00e0,
  ]

  /// Second septet after the escape and its code point.
  static let extensions: [(septet: UInt8, codePoint: UInt16)] = [
    (0x0a, 0x000c), (0x14, 0x005e), (0x28, 0x007b), (0x29, 0x007d), (0x2f, 0x005c),
    (0x3c, 0x005b), (0x3d, 0x007e), (0x3e, 0x005d), (0x40, 0x007c), (0x65, 0x20ac),
  ]

  public static let escape: UInt8 = 0x1b

  private static let extensionByCode: [UInt8: UInt16] = Dictionary(
    uniqueKeysWithValues: extensions.map { ($0.septet, $0.codePoint) })

  /// Septets of each encodable code point: one, or the escape and a second.
  private static let septetsByScalar: [UInt32: [UInt8]] = {
    var table: [UInt32: [UInt8]] = [:]
    for (code, point) in basic.enumerated() where code != Int(escape) { table[UInt32(point)] = [UInt8(code)] }
    for (code, point) in extensions { table[UInt32(point)] = [escape, code] }
    return table
  }()

  /// Whether the octet after an escape means a character of the extension table.
  static func isExtension(_ octet: UInt8) -> Bool { extensionByCode[octet] != nil }

  /// The septets of one character, one a octet; nil if the alphabet lacks it.
  public static func septets(of scalar: Unicode.Scalar) -> [UInt8]? { septetsByScalar[scalar.value] }

  /// One octet a septet; nil if a character is not in the alphabet. `\r\n` is two characters as everywhere on the wire.
  public static func encode(_ text: String) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      guard let septets = septetsByScalar[scalar.value] else { return nil }
      out.append(contentsOf: septets)
    }
    return out
  }

  /// Octets above 0x7f are no septets: they become U+FFFD and are counted as defects.
  public static func decode(_ octets: some Sequence<UInt8>) -> (text: String, defects: Int) {
    var text = String.UnicodeScalarView()
    var defects = 0
    var escaped = false
    for octet in octets {
      guard octet < 0x80 else {
        text.append("\u{fffd}")
        defects += 1
        escaped = false
        continue
      }
      if escaped {
        escaped = false
        if octet == escape {
          text.append(" ")
          continue
        }
        text.append(Unicode.Scalar(extensionByCode[octet] ?? basic[Int(octet)]) ?? "\u{fffd}")
      } else if octet == escape {
        escaped = true
      } else {
        text.append(Unicode.Scalar(basic[Int(octet)]) ?? "\u{fffd}")
      }
    }
    if escaped {
      text.append(" ")
      defects += 1
    }
    return (String(text), defects)
  }
}
