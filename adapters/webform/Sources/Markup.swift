/// HTML as it is written, escaped by construction: only `raw` lets anything through, and it takes literals only.
struct Markup {
  private(set) var text = ""

  mutating func raw(_ literal: StaticString) { text += literal.description }

  mutating func words(_ words: String) { text += Self.escaped(words) }

  /// `<name a="b">`; an attribute of nil is left out, one of "" stands alone.
  mutating func open(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?> = [:]) {
    text += "<\(name)"
    for (key, value) in attributes {
      guard let value else { continue }
      text += value.isEmpty && key.description != "value" ? " \(key)" : " \(key)=\"\(Self.escaped(value))\""
    }
    text += ">"
  }

  mutating func close(_ name: StaticString) { text += "</\(name)>" }

  mutating func element(_ name: StaticString, _ words: String) { element(name, [:], words) }

  mutating func element(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?>, _ words: String
  ) {
    open(name, attributes)
    self.words(words)
    close(name)
  }

  mutating func append(_ other: Markup) { text += other.text }

  static func escaped(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out.append(contentsOf: "&amp;".unicodeScalars)
      case "<": out.append(contentsOf: "&lt;".unicodeScalars)
      case ">": out.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": out.append(contentsOf: "&quot;".unicodeScalars)
      case "'": out.append(contentsOf: "&#39;".unicodeScalars)
      // No byte a parser of HTML would call an error, whatever the sender gave.
      case "\u{0}"..."\u{8}", "\u{b}"..."\u{c}", "\u{e}"..."\u{1f}", "\u{7f}"..."\u{9f}":
        out.append("\u{fffd}")
      default: out.append(scalar)
      }
    }
    return String(out)
  }
}
