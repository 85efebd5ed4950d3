import Channels

/// One row of an answer. A missing column or a value of another type throws `.misuse`; nothing here traps.
public struct Row: Sendable {
  /// In the order of the statement.
  public let cells: [SQLValue]
  let names: ColumnNames

  public var columns: [String] { names.list }

  public func value(_ name: String) throws -> SQLValue {
    guard let index = names.index(of: name) else {
      throw DatabaseError(.misuse, "no column \(name) among \(names.list.joined(separator: ", "))")
    }
    return cells[index]
  }
  public func value(_ index: Int) throws -> SQLValue {
    guard cells.indices.contains(index) else {
      throw DatabaseError(.misuse, "no column \(index): the row has \(cells.count)")
    }
    return cells[index]
  }

  public func int(_ name: String) throws -> Int64 { try required(integer(value(name), name), name) }
  public func intOrNil(_ name: String) throws -> Int64? { try integer(value(name), name) }
  public func text(_ name: String) throws -> String { try required(string(value(name), name), name) }
  public func textOrNil(_ name: String) throws -> String? { try string(value(name), name) }
  public func blob(_ name: String) throws -> [UInt8] { try required(bytes(value(name), name), name) }
  public func blobOrNil(_ name: String) throws -> [UInt8]? { try bytes(value(name), name) }
  public func real(_ name: String) throws -> Double { try required(number(value(name), name), name) }
  public func realOrNil(_ name: String) throws -> Double? { try number(value(name), name) }
  public func bool(_ name: String) throws -> Bool { try int(name) != 0 }
  public func time(_ name: String) throws -> Timestamp { Timestamp(microseconds: try int(name)) }
  public func timeOrNil(_ name: String) throws -> Timestamp? {
    try intOrNil(name).map { Timestamp(microseconds: $0) }
  }
  public func id<Kind: IdentifierKind>(_ name: String, as kind: Kind.Type = Kind.self) throws -> Identifier<Kind> {
    try required(idOrNil(name, as: kind), name)
  }
  public func idOrNil<Kind: IdentifierKind>(
    _ name: String, as kind: Kind.Type = Kind.self
  ) throws -> Identifier<Kind>? {
    try textOrNil(name).map { text in
      guard let id = Identifier<Kind>(text) else { throw wrongType(name, "a \(Kind.prefix) id", .text(text)) }
      return id
    }
  }
  /// A closed enum by its raw text.
  public func word<E: RawRepresentable<String>>(_ name: String, as type: E.Type = E.self) throws -> E {
    try required(wordOrNil(name, as: type), name)
  }
  public func wordOrNil<E: RawRepresentable<String>>(_ name: String, as type: E.Type = E.self) throws -> E? {
    try textOrNil(name).map { text in
      guard let word = E(rawValue: text) else { throw wrongType(name, "a \(E.self)", .text(text)) }
      return word
    }
  }

  public func int(_ index: Int) throws -> Int64 { try required(integer(value(index), "\(index)"), "\(index)") }
  public func intOrNil(_ index: Int) throws -> Int64? { try integer(value(index), "\(index)") }
  public func text(_ index: Int) throws -> String { try required(string(value(index), "\(index)"), "\(index)") }
  public func textOrNil(_ index: Int) throws -> String? { try string(value(index), "\(index)") }
  public func blob(_ index: Int) throws -> [UInt8] { try required(bytes(value(index), "\(index)"), "\(index)") }
  public func blobOrNil(_ index: Int) throws -> [UInt8]? { try bytes(value(index), "\(index)") }
  public func real(_ index: Int) throws -> Double { try required(number(value(index), "\(index)"), "\(index)") }
  public func realOrNil(_ index: Int) throws -> Double? { try number(value(index), "\(index)") }

  private func required<T>(_ value: T?, _ name: String) throws -> T {
    guard let value else { throw DatabaseError(.misuse, "column \(name) is NULL where a value is required") }
    return value
  }
  /// Whole numbers also from text: `sum()` of PostgreSQL is numeric.
  private func integer(_ value: SQLValue, _ name: String) throws -> Int64? {
    switch value {
    case .null: return nil
    case .int(let number): return number
    case .text(let text):
      guard let number = Int64(text) else { throw wrongType(name, "a whole number", value) }
      return number
    case .blob, .real: throw wrongType(name, "a whole number", value)
    }
  }
  private func string(_ value: SQLValue, _ name: String) throws -> String? {
    switch value {
    case .null: return nil
    case .text(let text): return text
    case .int, .blob, .real: throw wrongType(name, "text", value)
    }
  }
  private func bytes(_ value: SQLValue, _ name: String) throws -> [UInt8]? {
    switch value {
    case .null: return nil
    case .blob(let bytes): return bytes
    case .int, .text, .real: throw wrongType(name, "a blob", value)
    }
  }
  private func number(_ value: SQLValue, _ name: String) throws -> Double? {
    switch value {
    case .null: return nil
    case .real(let number): return number
    case .int(let number): return Double(number)
    case .text(let text):
      guard let number = Double(text) else { throw wrongType(name, "a number", value) }
      return number
    case .blob: throw wrongType(name, "a number", value)
    }
  }
  /// Names the type found, never the value: it may be a customer's.
  private func wrongType(_ name: String, _ wanted: String, _ found: SQLValue) -> DatabaseError {
    let type =
      switch found {
      case .null: "NULL"
      case .int: "a whole number"
      case .text: "text"
      case .blob: "a blob"
      case .real: "a real number"
      }
    return DatabaseError(.misuse, "column \(name) holds \(type), not \(wanted)")
  }
}

/// The names of a statement's columns, shared by its rows.
final class ColumnNames: Sendable {
  let list: [String]
  /// Open addressing over a hash that costs a few bytes' reading: a row of a long list is asked for forty names.
  private let slots: [Int16]

  init(_ list: [String]) {
    self.list = list
    var size = 16
    while size < list.count * 4 { size *= 2 }
    var slots = [Int16](repeating: -1, count: size)
    for (index, name) in list.enumerated() {
      var slot = Self.hash(name) & (size - 1)
      // Of two columns of one name the first counts: it comes first here.
      while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = Int16(index)
    }
    self.slots = slots
  }

  func index(of name: String) -> Int? {
    var slot = Self.hash(name) & (slots.count - 1)
    while slots[slot] >= 0 {
      let index = Int(slots[slot])
      if list[index] == name { return index }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  /// Names of columns differ in length, at both ends or in the middle.
  private static func hash(_ name: String) -> Int {
    name.utf8.withContiguousStorageIfAvailable { bytes in
      guard bytes.count > 0 else { return 0 }
      let first = Int(bytes[0]) &* 31 &+ Int(bytes[bytes.count / 2])
      return (first &* 31 &+ Int(bytes[bytes.count - 1])) &* 31 &+ Int(bytes[bytes.count / 4]) &+ bytes.count
    } ?? 0
  }
}
