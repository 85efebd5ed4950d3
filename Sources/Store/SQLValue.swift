import Channels

/// One value as both databases know it: a parameter of a statement or a cell of a row.
///
/// Times are `Timestamp.microseconds`, truth values 0 and 1, identifiers their text form. A NUL character in text is
/// stored as U+FFFD, because PostgreSQL cannot hold it; raw bytes belong into blobs.
public enum SQLValue: Hashable, Sendable {
  case null
  case int(Int64)
  case text(String)
  case blob([UInt8])
  case real(Double)

  public init(_ value: Int64?) { self = value.map { .int($0) } ?? .null }
  public init(_ value: Int?) { self = value.map { .int(Int64($0)) } ?? .null }
  public init(_ value: Bool?) { self = value.map { .int($0 ? 1 : 0) } ?? .null }
  public init(_ value: String?) { self = value.map { .text($0) } ?? .null }
  public init(_ value: [UInt8]?) { self = value.map { .blob($0) } ?? .null }
  public init(_ value: Double?) { self = value.map { .real($0) } ?? .null }
  public init(_ value: Timestamp?) { self = value.map { .int($0.microseconds) } ?? .null }
  public init<Kind: IdentifierKind>(_ value: Identifier<Kind>?) { self = value.map { .text($0.description) } ?? .null }
  /// A closed enum by its raw text.
  public init<E: RawRepresentable<String>>(_ value: E?) { self = value.map { .text($0.rawValue) } ?? .null }

  /// A list as one parameter: JSON text, read by the hooks `{{list_text:$n}}` of `Dialect`.
  public static func list(_ values: some Sequence<String>) -> SQLValue {
    var json = "["
    for value in values {
      if json.utf8.count > 1 { json += "," }
      json += jsonQuoted(value)
    }
    return .text(json + "]")
  }
  /// A list as one parameter, read by the hook `{{list_int:$n}}`.
  public static func list(_ values: some Sequence<Int64>) -> SQLValue {
    .text("[" + values.map(String.init).joined(separator: ",") + "]")
  }

  public var isNull: Bool { self == .null }
}

extension SQLValue: ExpressibleByNilLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(floatLiteral value: Double) { self = .real(value) }
  public init(booleanLiteral value: Bool) { self = .int(value ? 1 : 0) }
}

private func jsonQuoted(_ text: String) -> String {
  guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c }) else { return "\"" + text + "\"" }
  var out = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": out += "\\\""
    case "\\": out += "\\\\"
    case "\0": out += "\u{FFFD}"
    case _ where scalar.value < 0x20:
      let hex = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out + "\""
}
