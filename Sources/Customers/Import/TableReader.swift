import Channels
import Foundation

/// One row of a file, or why it cannot be read.
struct TableRow: Sendable, Hashable {
  /// Counted from 1, the header not counted.
  var number: Int
  var values: Result

  enum Result: Sendable, Hashable {
    /// By column; several values of one column are joined by `;`.
    case values([String: String])
    case fault(ImportFault)
  }
}

/// Reads CSV and JSON lines row by row; a row that is broken costs itself and nothing else.
///
/// CSV: commas, semicolons or tabs, whichever the header has; quotes as RFC 4180 §2. A quote that never ends would
/// swallow the rest of the file: a record longer than `maximumRecord` is a fault, and reading goes on at the next line.
/// JSON lines: one object a line, its members scalars or arrays of scalars.
struct TableReader {
  enum Format: String, Sendable, CaseIterable { case csv, jsonl }
  static let maximumRecord = 65_536

  private var source: ImportSource.Texts
  private let format: Format
  /// What was read of the source and not yet used lies from `index` on.
  private var window: [UInt8] = []
  private var index = 0
  private var isOver = false
  private var number = 0
  private var columns: [String] = []
  private var separator = UInt8(ascii: ",")
  /// How much of the text is behind.
  private(set) var bytesRead = 0

  /// `mapping`: column of the file → field; columns that are not in it keep their name.
  init(_ source: ImportSource, format: Format, mapping: [String: String]) throws {
    self.source = try source.texts()
    self.format = format
    guard format == .csv else { return }
    while window.firstIndex(of: 0x0a) == nil, window.count <= Self.maximumRecord, try fill() {}
    let head = window.prefix { $0 != 0x0a }
    for candidate in [UInt8(ascii: ";"), 0x09] where !head.contains(UInt8(ascii: ",")) && head.contains(candidate) {
      separator = candidate
    }
    if case .fields(let names) = try record() {
      columns = names.map { name in
        let plain = name.trimmingBlanks
        return mapping[plain] ?? plain.lowercased()
      }
    }
  }

  /// Of CSV: the header's fields, mapped.
  var header: [String]? { format == .csv ? columns : nil }

  /// Reads more of the source; false at its end.
  private mutating func fill() throws -> Bool {
    guard !isOver, let piece = try source.next() else {
      isOver = true
      return false
    }
    window += piece
    return true
  }

  /// Gives up what is behind: only between two records.
  private mutating func compact() {
    guard index >= ImportSource.pieceBytes else { return }
    window.removeFirst(index)
    index = 0
  }

  private mutating func byte() throws -> UInt8? {
    if index == window.count, try !fill() { return nil }
    defer { index += 1 }
    return window[index]
  }

  mutating func next() throws -> TableRow? {
    while true {
      compact()
      if index == window.count, try !fill() { return nil }
      let start = index
      defer { bytesRead += index - start }
      switch format {
      case .csv:
        switch try record() {
        case .fields(let fields):
          if fields.count == 1, fields[0].isEmpty { continue }
          number += 1
          guard fields.count == columns.count else {
            return TableRow(
              number: number, values: .fault(.init(.wrongColumnCount, "\(fields.count) ≠ \(columns.count)")))
          }
          return TableRow(
            number: number, values: .values(Dictionary(zip(columns, fields), uniquingKeysWith: { first, _ in first })))
        case .fault(let fault):
          number += 1
          return TableRow(number: number, values: .fault(fault))
        }
      case .jsonl:
        switch try line() {
        case .fields(let fields):
          let line = Array(fields[0].utf8)
          if line.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) { continue }
          number += 1
          return TableRow(number: number, values: Self.object(line[...]))
        case .fault(let fault):
          number += 1
          return TableRow(number: number, values: .fault(fault))
        }
      }
    }
  }

  private enum Record { case fields([String]), fault(ImportFault) }

  /// Gives up the record that began at `start` and goes on at the next line, however far that is.
  private mutating func skip(from start: Int, _ fault: ImportFault) throws -> Record {
    index = start
    while true {
      if let end = window[index...].firstIndex(of: 0x0a) {
        index = end + 1
        return .fault(fault)
      }
      bytesRead += window.count - start
      window.removeAll(keepingCapacity: true)
      index = 0
      if try !fill() { return .fault(fault) }
    }
  }

  private mutating func line() throws -> Record {
    let start = index
    while true {
      if let end = window[index...].firstIndex(of: 0x0a) {
        index = end + 1
        guard end - start <= Self.maximumRecord else { return .fault(.init(.tooLong, "> \(Self.maximumRecord)")) }
        return .fields([String(decoding: window[start..<end], as: UTF8.self)])
      }
      index = window.count
      if index - start > Self.maximumRecord {
        return try skip(from: start, .init(.tooLong, "> \(Self.maximumRecord)"))
      }
      if try !fill() { return .fields([String(decoding: window[start...], as: UTF8.self)]) }
    }
  }

  private mutating func record() throws -> Record {
    let start = index
    var fields: [String] = []
    var field: [UInt8] = []
    var isQuoted = false
    var wasQuoted = false
    while let byte = try byte() {
      if index - start > Self.maximumRecord {
        return try skip(from: start, .init(.tooLong, "> \(Self.maximumRecord)"))
      }
      if isQuoted {
        if byte == 0x22 {
          if index == window.count { _ = try fill() }
          if index < window.count, window[index] == 0x22 {
            field.append(0x22)
            index += 1
          } else {
            isQuoted = false
          }
        } else {
          field.append(byte)
        }
      } else if byte == 0x22, field.isEmpty, !wasQuoted {
        isQuoted = true
        wasQuoted = true
      } else if byte == separator {
        fields.append(String(decoding: field, as: UTF8.self))
        field.removeAll(keepingCapacity: true)
        wasQuoted = false
      } else if byte == 0x0a {
        if field.last == 0x0d { field.removeLast() }
        fields.append(String(decoding: field, as: UTF8.self))
        return .fields(fields)
      } else {
        field.append(byte)
      }
    }
    if isQuoted { return try skip(from: start, .init(.openQuote)) }
    fields.append(String(decoding: field, as: UTF8.self))
    return .fields(fields)
  }

  private static func object(_ line: ArraySlice<UInt8>) -> TableRow.Result {
    // What is no JSON is that row's fault; the error itself says no more than this.
    guard let value = try? JSONSerialization.jsonObject(with: Data(line)), let object = value as? [String: Any] else {
      return .fault(.init(.notAnObject))
    }
    var out: [String: String] = [:]
    for (name, value) in object {
      if value is NSNull { continue }
      if let list = value as? [Any] {
        out[name.lowercased()] = list.map { "\($0)" }.joined(separator: ";")
      } else if value is [String: Any] {
        return .fault(.init(.badValue, name))
      } else {
        out[name.lowercased()] = "\(value)"
      }
    }
    return .values(out)
  }
}
