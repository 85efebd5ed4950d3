import Channels

/// One JSON value: what every answer is built as, and what every body is read into.
///
/// One form for all of them, so that masking, schema checks and writing each exist once.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  public subscript(member: String) -> JSONValue? {
    guard case .object(let object) = self else { return nil }
    return object[member]
  }
  public var string: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }
  public var integer: Int64? {
    guard case .integer(let value) = self else { return nil }
    return value
  }
  public var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }
  public var array: [JSONValue]? {
    guard case .array(let value) = self else { return nil }
    return value
  }
  public var object: JSONObject? {
    guard case .object(let value) = self else { return nil }
    return value
  }
  public var isNull: Bool { self == .null }

  /// The value, or `null` for nil: optional facts are shown as null, not left out.
  public static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }
  public static func optional(_ value: Int64?) -> JSONValue { value.map(JSONValue.integer) ?? .null }
  public static func optional(_ value: Bool?) -> JSONValue { value.map(JSONValue.bool) ?? .null }
  public static func optional(_ time: Timestamp?) -> JSONValue { time.map(JSONValue.time) ?? .null }
  public static func time(_ time: Timestamp) -> JSONValue { .string(time.description) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { JSONObject.Member(name: $0.0, value: $0.1) }))
  }
}

/// Members in the order in which they were written; names are unique.
public struct JSONObject: Hashable, Sendable {
  public struct Member: Hashable, Sendable {
    public var name: String
    public var value: JSONValue
    public init(name: String, value: JSONValue) {
      self.name = name
      self.value = value
    }
  }
  public var members: [Member]

  public init(_ members: [Member] = []) { self.members = members }

  public subscript(name: String) -> JSONValue? {
    get { members.first { $0.name == name }?.value }
    set {
      let index = members.firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append(Member(name: name, value: value))
      case (nil, nil): break
      }
    }
  }
}
