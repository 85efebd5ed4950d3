/// How the octets of a short message stand for characters, whatever number the wire uses to say so.
///
/// Decoding never fails: what cannot be read becomes U+FFFD and is counted, so that a customer's message with one bad
/// octet is still shown to an agent. Encoding fails on the first character the coding lacks.
public enum TextCoding: String, Hashable, Sendable, Codable, CaseIterable {
  /// GSM 03.38 default alphabet, one septet an octet.
  case gsm7
  case ascii
  case latin1
  /// UTF-16BE: real peers send surrogate pairs where the letter of the standard knows only UCS-2.
  case ucs2
  case gb18030
  case utf8
  case cyrillic
  case hebrew
  case shiftJIS = "shift_jis"
  case iso2022JP = "iso_2022_jp"
  case eucKR = "euc_kr"
  /// No text: ring tones, WAP push, what the wire calls octet-unspecified.
  case binary

  /// What iconv calls it; nil where we decode by ourselves.
  private var iconvName: String? {
    switch self {
    case .gb18030: "GB18030"
    case .cyrillic: "ISO-8859-5"
    case .hebrew: "ISO-8859-8"
    case .shiftJIS: "SHIFT_JIS"
    case .iso2022JP: "ISO-2022-JP"
    case .eucKR: "EUC-KR"
    case .gsm7, .ascii, .latin1, .ucs2, .utf8, .binary: nil
    }
  }

  /// `text` is empty for `.binary`. `defects` counts the places where something was replaced.
  public func decode(_ octets: [UInt8]) -> (text: String, defects: Int) {
    switch self {
    case .gsm7: return GSMAlphabet.decode(octets)
    case .ascii: return decodeSingleOctets(octets, above: 0x7f)
    case .latin1: return decodeSingleOctets(octets, above: 0xff)
    case .ucs2: return UTF16Text.decode(octets)
    case .utf8:
      let text = String(decoding: octets, as: UTF8.self)
      return (text, String(validating: octets, as: UTF8.self) == nil ? 1 : 0)
    case .binary: return ("", 0)
    case .gb18030, .cyrillic, .hebrew, .shiftJIS, .iso2022JP, .eucKR:
      guard let name = iconvName, let converter = CharsetConverter(from: name, to: "UTF-8") else {
        return decodeSingleOctets(octets, above: 0x7f)
      }
      return converter.decodeReplacing(octets)
    }
  }

  /// Nil if a character cannot be written in this coding.
  public func encode(_ text: String) -> [UInt8]? {
    switch self {
    case .gsm7: return GSMAlphabet.encode(text)
    case .ascii: return encodeSingleOctets(text, below: 0x80)
    case .latin1: return encodeSingleOctets(text, below: 0x100)
    case .ucs2: return UTF16Text.encode(text)
    case .utf8: return Array(text.utf8)
    case .binary: return nil
    case .gb18030, .cyrillic, .hebrew, .shiftJIS, .iso2022JP, .eucKR:
      guard let name = iconvName, let converter = CharsetConverter(from: "UTF-8", to: name) else { return nil }
      return converter.convert(Array(text.utf8))
    }
  }
}

private func decodeSingleOctets(_ octets: [UInt8], above limit: UInt8) -> (text: String, defects: Int) {
  var text = String.UnicodeScalarView()
  var defects = 0
  for octet in octets {
    if octet > limit {
      text.append("\u{fffd}")
      defects += 1
    } else {
      text.append(Unicode.Scalar(octet))
    }
  }
  return (String(text), defects)
}

private func encodeSingleOctets(_ text: String, below limit: UInt32) -> [UInt8]? {
  var out: [UInt8] = []
  out.reserveCapacity(text.utf8.count)
  for scalar in text.unicodeScalars {
    guard scalar.value < limit else { return nil }
    out.append(UInt8(scalar.value))
  }
  return out
}
