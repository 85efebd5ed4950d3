/// What the public listener hands over of one HTTP request; the adapter knows no HTTP server.
public struct FormRequest: Sendable {
  /// Upper case: `GET`, `POST`, …
  public var method: String
  /// Percent-decoded components of the whole path: `["forms", "zh", "consultation"]`.
  public var path: [String]
  /// What follows `?`, still encoded; empty if there is none.
  public var query: String
  public var headers: [FormHeader]
  /// The client's IP address as the listener knows it. Behind a proxy it is the listener's business whom to believe.
  public var clientAddress: String
  /// The body as received, bounded by the listener to `WebFormConfiguration.maximumBodyBytes`.
  public var body: [UInt8]
  /// The body was longer than that bound and is not whole: the adapter answers 413.
  public var bodyExceedsLimit: Bool

  public init(
    method: String, path: [String], query: String = "", headers: [FormHeader] = [], clientAddress: String,
    body: [UInt8] = [], bodyExceedsLimit: Bool = false
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.clientAddress = clientAddress
    self.body = body
    self.bodyExceedsLimit = bodyExceedsLimit
  }

  /// The first header of that name, trimmed; nil if there is none.
  func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name }.map { trimmed($0.value) }
  }

  var mediaType: MediaType? { header("content-type").flatMap(MediaType.init) }
}

/// One header field of a request or an answer.
public struct FormHeader: Sendable, Hashable {
  public var name: String
  public var value: String
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// What the listener answers, whole.
public struct FormResponse: Sendable, Hashable {
  public var status: Int
  /// Without `Content-Length` and `Date`: these are the server's.
  public var headers: [FormHeader]
  public var body: [UInt8]

  public init(status: Int, headers: [FormHeader] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// The first header of that name; nil if there is none.
  public func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }
}

/// `Content-Type` or a part of it (RFC 9110 §8.3.1): type and subtype in lower case, parameters by lower-case name.
struct MediaType: Hashable {
  var essence: String
  var parameters: [String: String] = [:]

  /// Nil when there is no `type/subtype`.
  init?(_ text: String) {
    var pieces = splitOutsideQuotes(text, at: ";")[...]
    let essence = trimmed(pieces.removeFirst()).lowercased()
    let halves = essence.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, halves.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isTokenByte) }) else { return nil }
    self.essence = essence
    for piece in pieces.prefix(16) {
      guard let equals = piece.firstIndex(of: "=") else { continue }
      let name = trimmed(String(piece[..<equals])).lowercased()
      if parameters[name] == nil { parameters[name] = unquoted(trimmed(String(piece[piece.index(after: equals)...]))) }
    }
  }
}

/// RFC 9110 §5.6.2.
private func isTokenByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
  default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }
}

/// Splits a header value at `separator`, leaving quoted strings whole.
func splitOutsideQuotes(_ text: String, at separator: Character) -> [String] {
  var out = [""]
  var quoted = false
  var escaped = false
  for character in text {
    if escaped {
      escaped = false
    } else if quoted, character == "\\" {
      escaped = true
    } else if character == "\"" {
      quoted.toggle()
    } else if character == separator, !quoted {
      out.append("")
      continue
    }
    out[out.count - 1].append(character)
  }
  return out
}

/// The value of a token or quoted string (RFC 9110 §5.6.4). Browsers escape only the quote, as `%22` or `\"`; a
/// backslash before anything else is kept, as old browsers sent whole Windows paths.
func unquoted(_ text: String) -> String {
  guard text.utf8.count >= 2, text.first == "\"", text.last == "\"" else { return text }
  var out = ""
  var characters = text.dropFirst().dropLast()[...]
  while let character = characters.popFirst() {
    if character == "\\", let next = characters.first, next == "\"" || next == "\\" {
      out.append(characters.removeFirst())
    } else {
      out.append(character)
    }
  }
  return out
}

/// Without white space at either end, the ideographic space included.
func trimmed(_ text: String) -> String {
  var rest = text[...]
  while let first = rest.first, first.isWhitespace { rest.removeFirst() }
  while let last = rest.last, last.isWhitespace { rest.removeLast() }
  return String(rest)
}
