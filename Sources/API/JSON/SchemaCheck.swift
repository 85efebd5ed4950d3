/// Whether a value is what its schema says, and if not, everything that is wrong with it at once.
///
/// Violations are found in document order and cut at `maximumViolations`, so that a hostile body of 10,000 faults
/// gets a bounded answer. Pointers are RFC 6901 in the URI-fragment form that RFC 9457 §3 shows (`#/phones/0`).
public struct Violation: Hashable, Sendable {
  public enum Code: String, Hashable, Sendable, CaseIterable {
    case required
    case unknownMember = "unknown_member"
    case type
    case tooLong = "too_long"
    case tooShort = "too_short"
    case tooMany = "too_many"
    case outOfRange = "out_of_range"
    case notAllowed = "not_allowed"
    case format
    /// Well formed, but contradicts a fact: given by handlers.
    case conflict
  }
  /// Where: `#/name` in the body, or the name of a parameter.
  public enum Place: Hashable, Sendable {
    case body(pointer: String)
    case parameter(String)
    case header(String)
  }
  public var place: Place
  public var code: Code
  /// The bound, type, format or words expected; the same in every language.
  public var expected: String?

  public init(_ place: Place, _ code: Code, expected: String? = nil) {
    self.place = place
    self.code = code
    self.expected = expected
  }
}

extension Schema {
  public static let maximumViolations = 50

  /// All violations of `value`; empty if it is what the schema says.
  public func violations(of value: JSONValue) -> [Violation] {
    var found: [Violation] = []
    check(value, at: "#", into: &found)
    return found
  }

  fileprivate func check(_ value: JSONValue, at pointer: String, into found: inout [Violation]) {
    guard found.count < Self.maximumViolations else { return }
    func fail(_ code: Violation.Code, _ expected: String? = nil) {
      found.append(Violation(.body(pointer: pointer), code, expected: expected))
    }
    switch self {
    case .any: return
    case .boolean: if value.bool == nil { fail(.type, "boolean") }
    case .integer(let minimum, let maximum):
      guard let integer = value.integer else { return fail(.type, "integer") }
      if let minimum, integer < minimum { fail(.outOfRange, "≥ \(minimum)") }
      if let maximum, integer > maximum { fail(.outOfRange, "≤ \(maximum)") }
    case .number:
      switch value {
      case .integer, .number: return
      default: fail(.type, "number")
      }
    case .string(let minimum, let maximum, let format):
      guard let text = value.string else { return fail(.type, "string") }
      let length = text.unicodeScalars.count
      if length < minimum { fail(.tooShort, "≥ \(minimum)") }
      if let maximum, length > maximum { return fail(.tooLong, "≤ \(maximum)") }
      if text.utf8.contains(0) { fail(.format, "no U+0000") }
      if let format, !format.accepts(text) { fail(.format, format.name ?? format.pattern) }
    case .word(let words):
      guard let text = value.string else { return fail(.type, "string") }
      if !words.contains(text) { fail(.notAllowed, words.joined(separator: ", ")) }
    case .array(let element, let maximum):
      guard let elements = value.array else { return fail(.type, "array") }
      if let maximum, elements.count > maximum { return fail(.tooMany, "≤ \(maximum)") }
      for (index, item) in elements.enumerated() { element.check(item, at: "\(pointer)/\(index)", into: &found) }
    case .object(let shape):
      guard let object = value.object else { return fail(.type, "object") }
      shape.check(object, at: pointer, into: &found)
    case .map(let element):
      guard let object = value.object else { return fail(.type, "object") }
      for member in object.members {
        element.check(member.value, at: "\(pointer)/\(escaped(member.name))", into: &found)
      }
    case .nullable(let schema): if !value.isNull { schema.check(value, at: pointer, into: &found) }
    case .named(_, let schema): schema.check(value, at: pointer, into: &found)
    }
  }
}

extension Schema.Object {
  fileprivate func check(_ object: JSONObject, at pointer: String, into found: inout [Violation]) {
    for member in members where member.required && object[member.name] == nil {
      found.append(Violation(.body(pointer: "\(pointer)/\(escaped(member.name))"), .required))
    }
    for given in object.members {
      guard found.count < Schema.maximumViolations else { return }
      let place = "\(pointer)/\(escaped(given.name))"
      if let member = members.first(where: { $0.name == given.name }) {
        member.schema.check(given.value, at: place, into: &found)
      } else if closed {
        found.append(Violation(.body(pointer: place), .unknownMember))
      }
    }
  }
}

/// RFC 6901 §3 and §6; a name is cut so that a member of a million characters is not sent back.
private func escaped(_ name: String) -> String {
  let short =
    name.unicodeScalars.count > 80 ? String(String.UnicodeScalarView(name.unicodeScalars.prefix(80))) + "…" : name
  var out = ""
  for character in short.unicodeScalars {
    switch character {
    case "~": out += "~0"
    case "/": out += "~1"
    default: out.unicodeScalars.append(character)
    }
  }
  return out
}
