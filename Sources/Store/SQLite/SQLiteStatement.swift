import CSQLite
import Glibc

private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

/// One prepared statement and what is known of its parameters and columns.
final class SQLiteStatement {
  let handle: OpaquePointer
  var lastUse: UInt64 = 0
  /// SQLite's index of `$1`, `$2`, …; 0 where the text lacks it.
  private let indices: [Int32]
  private var names: ColumnNames

  init(_ handle: OpaquePointer) {
    self.handle = handle
    let count = sqlite3_bind_parameter_count(handle)
    var indices: [Int32] = []
    for index in 0..<max(0, count) {
      guard let name = sqlite3_bind_parameter_name(handle, index + 1),
        let number = Int(String(cString: name).dropFirst()),
        number > 0, number < 10_000
      else { continue }
      while indices.count < number { indices.append(0) }
      indices[number - 1] = index + 1
    }
    self.indices = indices
    names = Self.columnNames(of: handle)
  }

  private static func columnNames(of handle: OpaquePointer) -> ColumnNames {
    ColumnNames((0..<sqlite3_column_count(handle)).map { String(cString: sqlite3_column_name(handle, $0)) })
  }

  func bind(_ parameters: [SQLValue], _ sql: String) throws {
    guard parameters.count == indices.count, !indices.contains(0) else {
      throw DatabaseError(.misuse, "\(parameters.count) parameters given, $1 to $\(indices.count) expected: \(sql)")
    }
    for (index, value) in zip(indices, parameters) {
      let code: Int32
      switch value {
      case .null: code = sqlite3_bind_null(handle, index)
      case .int(let number): code = sqlite3_bind_int64(handle, index, number)
      case .real(let number): code = sqlite3_bind_double(handle, index, number)
      case .text(let text):
        var storable = text.storable
        code = storable.withUTF8 { bytes in
          bytes.withMemoryRebound(to: CChar.self) { chars in
            sqlite3_bind_text64(
              handle, index, chars.baseAddress ?? emptyText, UInt64(chars.count), transient, UInt8(SQLITE_UTF8))
          }
        }
      case .blob(let bytes):
        code =
          bytes.isEmpty
          ? sqlite3_bind_zeroblob(handle, index, 0)
          : sqlite3_bind_blob64(handle, index, bytes, UInt64(bytes.count), transient)
      }
      guard code == SQLITE_OK else {
        throw DatabaseError(code == SQLITE_TOOBIG ? .misuse : .other, String(cString: sqlite3_errstr(code)))
      }
    }
  }

  func row() -> Row {
    let count = sqlite3_column_count(handle)
    // A schema change makes SQLite prepare the statement anew, maybe with other columns.
    if Int(count) != names.list.count { names = Self.columnNames(of: handle) }
    var cells: [SQLValue] = []
    cells.reserveCapacity(Int(count))
    for column in 0..<count {
      switch sqlite3_column_type(handle, column) {
      case SQLITE_INTEGER: cells.append(.int(sqlite3_column_int64(handle, column)))
      case SQLITE_FLOAT: cells.append(.real(sqlite3_column_double(handle, column)))
      case SQLITE_TEXT:
        let start = sqlite3_column_text(handle, column)
        let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column)))
        cells.append(.text(String(decoding: bytes, as: UTF8.self)))
      case SQLITE_BLOB:
        let start = sqlite3_column_blob(handle, column)
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column)))
        cells.append(.blob(Array(bytes)))
      default: cells.append(.null)
      }
    }
    return Row(cells: cells, names: names)
  }

  func reset() {
    sqlite3_reset(handle)
    sqlite3_clear_bindings(handle)
  }

  func finalize() { sqlite3_finalize(handle) }
}

nonisolated(unsafe) private let emptyText: UnsafePointer<CChar> = {
  // Allocated once and never changed nor freed.
  let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
  pointer.pointee = 0
  return UnsafePointer(pointer)
}()

extension String {
  /// The text with NUL characters, which PostgreSQL cannot store, replaced.
  var storable: String {
    utf8.contains(0) ? String(String.UnicodeScalarView(unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : $0 })) : self
  }
}
