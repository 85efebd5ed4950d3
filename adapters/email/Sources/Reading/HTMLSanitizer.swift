/// HTML fit to be shown to an agent: only what is on the list gets through.
///
/// No script, style, form, frame or object; no event handlers, no `style`, no ids; links only http, https, mailto and
/// tel, opened apart and without referrer; images only those inside the mail (`cid:`), so that showing a mail calls
/// nobody. Elements are closed in order, so that a mail cannot break out of its box. Rebuilt from tokens: nothing of
/// the source's mark-up is copied. Source: OWASP XSS Prevention, allow-list; RFC 2392 for cid.
func sanitizedHTML(_ html: String, maximumBytes: Int = 1 << 20) -> String {
  var out = ""
  var open: [String] = []
  var hidden: String?
  var tokens = HTMLTokens(html[...])
  while let token = tokens.next() {
    if out.utf8.count > maximumBytes { break }
    switch token {
    case .text(let raw):
      if hidden == nil { out += escapedHTML(decodeEntities(raw)) }
    case .open(let name, let attributes, let selfClosing):
      if hidden != nil { continue }
      if hiddenElements.contains(name) {
        if !selfClosing { hidden = name }
        continue
      }
      guard let allowed = allowedElements[name] else { continue }
      if name == "img" {
        guard let source = attributes.first(where: { $0.name == "src" })?.value, source.hasPrefix("cid:"),
          source.utf8.count < 512
        else { continue }
      }
      out += "<" + name
      for (key, value) in attributes where allowed.contains(key) {
        if key == "href" || key == "src" || key == "cite" { guard isSafeLink(value, of: name) else { continue } }
        if key == "width" || key == "height" || key == "colspan" || key == "rowspan" {
          guard value.utf8.count <= 6, value.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x25 }) else {
            continue
          }
        }
        out += " " + key + "=\"" + escapedHTML(value) + "\""
      }
      if name == "a" { out += " rel=\"noopener noreferrer nofollow\" target=\"_blank\"" }
      out += ">"
      if !voidElements.contains(name), open.count < 200 { open.append(name) }
    case .close(let name):
      if let element = hidden {
        if element == name { hidden = nil }
        continue
      }
      guard let position = open.lastIndex(of: name) else { continue }
      while open.count > position { out += "</" + open.removeLast() + ">" }
    }
  }
  while let name = open.popLast() { out += "</" + name + ">" }
  return out
}

func escapedHTML(_ text: String) -> String {
  var out: [UInt8] = []
  out.reserveCapacity(text.utf8.count)
  for byte in text.utf8 {
    switch byte {
    case 0x26: out += "&amp;".utf8
    case 0x3c: out += "&lt;".utf8
    case 0x3e: out += "&gt;".utf8
    case 0x22: out += "&quot;".utf8
    case 0x27: out += "&#39;".utf8
    case 0x00: continue
    default: out.append(byte)
    }
  }
  return String(decoding: out, as: UTF8.self)
}

private func isSafeLink(_ value: String, of element: String) -> Bool {
  // Control characters and blanks inside a scheme are how filters are passed by: they are out before the look.
  let bare = String(decoding: value.utf8.filter { $0 > 0x20 && $0 != 0x7f }, as: UTF8.self).lowercased()
  if element == "img" { return bare.hasPrefix("cid:") }
  return ["http://", "https://", "mailto:", "tel:"].contains { bare.hasPrefix($0) }
}

private let hiddenElements: Set<String> = [
  "script", "style", "title", "noscript", "iframe", "object", "applet", "noembed", "xmp", "svg", "math", "template",
  "select", "textarea",
]
private let voidElements: Set<String> = ["br", "hr", "img", "col"]
private let allowedElements: [String: Set<String>] = {
  var list: [String: Set<String>] = [
    "a": ["href", "title"], "img": ["src", "alt", "width", "height"], "blockquote": [], "ol": ["start"],
    "td": ["colspan", "rowspan", "align", "valign"], "th": ["colspan", "rowspan", "align", "valign"],
    "col": ["width"], "font": ["color"],
  ]
  for name in [
    "abbr", "b", "big", "br", "caption", "center", "cite", "code", "colgroup", "dd", "del", "div", "dl", "dt", "em",
    "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "p", "pre", "q", "s", "small", "span", "strike",
    "strong", "sub", "sup", "table", "tbody", "tfoot", "thead", "tr", "tt", "u", "ul",
  ] { list[name] = [] }
  return list
}()
