import ContactModel

/// An object read by name, where a key nobody reads is an error: a misspelled rule or flag must not vanish.
struct StrictFields {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ text: String) { stringValue = text }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private let container: KeyedDecodingContainer<Key>

  init(_ decoder: any Decoder, _ known: Set<String>) throws {
    container = try decoder.container(keyedBy: Key.self)
    if let stray = container.allKeys.map(\.stringValue).filter({ !known.contains($0) }).min() {
      throw error(stray, "unknown key")
    }
  }

  func required<Value: Decodable>(_ type: Value.Type, _ key: String) throws -> Value {
    try container.decode(type, forKey: Key(key))
  }

  func optional<Value: Decodable>(_ type: Value.Type, _ key: String) throws -> Value? {
    try container.decodeIfPresent(type, forKey: Key(key))
  }

  func flag(_ keys: String...) throws -> Bool {
    try keys.contains { try optional(Bool.self, $0) ?? false }
  }

  func whole(_ key: String, in range: ClosedRange<Int>) throws -> Int {
    let value = try required(Int.self, key)
    guard range.contains(value) else {
      throw error(key, "not within \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// `HH:MM` as minutes after midnight.
  func minutes(_ key: String) throws -> Int {
    guard let minutes = DailyWindow.minutes(try required(String.self, key)) else {
      throw error(key, "not a time HH:MM")
    }
    return minutes
  }

  func error(_ key: String, _ text: String) -> any Error {
    DecodingError.dataCorrupted(
      .init(codingPath: container.codingPath + [Key(key)], debugDescription: text))
  }
}

extension DecodingError {
  /// One line: where, then what.
  var line: String {
    func place(_ context: Context, _ key: (any CodingKey)? = nil) -> String {
      let path = (context.codingPath + (key.map { [$0] } ?? [])).map { $0.intValue.map(String.init) ?? $0.stringValue }
      return path.isEmpty ? "" : path.joined(separator: ".") + ": "
    }
    switch self {
    case .keyNotFound(let key, let context): return place(context, key) + "missing"
    case .typeMismatch(let type, let context): return place(context) + "not a \(Self.word(for: type))"
    case .valueNotFound(let type, let context): return place(context) + "null, not a \(Self.word(for: type))"
    case .dataCorrupted(let context): return place(context) + context.debugDescription
    @unknown default: return "unreadable"
    }
  }

  private static func word(for type: Any.Type) -> String {
    if type is any StringProtocol.Type { return "text" }
    if type is any BinaryInteger.Type { return "whole number" }
    if type is any BinaryFloatingPoint.Type { return "number" }
    if type == Bool.self { return "boolean" }
    let name = String(describing: type)
    return name.hasPrefix("Array") ? "list" : "object"
  }
}
