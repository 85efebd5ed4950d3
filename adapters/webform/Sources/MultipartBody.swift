/// `multipart/form-data` (RFC 7578, RFC 2046 §5.1.1) over a body that is whole and bounded.
///
/// One pass, no copies but of the parts themselves. Strict where leniency would lose something: a body that does not
/// end with its closing delimiter is truncated and so refused. Lenient where browsers differ: bare LF after a
/// boundary, `filename*` and raw UTF-8 names, the path some old ones put before the name of a file.
extension SubmittedBody {
  static func multipart(
    _ body: [UInt8], boundary: String, _ bounds: FormBodyBounds
  ) throws(BodyFault) -> SubmittedBody {
    let mark = Array(boundary.utf8)
    guard (1...70).contains(mark.count) else { throw .malformed("multipart without a boundary of 1 to 70 characters") }
    var scan = MultipartScan(bytes: body, delimiter: Array("\r\n--".utf8) + mark)
    var out = SubmittedBody()
    var count = 0
    try scan.skipPreamble()
    while try scan.beginPart() {
      count += 1
      guard count <= bounds.maximumParts else { throw .tooLarge("more than \(bounds.maximumParts) parts") }
      let headers = try scan.headers(bounds.maximumPartHeaderBytes)
      let content = try scan.content()
      guard let disposition = headers["content-disposition"] else {
        throw .malformed("part \(count) has no Content-Disposition")
      }
      if let encoding = headers["content-transfer-encoding"]?.lowercased(),
        !["7bit", "8bit", "binary"].contains(encoding)
      {
        throw .malformed("part \(count) has a Content-Transfer-Encoding (RFC 7578 §4.7)")
      }
      let parameters = parameters(of: disposition)
      guard parameters.kind == "form-data", let name = parameters.named["name"] else {
        throw .malformed("part \(count) is not form-data with a name")
      }
      if let fileName = parameters.fileName {
        // A file field left empty is sent as a part without name and content.
        if fileName.isEmpty, content.isEmpty { continue }
        let file = File(
          name: lastComponent(fileName), declaredType: headers["content-type"], bytes: Array(content))
        try out.add(name, file, bounds)
      } else {
        guard let text = String(validating: content, as: UTF8.self) else {
          throw .notUTF8("the value of \(printable(name))")
        }
        try out.add(name, text, bounds)
      }
    }
    return out
  }

  private struct Disposition {
    var kind: String
    var named: [String: String] = [:]
    var fileName: String?
  }

  private static func parameters(of header: String) -> Disposition {
    let pieces = splitOutsideQuotes(header, at: ";")
    var out = Disposition(kind: trimmed(pieces[0]).lowercased())
    var extended: String?
    for piece in pieces.dropFirst().prefix(16) {
      guard let equals = piece.firstIndex(of: "=") else { continue }
      let key = trimmed(String(piece[..<equals])).lowercased()
      let value = unquoted(trimmed(String(piece[piece.index(after: equals)...])))
      switch key {
      case "filename*": extended = rfc8187(value)
      // HTML §4.10.21.8: quotes and line breaks within a name arrive percent-encoded.
      case "name", "filename": if out.named[key] == nil { out.named[key] = unescapedByBrowser(value) }
      default: break
      }
    }
    out.fileName = extended ?? out.named["filename"]
    return out
  }

  /// `UTF-8''%e8%ba%ab.pdf`; nil for another charset or bad UTF-8.
  private static func rfc8187(_ value: String) -> String? {
    let pieces = value.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
    guard pieces.count == 3, pieces[0].lowercased() == "utf-8" else { return nil }
    var out: [UInt8] = []
    var rest = Array(pieces[2].utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2, let high = hexDigit(rest[rest.startIndex]),
        let low = hexDigit(rest[rest.startIndex + 1])
      {
        out.append(high << 4 | low)
        rest.removeFirst(2)
      } else {
        out.append(byte)
      }
    }
    return String(validating: out, as: UTF8.self)
  }

  private static func unescapedByBrowser(_ value: String) -> String {
    guard value.contains("%") else { return value }
    var out = ""
    var rest = value[...]
    while let character = rest.first {
      let code = rest.prefix(3).uppercased()
      if let plain = ["%22": "\"", "%0D": "\r", "%0A": "\n"][code] {
        out += plain
        rest.removeFirst(3)
      } else {
        out.append(character)
        rest.removeFirst()
      }
    }
    return out
  }

  private static func lastComponent(_ name: String) -> String? {
    let last = name.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last.map(String.init)
    guard let last, last != ".", last != ".." else { return nil }
    let clean = String(last.filter { !$0.unicodeScalars.contains { $0.properties.generalCategory == .control } })
    return clean.isEmpty ? nil : clean
  }
}

/// A cursor over the bytes; every step is bounded by their end.
private struct MultipartScan {
  let bytes: [UInt8]
  /// CRLF, two hyphens, the boundary.
  let delimiter: [UInt8]
  var index = 0

  /// Up to and past the first delimiter, which may stand at the very start without its CRLF.
  mutating func skipPreamble() throws(BodyFault) {
    let bare = delimiter.dropFirst(2)
    if bytes.starts(with: bare) {
      index = bare.count
    } else if let found = find(delimiter, from: 0) {
      index = found + delimiter.count
    } else {
      throw .malformed("the boundary does not occur in the body")
    }
  }

  /// Just past a delimiter: true before a part, false after the last.
  mutating func beginPart() throws(BodyFault) -> Bool {
    if bytes.count >= index + 2, bytes[index] == 0x2d, bytes[index + 1] == 0x2d { return false }
    while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
    if bytes.count >= index + 2, bytes[index] == 0x0d, bytes[index + 1] == 0x0a {
      index += 2
    } else if index < bytes.count, bytes[index] == 0x0a {
      index += 1
    } else {
      throw .malformed(index >= bytes.count ? "the body is cut off at a boundary" : "something follows a boundary")
    }
    return true
  }

  mutating func headers(_ maximum: Int) throws(BodyFault) -> [String: String] {
    var out: [String: String] = [:]
    let start = index
    while true {
      let limit = min(bytes.count, start + maximum)
      guard let end = bytes[min(index, limit)..<limit].firstIndex(of: 0x0a) else {
        if limit < bytes.count { throw .tooLarge("the headers of a part are longer than \(maximum) bytes") }
        throw .malformed("the body is cut off in the headers of a part")
      }
      let line = bytes[index..<(end > index && bytes[end - 1] == 0x0d ? end - 1 : end)]
      index = end + 1
      if line.isEmpty { return out }
      guard let text = String(validating: line, as: UTF8.self) else { throw .notUTF8("the header of a part") }
      guard let colon = text.firstIndex(of: ":") else { throw .malformed("a part's header line without a colon") }
      let name = text[..<colon].lowercased()
      if out[name] == nil { out[name] = trimmed(String(text[text.index(after: colon)...])) }
    }
  }

  /// Up to the next delimiter, which is passed.
  mutating func content() throws(BodyFault) -> ArraySlice<UInt8> {
    // The CRLF that ends the headers may also open the delimiter of an empty part.
    let from = max(0, index - 2)
    guard let found = find(delimiter, from: from) else {
      throw .malformed("the body is cut off in the content of a part")
    }
    let content = bytes[index..<max(index, found)]
    index = found + delimiter.count
    return content
  }

  private func find(_ wanted: [UInt8], from start: Int) -> Int? {
    bytes.withUnsafeBufferPointer { all in
      wanted.withUnsafeBufferPointer { wanted in
        var at = start
        let last = all.count - wanted.count
        while at <= last {
          // The second byte of a delimiter is always LF after CR: rare in text, so most places fail at once.
          if all[at] == wanted[0], all[at + 1] == wanted[1] {
            var length = 2
            while length < wanted.count, all[at + length] == wanted[length] { length += 1 }
            if length == wanted.count { return at }
          }
          at += 1
        }
        return nil
      }
    }
  }
}
