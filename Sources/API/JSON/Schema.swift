import Channels

/// What a JSON value must be: the one statement from which the description is written, a body is checked, and the
/// tests hold live answers.
///
/// A subset of JSON Schema 2020-12 (the dialect of OpenAPI 3.1). Checks of requests are strict (`closed` objects
/// refuse unknown members, closed enums refuse unknown words); answers are described as open, so that additions
/// break no client.
public indirect enum Schema: Hashable, Sendable {
  case any
  case boolean
  case integer(minimum: Int64? = nil, maximum: Int64? = nil)
  case number
  case string(minimum: Int = 0, maximum: Int? = nil, format: Format? = nil)
  case word([String])
  case array(Schema, maximum: Int? = nil)
  case object(Object)
  /// An object whose member names are data.
  case map(Schema)
  case nullable(Schema)
  /// A shared schema, shown once under `#/components/schemas`.
  case named(String, Schema)

  public struct Object: Hashable, Sendable {
    public var members: [Member]
    /// True: members not listed are refused.
    public var closed: Bool
  }
  public struct Member: Hashable, Sendable {
    public var name: String
    public var schema: Schema
    public var required: Bool
    public var description: String?

    public static func required(_ name: String, _ schema: Schema, _ description: String? = nil) -> Member {
      Member(name: name, schema: schema, required: true, description: description)
    }
    public static func optional(_ name: String, _ schema: Schema, _ description: String? = nil) -> Member {
      Member(name: name, schema: schema, required: false, description: description)
    }
  }
  public enum Format: Hashable, Sendable {
    case dateTime, email, uri, opaque
    /// A TypeID with this prefix.
    case identifier(prefix: String)
    /// `+` and 7 to 15 digits.
    case e164
  }

  /// A body: what is not listed is refused.
  public static func input(_ members: Member...) -> Schema { .object(Object(members: members, closed: true)) }
  /// Part of an answer: more members may come.
  public static func output(_ members: Member...) -> Schema { .object(Object(members: members, closed: false)) }
  public static func id(_ prefix: String) -> Schema { .string(maximum: 90, format: .identifier(prefix: prefix)) }
  public static let time = Schema.string(maximum: 40, format: .dateTime)
}

extension Schema.Format {
  /// The name shown in the description; nil if a pattern says it.
  var name: String? {
    switch self {
    case .dateTime: "date-time"
    case .email: "email"
    case .uri: "uri"
    case .opaque, .identifier, .e164: nil
    }
  }

  var pattern: String? {
    switch self {
    case .identifier(let prefix): "^\(prefix)_[0-7][0-9a-hjkmnp-tv-z]{25}$"
    case .e164: #"^\+[0-9]{7,15}$"#
    case .dateTime, .email, .uri, .opaque: nil
    }
  }

  func accepts(_ text: String) -> Bool {
    switch self {
    case .opaque: return true
    case .dateTime: return Timestamp(text) != nil
    case .email:
      guard let at = text.lastIndex(of: "@") else { return false }
      return at > text.startIndex && text.index(after: at) < text.endIndex && !text.contains { $0.isWhitespace }
    case .uri: return text.contains(":") && !text.contains { $0.isWhitespace }
    case .e164:
      let digits = text.utf8.dropFirst()
      return text.utf8.first == UInt8(ascii: "+") && (7...15).contains(digits.count)
        && digits.allSatisfy { (0x30...0x39).contains($0) }
    case .identifier(let prefix):
      let bytes = Array(text.utf8)
      let head = Array(prefix.utf8)
      guard bytes.count == head.count + 27, bytes.starts(with: head), bytes[head.count] == UInt8(ascii: "_"),
        (0x30...0x37).contains(bytes[head.count + 1])
      else { return false }
      return bytes[(head.count + 1)...].allSatisfy { typeIDDigits.contains($0) }
    }
  }
}

private let typeIDDigits = Set("0123456789abcdefghjkmnpqrstvwxyz".utf8)
