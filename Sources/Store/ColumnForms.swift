import Channels
import ContactModel

/// How the bank's values stand in columns: identifiers and codes as text, addresses in three columns.
extension SQLValue {
  /// Any identifier or code by its text.
  public static func id(_ value: (some LosslessStringConvertible)?) -> SQLValue {
    value.map { .text($0.description) } ?? .null
  }
}

extension Row {
  /// A code or identifier of the bank; what cannot be read is an error, never a trap.
  public func parsed<Value: LosslessStringConvertible>(_ column: String) throws -> Value {
    let text = try text(column)
    guard let value = Value(text) else { throw DatabaseError(.misuse, "column \(column) holds no \(Value.self)") }
    return value
  }
  public func parsedOrNil<Value: LosslessStringConvertible>(_ column: String) throws -> Value? {
    guard let text = try textOrNil(column) else { return nil }
    guard let value = Value(text) else { throw DatabaseError(.misuse, "column \(column) holds no \(Value.self)") }
    return value
  }
  public func count(_ column: String) throws -> Int { Int(try int(column)) }

  /// An address in its three columns `prefix_kind`, `prefix_canonical`, `prefix_raw`; nil if there is none.
  public func addressOrNil(_ prefix: String) throws -> Address? {
    guard let kind = try wordOrNil(prefix + "_kind", as: Address.Kind.self) else { return nil }
    return Address(kind: kind, canonical: try text(prefix + "_canonical"), raw: try text(prefix + "_raw"))
  }

  public var channel: ContactChannel {
    get throws { ContactChannel(kind: ChannelKind(rawValue: try text("channel_kind")), name: try text("channel")) }
  }
}

extension Address {
  /// The values of the three columns.
  static func columns(_ address: Address?) -> [SQLValue] {
    guard let address else { return [.null, .null, .null] }
    return [SQLValue(address.kind), .text(address.canonical), .text(address.raw)]
  }
}
