import Foundation

/// What a post carried, before anybody asks whether it is right: names and texts as sent, and files.
struct SubmittedBody: Hashable, Sendable {
  struct File: Hashable, Sendable {
    var name: String?
    var declaredType: String?
    var bytes: [UInt8]
  }
  var values: [String: [String]] = [:]
  var files: [String: [File]] = [:]

  /// The first value of that name; nil if there is none.
  func value(_ name: String) -> String? { values[name]?.first }
}

/// How much of a body is looked at. Above it the post is refused, not cut.
public struct FormBodyBounds: Sendable, Hashable {
  /// Pairs or parts.
  public var maximumParts = 120
  public var maximumFiles = 10
  public var maximumNameBytes = 100
  public var maximumValueBytes = 80_000
  public var maximumFileNameBytes = 400
  /// All headers of one part together.
  public var maximumPartHeaderBytes = 4_096
  public init() {}
}

/// Why a body cannot be read.
enum BodyFault: Error, Hashable, Sendable {
  case malformed(String)
  case notUTF8(String)
  case tooLarge(String)
}

// MARK: application/x-www-form-urlencoded

extension SubmittedBody {
  /// URL Standard §5.1, but what is no UTF-8 is an error, not a replacement character.
  static func urlEncoded(_ body: [UInt8], _ bounds: FormBodyBounds) throws(BodyFault) -> SubmittedBody {
    var out = SubmittedBody()
    var count = 0
    for pair in body.split(separator: UInt8(ascii: "&")) {
      count += 1
      guard count <= bounds.maximumParts else { throw .tooLarge("more than \(bounds.maximumParts) fields") }
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
      let name = try decoded(pair[..<equals], "a field's name")
      let value = equals == pair.endIndex ? "" : try decoded(pair[(equals + 1)...], "the value of \(printable(name))")
      try out.add(name, value, bounds)
    }
    return out
  }

  private static func decoded(_ bytes: ArraySlice<UInt8>, _ what: String) throws(BodyFault) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte == UInt8(ascii: "+") {
        out.append(0x20)
      } else if byte == UInt8(ascii: "%"), index + 2 < bytes.endIndex, let high = hexDigit(bytes[index + 1]),
        let low = hexDigit(bytes[index + 2])
      {
        out.append(high << 4 | low)
        index += 2
      } else {
        out.append(byte)
      }
      index += 1
    }
    guard let text = String(validating: out, as: UTF8.self) else { throw .notUTF8(what) }
    return text
  }

  mutating func add(_ name: String, _ value: String, _ bounds: FormBodyBounds) throws(BodyFault) {
    guard name.utf8.count <= bounds.maximumNameBytes else { throw .tooLarge("a field's name is too long") }
    guard value.utf8.count <= bounds.maximumValueBytes else {
      throw .tooLarge("the value of \(printable(name)) is longer than \(bounds.maximumValueBytes) bytes")
    }
    values[name, default: []].append(value)
  }

  mutating func add(_ name: String, _ file: File, _ bounds: FormBodyBounds) throws(BodyFault) {
    guard name.utf8.count <= bounds.maximumNameBytes else { throw .tooLarge("a field's name is too long") }
    guard files.values.reduce(0, { $0 + $1.count }) < bounds.maximumFiles else {
      throw .tooLarge("more than \(bounds.maximumFiles) files")
    }
    guard file.name?.utf8.count ?? 0 <= bounds.maximumFileNameBytes else {
      throw .tooLarge("a file's name is too long")
    }
    files[name, default: []].append(file)
  }
}

// MARK: application/json

extension SubmittedBody {
  /// `{"fields": {name: text, number, true or files}, "consents": {purpose: bool}, "reply_by", "token", "version"}`; a
  /// file is `{"name", "content": base64}`, or a list of them. Texts go under the names the HTML form uses.
  static func json(_ body: [UInt8], _ bounds: FormBodyBounds) throws(BodyFault) -> SubmittedBody {
    guard String(validating: body, as: UTF8.self) != nil else { throw .notUTF8("the body") }
    let root: JSONValue
    do {
      root = try JSONDecoder().decode(JSONValue.self, from: Data(body))
    } catch {
      throw .malformed("the body is not JSON")
    }
    guard case .object(let members) = root else { throw .malformed("the body is not a JSON object") }
    var out = SubmittedBody()
    for (key, value) in members {
      switch (key, value) {
      case ("fields", .object(let fields)):
        guard fields.count <= bounds.maximumParts else { throw .tooLarge("more than \(bounds.maximumParts) fields") }
        for (name, value) in fields { try out.add(member: name, value, bounds) }
      case ("consents", .object(let consents)):
        guard consents.count <= bounds.maximumParts else { throw .tooLarge("too many consents") }
        for (purpose, value) in consents {
          guard case .bool(let granted) = value else {
            throw .malformed("consents.\(printable(purpose)) is not a boolean")
          }
          if granted { try out.add(FormInput.consent(purpose), "yes", bounds) }
        }
      case ("reply_by", .text(let text)): try out.add(FormInput.replyBy, text, bounds)
      case ("token", .text(let text)): try out.add(FormInput.token, text, bounds)
      case ("version", .number(let text)): try out.add(FormInput.version, text, bounds)
      case ("reply_by", .null), ("token", .null), ("version", .null), ("consents", .null): break
      case ("fields", _), ("consents", _), ("reply_by", _), ("token", _), ("version", _):
        throw .malformed("\(key) has the wrong type")
      default: throw .malformed("unknown member \(printable(key))")
      }
    }
    return out
  }

  private mutating func add(member name: String, _ value: JSONValue, _ bounds: FormBodyBounds) throws(BodyFault) {
    switch value {
    case .text(let text), .number(let text): try add(name, text, bounds)
    case .bool(let flag): try add(name, flag ? "true" : "false", bounds)
    case .null: break
    case .object(let members): try add(name, Self.file(members, name), bounds)
    case .list(let entries):
      guard entries.count <= bounds.maximumFiles else { throw .tooLarge("more than \(bounds.maximumFiles) files") }
      for entry in entries {
        guard case .object(let members) = entry else {
          throw .malformed("fields.\(printable(name)) has the wrong type")
        }
        try add(name, Self.file(members, name), bounds)
      }
    }
  }

  private static func file(_ members: [String: JSONValue], _ field: String) throws(BodyFault) -> File {
    guard case .text(let content)? = members["content"], let bytes = Data(base64Encoded: content) else {
      throw .malformed("fields.\(printable(field)): a file is {\"name\", \"content\": base64}")
    }
    guard case .text(let name)? = members["name"] else {
      return File(name: nil, declaredType: nil, bytes: Array(bytes))
    }
    return File(name: name, declaredType: nil, bytes: Array(bytes))
  }
}

private enum JSONValue: Decodable {
  case null
  case bool(Bool)
  /// As a text a number field can take.
  case number(String)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    // `try?` asks of which type the value is; the decoder has no other way to tell.
    if container.decodeNil() {
      self = .null
    } else if let text = try? container.decode(String.self) {
      self = .text(text)
    } else if let flag = try? container.decode(Bool.self) {
      self = .bool(flag)
    } else if let whole = try? container.decode(Int64.self) {
      self = .number(String(whole))
    } else if let number = try? container.decode(Double.self) {
      self = .number(String(number))
    } else if let list = try? container.decode([JSONValue].self) {
      self = .list(list)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }
}

func hexDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}

/// A stranger's word, short and without control characters, fit for a message or a log.
func printable(_ text: String) -> String {
  String(text.prefix(60).map { $0.unicodeScalars.contains { $0.properties.generalCategory == .control } ? "?" : $0 })
}
