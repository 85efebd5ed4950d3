/// A forgiving scanner of HTML: text, start tags with attributes, end tags; comments, doctypes and processing
/// instructions are dropped. Never fails; what is no tag is text. Source: WHATWG HTML §13.2.5, simplified.
struct HTMLTokens {
  enum Token {
    case text(Substring.UTF8View)
    case open(name: String, attributes: [(name: String, value: String)], selfClosing: Bool)
    case close(name: String)
  }

  private let utf8: Substring.UTF8View
  private var index: Substring.UTF8View.Index
  /// Inside `<script>` and the like: everything up to that end tag is one text.
  private var rawElement: String?

  init(_ html: Substring) {
    utf8 = html.utf8
    index = utf8.startIndex
  }

  static let rawElements: Set<String> = [
    "script", "style", "title", "textarea", "xmp", "noscript", "iframe", "noembed",
  ]

  mutating func next() -> Token? {
    while index < utf8.endIndex {
      if let element = rawElement {
        rawElement = nil
        return .text(rawText(until: element))
      }
      if utf8[index] == 0x3c, let token = tag() {
        switch token {
        case .some(let token): return token
        case nil: continue
        }
      }
      let start = index
      index = utf8.index(after: index)
      while index < utf8.endIndex, utf8[index] != 0x3c { index = utf8.index(after: index) }
      return .text(utf8[start..<index])
    }
    return nil
  }

  private func peek(_ from: Substring.UTF8View.Index, _ offset: Int) -> UInt8 {
    guard let at = utf8.index(from, offsetBy: offset, limitedBy: utf8.endIndex), at < utf8.endIndex else { return 0 }
    return utf8[at]
  }

  /// Outer nil: not a tag, take it as text. Inner nil: skipped.
  private mutating func tag() -> Token?? {
    let second = peek(index, 1)
    if second == 0x21 {
      if peek(index, 2) == 0x2d, peek(index, 3) == 0x2d {
        skip(past: [0x2d, 0x2d, 0x3e], from: utf8.index(index, offsetBy: 4))
      } else {
        skip(past: [0x3e], from: index)
      }
      return .some(nil)
    }
    if second == 0x3f {
      skip(past: [0x3e], from: index)
      return .some(nil)
    }
    let closing = second == 0x2f
    guard isLetter(closing ? peek(index, 2) : second) else { return nil }
    var at = utf8.index(index, offsetBy: closing ? 2 : 1)
    let name = word(&at, stopAtEquals: false)
    var attributes: [(String, String)] = []
    var selfClosing = false
    while at < utf8.endIndex {
      let byte = utf8[at]
      if byte == 0x3e {
        at = utf8.index(after: at)
        break
      }
      if isSpace(byte) || byte == 0x2f {
        selfClosing = byte == 0x2f
        at = utf8.index(after: at)
        continue
      }
      let key = word(&at, stopAtEquals: true)
      if key.isEmpty {
        at = utf8.index(after: at)
        continue
      }
      var value = ""
      var probe = at
      while probe < utf8.endIndex, isSpace(utf8[probe]) { probe = utf8.index(after: probe) }
      if probe < utf8.endIndex, utf8[probe] == 0x3d {
        at = utf8.index(after: probe)
        while at < utf8.endIndex, isSpace(utf8[at]) { at = utf8.index(after: at) }
        value = attributeValue(&at)
      }
      selfClosing = false
      if attributes.count < 100 { attributes.append((key, value)) }
    }
    index = at
    if closing { return .some(.close(name: name)) }
    if Self.rawElements.contains(name), !selfClosing { rawElement = name }
    return .some(.open(name: name, attributes: attributes, selfClosing: selfClosing))
  }

  private func word(_ at: inout Substring.UTF8View.Index, stopAtEquals: Bool) -> String {
    var out: [UInt8] = []
    while at < utf8.endIndex {
      let byte = utf8[at]
      if isSpace(byte) || byte == 0x3e || byte == 0x2f || (stopAtEquals && byte == 0x3d) { break }
      if out.count < 256 { out.append(lowered(byte)) }
      at = utf8.index(after: at)
    }
    return String(decoding: out, as: UTF8.self)
  }

  private func attributeValue(_ at: inout Substring.UTF8View.Index) -> String {
    guard at < utf8.endIndex else { return "" }
    let quote = utf8[at]
    var out: [UInt8] = []
    if quote == 0x22 || quote == 0x27 {
      at = utf8.index(after: at)
      while at < utf8.endIndex, utf8[at] != quote {
        out.append(utf8[at])
        at = utf8.index(after: at)
      }
      if at < utf8.endIndex { at = utf8.index(after: at) }
    } else {
      while at < utf8.endIndex, !isSpace(utf8[at]), utf8[at] != 0x3e {
        out.append(utf8[at])
        at = utf8.index(after: at)
      }
    }
    return decodeEntities(String(decoding: out, as: UTF8.self).utf8)
  }

  private mutating func skip(past mark: [UInt8], from: Substring.UTF8View.Index) {
    var at = from
    while at < utf8.endIndex {
      if utf8[at] == mark[0], utf8[at...].starts(with: mark) {
        index = utf8.index(at, offsetBy: mark.count)
        return
      }
      at = utf8.index(after: at)
    }
    index = utf8.endIndex
  }

  private mutating func rawText(until element: String) -> Substring.UTF8View {
    let start = index
    let name = Array(element.utf8)
    while index < utf8.endIndex {
      if utf8[index] == 0x3c, peek(index, 1) == 0x2f {
        let after = utf8.index(index, offsetBy: 2)
        if utf8[after...].prefix(name.count).map(lowered) == name { return utf8[start..<index] }
      }
      index = utf8.index(after: index)
    }
    return utf8[start..<index]
  }
}

private func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a }

/// Character references decoded: numeric ones and the named ones mail uses; unknown names stay as written.
func decodeEntities(_ utf8: some Collection<UInt8>) -> String {
  guard utf8.contains(0x26) else { return String(decoding: utf8, as: UTF8.self) }
  var out: [UInt8] = []
  var index = utf8.startIndex
  while index != utf8.endIndex {
    let byte = utf8[index]
    guard byte == 0x26 else {
      out.append(byte)
      index = utf8.index(after: index)
      continue
    }
    var name: [UInt8] = []
    var at = utf8.index(after: index)
    while at != utf8.endIndex, name.count < 32 {
      let next = utf8[at]
      guard next == 0x23 || (next >= 0x30 && next <= 0x39) || isLetter(next) else { break }
      name.append(next)
      at = utf8.index(after: at)
    }
    if let scalar = entity(String(decoding: name, as: UTF8.self)) {
      out += Array(String(Character(scalar)).utf8)
      index = at
      if index != utf8.endIndex, utf8[index] == 0x3b { index = utf8.index(after: index) }
    } else {
      out.append(byte)
      index = utf8.index(after: index)
    }
  }
  return String(decoding: out, as: UTF8.self)
}

private func entity(_ name: String) -> Unicode.Scalar? {
  if name.hasPrefix("#x") || name.hasPrefix("#X") {
    return UInt32(name.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init).map { $0 == "\0" ? "\u{fffd}" : $0 }
  }
  if name.hasPrefix("#") {
    return UInt32(name.dropFirst()).flatMap(Unicode.Scalar.init).map { $0 == "\0" ? "\u{fffd}" : $0 }
  }
  return named[name]
}

private let named: [String: Unicode.Scalar] = [
  "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{a0}", "copy": "©", "reg": "®",
  "trade": "™", "hellip": "…", "mdash": "—", "ndash": "–", "lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”",
  "bull": "•", "middot": "·", "euro": "€", "pound": "£", "yen": "¥", "cent": "¢", "sect": "§", "para": "¶",
  "laquo": "«", "raquo": "»", "times": "×", "divide": "÷", "deg": "°", "plusmn": "±", "frac12": "½", "frac14": "¼",
  "iexcl": "¡", "iquest": "¿", "ensp": "\u{2002}", "emsp": "\u{2003}", "thinsp": "\u{2009}", "zwnj": "\u{200c}",
  "zwj": "\u{200d}", "shy": "\u{ad}", "larr": "←", "rarr": "→", "uarr": "↑", "darr": "↓", "auml": "ä", "ouml": "ö",
  "uuml": "ü", "Auml": "Ä", "Ouml": "Ö", "Uuml": "Ü", "szlig": "ß", "eacute": "é", "egrave": "è", "ecirc": "ê",
  "agrave": "à", "aacute": "á", "acirc": "â", "ccedil": "ç", "ntilde": "ñ", "oacute": "ó", "iacute": "í",
  "uacute": "ú", "aring": "å", "aelig": "æ", "oslash": "ø", "Eacute": "É", "Agrave": "À",
]
