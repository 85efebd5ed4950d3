/// Content-Type and Content-Disposition: a value and its parameters, in every encoding senders use.
///
/// Parameters: RFC 2231 sections (`name*0*=`) in any order, plain continuations (`name*0=`), a charset in the first
/// section; RFC 2047 words inside quotes; raw 8-bit bytes; `%`-escapes without a charset. When both the RFC 2231 form
/// and the plain one are given the former wins (RFC 6266 §4.3, and senders add the plain one as a fall-back).
struct ContentField: Sendable {
  /// Lower case: `text/plain`, `attachment`. Empty if the field has none.
  var value: String
  /// Decoded; keys in lower case.
  var parameters: [String: String]

  init(_ bytes: [UInt8], hints: Charset.Hints) {
    var scanner = ParameterScanner(bytes)
    value = scanner.leadingValue()
    parameters = [:]
    var sections: [String: [Int: (bytes: [UInt8], encoded: Bool)]] = [:]
    var extended: [String: [UInt8]] = [:]
    var count = 0
    while count < 200, let (rawName, rawValue) = scanner.next() {
      count += 1
      var name = rawName
      var encoded = false
      if name.hasSuffix("*") {
        encoded = true
        name.removeLast()
      }
      if let star = name.lastIndex(of: "*"), let number = Int(name[name.index(after: star)...]), number < 1_000 {
        sections[String(name[..<star]), default: [:]][number] = (rawValue, encoded)
      } else if encoded {
        if extended[name] == nil { extended[name] = rawValue }
      } else if parameters[name] == nil {
        parameters[name] = plainValue(rawValue, hints)
      }
    }
    for (name, raw) in extended { parameters[name] = decodeExtended(raw, hints) }
    for (name, parts) in sections { parameters[name] = joinSections(parts, hints) }
  }
}

/// Encoded words decoded; `%`-escapes too if they are those of UTF-8 text, which web mailers write without saying so.
private func plainValue(_ raw: [UInt8], _ hints: Charset.Hints) -> String {
  if raw.contains(0x25), !raw.contains(where: { $0 >= 0x80 }) {
    let bytes = percentDecoded(raw)
    if bytes.contains(where: { $0 >= 0x80 }), let text = String(validating: bytes, as: UTF8.self) { return text }
  }
  return EncodedWords.decode(raw, hints: hints).trimmedBlanks
}

/// `charset'language'percent-escaped`.
private func decodeExtended(_ raw: [UInt8], _ hints: Charset.Hints) -> String {
  let (label, rest) = splitCharset(raw)
  let text = Charset.decode(percentDecoded(rest), label: label, hints: hints)
  return text.has("=?") ? EncodedWords.decode(Array(text.utf8), hints: hints) : text
}

private func joinSections(_ parts: [Int: (bytes: [UInt8], encoded: Bool)], _ hints: Charset.Hints) -> String {
  var label: String?
  var bytes: [UInt8] = []
  var anyEncoded = false
  for (position, number) in parts.keys.sorted().enumerated() {
    guard let part = parts[number] else { continue }
    var value = part.bytes
    if part.encoded {
      anyEncoded = true
      if position == 0 { (label, value) = splitCharset(value) }
      value = percentDecoded(value)
    }
    bytes += value
  }
  if !anyEncoded { return EncodedWords.decode(bytes, hints: hints) }
  return Charset.decode(bytes, label: label, hints: hints)
}

private func splitCharset(_ raw: [UInt8]) -> (label: String?, rest: [UInt8]) {
  guard let first = raw.firstIndex(of: 0x27), first <= 40,
    let second = raw[(first + 1)...].firstIndex(of: 0x27)
  else { return (nil, raw) }
  let label = String(decoding: raw[..<first], as: UTF8.self)
  return (label.isEmpty ? nil : label, Array(raw[(second + 1)...]))
}

private func percentDecoded(_ raw: [UInt8]) -> [UInt8] {
  var out: [UInt8] = []
  var index = 0
  while index < raw.count {
    if raw[index] == 0x25, index + 2 < raw.count, let high = hexValue(raw[index + 1]),
      let low = hexValue(raw[index + 2])
    {
      out.append(high << 4 | low)
      index += 3
    } else {
      out.append(raw[index])
      index += 1
    }
  }
  return out
}

/// `value; name=token; name="quoted"; (comments)`, forgiving: unclosed quotes, stray semicolons, blanks round `=`.
private struct ParameterScanner {
  let bytes: [UInt8]
  var index = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func leadingValue() -> String {
    skipBlanks()
    // `Content-Disposition: filename=x` without a value: the field starts with a parameter.
    var probe = index
    while probe < bytes.count, bytes[probe] != 0x3b, bytes[probe] != 0x3d, bytes[probe] != 0x22 { probe += 1 }
    if probe < bytes.count, bytes[probe] == 0x3d { return "" }
    var out: [UInt8] = []
    while index < bytes.count, bytes[index] != 0x3b {
      if bytes[index] == 0x28 {
        skipBlanks()
        continue
      }
      // White space that separates the value from a parameter whose semicolon is missing.
      if isSpace(bytes[index]), !out.isEmpty, parameterFollows() { break }
      if !isSpace(bytes[index]), bytes[index] != 0x22 { out.append(lowered(bytes[index])) }
      index += 1
    }
    return String(decoding: out, as: UTF8.self)
  }

  private func parameterFollows() -> Bool {
    var probe = index
    while probe < bytes.count, isSpace(bytes[probe]) { probe += 1 }
    let start = probe
    while probe < bytes.count, bytes[probe] > 0x20, bytes[probe] < 0x7f, bytes[probe] != 0x3b, bytes[probe] != 0x2f {
      if bytes[probe] == 0x3d { return probe > start }
      probe += 1
    }
    return false
  }

  mutating func next() -> (String, [UInt8])? {
    while true {
      skipBlanks()
      while index < bytes.count, bytes[index] == 0x3b || isSpace(bytes[index]) {
        index += 1
        skipBlanks()
      }
      guard index < bytes.count else { return nil }
      var name: [UInt8] = []
      while index < bytes.count, bytes[index] != 0x3d, bytes[index] != 0x3b {
        if bytes[index] == 0x22 { break }
        if !isSpace(bytes[index]) { name.append(lowered(bytes[index])) }
        index += 1
      }
      if index < bytes.count, bytes[index] == 0x22 {
        _ = quoted()
        continue
      }
      guard index < bytes.count, bytes[index] == 0x3d else { continue }
      index += 1
      while index < bytes.count, isSpace(bytes[index]) { index += 1 }
      let key = String(decoding: name, as: UTF8.self)
      if index < bytes.count, bytes[index] == 0x22 { return (key, quoted()) }
      return (key, token(key))
    }
  }

  private mutating func quoted() -> [UInt8] {
    index += 1
    var out: [UInt8] = []
    while index < bytes.count {
      let byte = bytes[index]
      if byte == 0x5c, index + 1 < bytes.count {
        // Only a quote and a backslash are escaped; Windows paths and GBK second bytes come with lone backslashes.
        let next = bytes[index + 1]
        if next == 0x22 || next == 0x5c {
          out.append(next)
          index += 2
          continue
        }
      }
      if byte == 0x22 {
        index += 1
        return out
      }
      out.append(byte)
      index += 1
    }
    return out
  }

  /// An unquoted value runs to the semicolon, blanks included: `name=my file.pdf` is common.
  private mutating func token(_ key: String) -> [UInt8] {
    let start = index
    var end = index
    while index < bytes.count, bytes[index] != 0x3b {
      if bytes[index] == 0x28, !key.hasPrefix("name"), !key.hasPrefix("filename") { break }
      if isSpace(bytes[index]), !key.hasPrefix("name"), !key.hasPrefix("filename") || parameterFollows() { break }
      index += 1
      if !isSpace(bytes[index - 1]) { end = index }
    }
    return Array(bytes[start..<end])
  }

  /// White space and comments.
  private mutating func skipBlanks() {
    while index < bytes.count {
      if isSpace(bytes[index]) {
        index += 1
      } else if bytes[index] == 0x28 {
        var depth = 0
        while index < bytes.count {
          if bytes[index] == 0x5c {
            index += 1
          } else if bytes[index] == 0x28 {
            depth += 1
          } else if bytes[index] == 0x29 {
            depth -= 1
            if depth == 0 { break }
          }
          index += 1
        }
        index = min(index + 1, bytes.count)
      } else {
        return
      }
    }
  }
}
