/// The conditions of a list, built up one by one, each with its parameter.
struct Conditions {
  private(set) var parameters: [SQLValue] = []
  private var texts: [String] = []

  /// `text` ends where the placeholder goes: `"queue ="`. Nil adds nothing.
  mutating func add(_ text: String, _ value: SQLValue?) {
    guard let value else { return }
    texts.append("\(text) \(placeholder(value))")
  }
  /// A whole condition; `{}` stands for the placeholder of the value.
  mutating func add(whole text: String, _ value: SQLValue?) {
    guard let value else { return }
    texts.append(text.replacing("{}", with: placeholder(value)))
  }
  mutating func add(_ text: String, if holds: Bool) { if holds { texts.append(text) } }

  mutating func placeholder(_ value: SQLValue) -> String {
    parameters.append(value)
    return "$\(parameters.count)"
  }

  var sql: String { texts.isEmpty ? "" : "WHERE " + texts.joined(separator: " AND ") }
}

extension SQLValue {
  static func some(_ value: (some LosslessStringConvertible)?) -> SQLValue? { value.map { .text($0.description) } }
  static func words<E: RawRepresentable<String>>(_ values: [E]?) -> SQLValue? {
    values.map { .list($0.map(\.rawValue)) }
  }
}
