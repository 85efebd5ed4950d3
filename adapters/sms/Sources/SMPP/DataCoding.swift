/// What data_coding says of a text. Source: SMPP 3.4 §5.2.19, 3GPP TS 23.038 §4 for the groups from 0xc0.
///
/// Deviations of real links are obeyed: 0x10–0x1f read by TS 23.038 (class bits; 0x18 is UCS-2), 15 is GB18030 on
/// Chinese links, 4 means UCS-2 where the link's profile sends UCS-2 so.
public enum DataCoding {
  /// `defaultAlphabet` is the link's meaning of 0.
  public static func coding(_ octet: UInt8, on profile: TextProfile) -> TextCoding {
    if octet == profile.ucs2DataCoding { return .ucs2 }
    switch octet {
    case 0x00: return profile.defaultAlphabet.coding
    case 0x01: return .ascii
    case 0x02, 0x04: return .binary
    case 0x03: return .latin1
    case 0x05: return .shiftJIS
    case 0x06: return .cyrillic
    case 0x07: return .hebrew
    case 0x08: return .ucs2
    case 0x0a, 0x0d: return .iso2022JP
    case 0x0e: return .eucKR
    case 0x0f: return .gb18030
    case 0x10...0x1f, 0x30...0x3f:
      switch octet & 0x0c {
      case 0x00: return profile.defaultAlphabet.coding
      case 0x08: return .ucs2
      default: return .binary
      }
    case 0xc0...0xdf: return profile.defaultAlphabet.coding
    case 0xe0...0xef: return .ucs2
    case 0xf0...0xff: return octet & 0x04 == 0 ? profile.defaultAlphabet.coding : .binary
    // Reserved: the default alphabet is what TS 23.038 §4 tells receivers to assume.
    default: return profile.defaultAlphabet.coding
    }
  }
}
