/// Header fields on the way out: RFC 2047 words, RFC 2231 parameters, folding. CRLF ends.
enum HeaderWriter {
  /// The longest encoded text of one word: 45 octets of UTF-8 make 60 of base 64, 72 with `=?UTF-8?B?…?=`.
  static let maximumWordOctets = 45

  /// A line for an unstructured field. ASCII goes as it is, anything else as B words, one a line, cut at characters.
  static func unstructured(_ name: String, _ text: String) -> String {
    let clean = withoutControls(text)
    if isPlain(clean) { return fold(name + ": " + clean) }
    return name + ": " + words(clean).joined(separator: "\r\n ") + "\r\n"
  }

  /// `Name <address>`.
  static func mailbox(_ field: String, name: String?, address: String) -> String {
    let clean = withoutControls(address).filter { $0 != "<" && $0 != ">" && $0 != " " }
    guard let name = name.map(withoutControls), !name.isEmpty else { return "\(field): <\(clean)>\r\n" }
    if isPlain(name) {
      let quoted = name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      return "\(field): \"\(quoted)\"\r\n <\(clean)>\r\n"
    }
    return "\(field): " + words(name).joined(separator: "\r\n ") + "\r\n <\(clean)>\r\n"
  }

  /// Message ids, one a line.
  static func ids(_ name: String, _ ids: [String]) -> String {
    name + ": "
      + ids.map { "<" + withoutControls($0).filter { $0 != " " && $0 != "<" && $0 != ">" } + ">" }
      .joined(separator: "\r\n ") + "\r\n"
  }

  /// A file name as both RFC 2231 (`filename*=`) and, for readers that know only that, a quoted RFC 2047 word.
  static func fileName(_ parameter: String, _ name: String) -> String {
    let clean = withoutControls(name).replacing("\"", with: "'").replacing("\\", with: "_").replacing("/", with: "_")
    if isPlain(clean), clean.utf8.count <= 60 { return ";\r\n \(parameter)=\"\(clean)\"" }
    let legacy = ";\r\n \(parameter)=\"" + words(clean).joined(separator: "\r\n ") + "\""
    if parameter == "name" { return legacy }
    return legacy + extended(parameter, clean)
  }

  /// RFC 2231 §3, §4: sections of at most 60 octets, cut between escapes.
  private static func extended(_ parameter: String, _ text: String) -> String {
    var sections: [String] = []
    var current = ""
    for byte in text.utf8 {
      let plain =
        (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
        || byte == 0x2e || byte == 0x2d || byte == 0x5f
      let escaped = plain ? String(UnicodeScalar(byte)) : "%" + hex(byte)
      if current.utf8.count + escaped.utf8.count > 48 {
        sections.append(current)
        current = ""
      }
      current += escaped
    }
    sections.append(current)
    if sections.count == 1 { return ";\r\n \(parameter)*=UTF-8''\(sections[0])" }
    return sections.enumerated().map { position, section in
      ";\r\n \(parameter)*\(position)*=" + (position == 0 ? "UTF-8''" : "") + section
    }.joined()
  }

  private static func hex(_ byte: UInt8) -> String {
    let digits = Array("0123456789ABCDEF")
    return String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
  }

  /// B words of at most 45 octets each, cut at characters.
  static func words(_ text: String) -> [String] {
    var out: [String] = []
    var piece: [UInt8] = []
    func flush() {
      if !piece.isEmpty { out.append("=?UTF-8?B?" + String(decoding: Base64.encode(piece), as: UTF8.self) + "?=") }
      piece = []
    }
    for character in text {
      let bytes = Array(String(character).utf8)
      if piece.count + bytes.count > maximumWordOctets { flush() }
      if bytes.count > maximumWordOctets {
        // One character of many scalars: cut at scalars, never inside one.
        for scalar in character.unicodeScalars {
          let part = Array(String(scalar).utf8)
          if piece.count + part.count > maximumWordOctets { flush() }
          piece += part
        }
      } else {
        piece += bytes
      }
    }
    flush()
    return out
  }

  private static func isPlain(_ text: String) -> Bool {
    text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f } && !text.has("=?")
  }

  /// Whoever puts a line end into a subject wants a header of his own: blanks instead.
  static func withoutControls(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else { return text }
    return foldBlanks(
      String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 })))
  }

  /// Lines of at most 76 octets where blanks allow it, 998 in any case (RFC 5322 §2.1.1).
  private static func fold(_ line: String) -> String {
    guard line.utf8.count > 76 else { return line + "\r\n" }
    var out = ""
    var length = 0
    for word in line.split(separator: " ", omittingEmptySubsequences: false) {
      if length > 0, length + 1 + word.utf8.count > 76 {
        out += "\r\n "
        length = 1
      } else if length > 0 {
        out += " "
        length += 1
      }
      var rest = word.utf8[...]
      while rest.count > 900 {
        out += String(decoding: rest.prefix(900), as: UTF8.self) + "\r\n "
        rest = rest.dropFirst(900)
      }
      out += String(decoding: rest, as: UTF8.self)
      length += rest.count
    }
    return out + "\r\n"
  }
}
