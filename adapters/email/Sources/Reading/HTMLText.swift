/// HTML as the text a person would read: blocks become lines, quoted blocks get `> ` so that trimming sees them.
func plainText(ofHTML html: String) -> String {
  var out = ""
  var line = ""
  var quoteDepth = 0
  var preformatted = 0
  var hidden: String?
  var pendingBlank = false
  var tokens = HTMLTokens(html[...])

  func endLine(force: Bool) {
    pendingBlank = false
    if line.isEmpty, !force { return }
    while line.last == " " { line.removeLast() }
    for _ in 0..<min(quoteDepth, 8) { out += "> " }
    out += line
    out += "\n"
    line = ""
  }

  while let token = tokens.next() {
    switch token {
    case .text(let raw):
      if hidden != nil { continue }
      let text = decodeEntities(raw)
      if preformatted > 0 {
        for character in text {
          if character == "\n" || character == "\r\n" { endLine(force: true) } else { line.append(character) }
        }
        continue
      }
      for scalar in text.unicodeScalars {
        // Only ASCII white space folds; a no-break space is a blank that stays.
        if scalar.value <= 0x20 {
          pendingBlank = !line.isEmpty || pendingBlank
        } else {
          if pendingBlank, !line.isEmpty { line.unicodeScalars.append(" ") }
          pendingBlank = false
          line.unicodeScalars.append(scalar == "\u{a0}" ? " " : scalar)
        }
      }
    case .open(let name, let attributes, let selfClosing):
      if hidden != nil { continue }
      switch name {
      case "script", "style", "title", "noscript", "iframe", "noembed", "xmp":
        if !selfClosing { hidden = name }
      case "br": endLine(force: true)
      case "p", "h1", "h2", "h3", "h4", "h5", "h6":
        endLine(force: false)
        if !out.isEmpty, !out.hasSuffix("\n\n") { out += "\n" }
      case "hr":
        endLine(force: false)
        out += "----------\n"
      case "li":
        endLine(force: false)
        line += "- "
      case "pre":
        endLine(force: false)
        preformatted += 1
      case "blockquote":
        endLine(force: false)
        quoteDepth += 1
      case "td", "th":
        if !line.isEmpty { pendingBlank = true }
      case "img":
        if let alt = attributes.first(where: { $0.name == "alt" })?.value, !alt.isEmpty, alt.utf8.count < 200 {
          if pendingBlank { line += " " }
          line += "[" + foldBlanks(alt) + "]"
        }
      default: if blockElements.contains(name) { endLine(force: false) }
      }
    case .close(let name):
      if let element = hidden {
        if element == name { hidden = nil }
        continue
      }
      switch name {
      case "p", "h1", "h2", "h3", "h4", "h5", "h6":
        endLine(force: false)
        if !out.isEmpty, !out.hasSuffix("\n\n") { out += "\n" }
      case "pre":
        endLine(force: false)
        preformatted = max(0, preformatted - 1)
      case "blockquote":
        endLine(force: false)
        quoteDepth = max(0, quoteDepth - 1)
      default: if blockElements.contains(name) { endLine(force: false) }
      }
    }
  }
  endLine(force: false)
  return out.trimmedBlanks
}

private let blockElements: Set<String> = [
  "address", "article", "body", "center", "dd", "div", "dl", "dt", "figure", "footer", "form", "head", "header", "html",
  "li", "main", "nav", "ol", "section", "table", "tbody", "tfoot", "thead", "tr", "ul",
]
