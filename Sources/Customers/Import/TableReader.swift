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

  private let bytes: [UInt8]
  private let format: Format
  private var index = 0
  private var number = 0
  private var columns: [String] = []
  private var separator = UInt8(ascii: ",")

  /// `mapping`: column of the file → field; columns that are not in it keep their name.
  init(_ bytes: [UInt8], format: Format, mapping: [String: String]) {
    self.bytes = bytes
    self.format = format
    guard format == .csv else { return }
    let head = bytes.prefix { $0 != 0x0a }
    for candidate in [UInt8(ascii: ";"), 0x09] where !head.contains(UInt8(ascii: ",")) && head.contains(candidate) {
      separator = candidate
    }
    if case .fields(let names) = record() {
      columns = names.map { name in
        let plain = name.trimmingBlanks
        return mapping[plain] ?? plain.lowercased()
      }
    }
  }

  /// Of CSV: the header's fields, mapped.
  var header: [String]? { format == .csv ? columns : nil }

  mutating func next() -> TableRow? {
    while index < bytes.count {
      switch format {
      case .csv:
        switch record() {
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
        let end = bytes[index...].firstIndex(of: 0x0a) ?? bytes.count
        let line = bytes[index..<end]
        index = end + 1
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) { continue }
        number += 1
        guard line.count <= Self.maximumRecord else {
          return TableRow(number: number, values: .fault(.init(.tooLong, "> \(Self.maximumRecord)")))
        }
        return TableRow(number: number, values: Self.object(line))
      }
    }
    return nil
  }

  private enum Record { case fields([String]), fault(ImportFault) }

  /// Gives up the record that began at `start` and goes on at the next line.
  private mutating func skip(from start: Int, _ fault: ImportFault) -> Record {
    index = (bytes[start...].firstIndex(of: 0x0a) ?? bytes.count - 1) + 1
    return .fault(fault)
  }

  private mutating func record() -> Record {
    let start = index
    var fields: [String] = []
    var field: [UInt8] = []
    var isQuoted = false
    var wasQuoted = false
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      if index - start > Self.maximumRecord {
        return skip(from: start, .init(.tooLong, "> \(Self.maximumRecord)"))
      }
      if isQuoted {
        if byte == 0x22 {
          if index < bytes.count, bytes[index] == 0x22 {
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
        field = []
        wasQuoted = false
      } else if byte == 0x0a {
        if field.last == 0x0d { field.removeLast() }
        fields.append(String(decoding: field, as: UTF8.self))
        return .fields(fields)
      } else {
        field.append(byte)
      }
    }
    if isQuoted { return skip(from: start, .init(.openQuote)) }
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
