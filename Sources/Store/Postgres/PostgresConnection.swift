import CLibpq

/// A session with PostgreSQL through libpq.
///
/// Statements are prepared once per text. BEGIN, SAVEPOINT, RELEASE and COMMIT are not sent at once but travel with the
/// next statement in one round trip (pipeline mode): in a batch of one-statement items that is one round trip an item
/// instead of three. A lost connection is made anew by the next `begin`, never inside a transaction.
/// Durability is asserted at connection: synchronous_commit=on, and a server with fsync=off is refused.
/// Source: specs/stack.md §4; PostgreSQL 15 manual, "libpq: Pipeline Mode".
final class PostgresConnection: Session {
  let dialect = Dialect.postgres
  private let uri: String
  private let name: String
  private let use: Use
  private var handle: OpaquePointer?
  private var statements: [String: Prepared] = [:]
  private var useCount: UInt64 = 0
  private var nameCount = 0
  private var savepointDepth = 0
  /// Statements without an answer of interest, to be sent before the next one.
  private var pending: [String] = []
  private var wantedTimeout: Int64 = 0
  private var appliedTimeout: Int64 = 0
  private static let statementLimit = 256
  /// Shared by the daemons of one store (a schema of a database), exclusive for a restore. The number is arbitrary.
  static let storeLock = "528100431, hashtext(current_schema())"

  private final class Prepared {
    let name: String
    var lastUse: UInt64 = 0
    var columns: ColumnNames?
    init(name: String) { self.name = name }
  }

  enum Use {
    /// A daemon's writer: while it lives no backup is restored over the store.
    case serve
    case look
    case maintain
  }

  init(uri: String, name: String, use: Use) throws {
    self.uri = uri
    self.name = name
    self.use = use
    try connect()
  }

  // MARK: Connecting

  private func connect() throws {
    disconnect()
    // Later words win, so what the URI says goes before these defaults.
    let words = [
      ("connect_timeout", "10"), ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "30000"), ("fallback_application_name", name), ("dbname", uri), ("client_encoding", "UTF8"),
    ]
    var keys: [UnsafePointer<CChar>?] = words.map { UnsafePointer(copied($0.0)) } + [nil]
    var values: [UnsafePointer<CChar>?] = words.map { UnsafePointer(copied($0.1)) } + [nil]
    defer { for pointer in keys + values { UnsafeMutablePointer(mutating: pointer)?.deallocate() } }
    guard let handle = PQconnectdbParams(&keys, &values, 1) else {
      throw DatabaseError(.other, "libpq: out of memory")
    }
    guard PQstatus(handle) == CONNECTION_OK else {
      let text = trimmed(String(cString: PQerrorMessage(handle)))
      PQfinish(handle)
      throw DatabaseError(.connection, text)
    }
    self.handle = handle
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
    do {
      try configure()
    } catch {
      disconnect()
      throw error
    }
  }

  private func configure() throws {
    try execute(
      script: """
        SET synchronous_commit = on; SET TIME ZONE 'UTC'; SET standard_conforming_strings = on;
        SET bytea_output = 'hex'; SET client_min_messages = warning; SET idle_in_transaction_session_timeout = 0
        """)
    switch use {
    case .serve: try execute(script: "SELECT pg_advisory_lock_shared(\(Self.storeLock))")
    case .look: try execute(script: "SET default_transaction_read_only = on")
    case .maintain: break
    }
    let settings = try one(
      """
      SELECT current_setting('synchronous_commit') AS commit, current_setting('fsync', true) AS fsync,
        current_setting('server_encoding') AS encoding
      """)
    guard try settings.text("commit") == "on", try settings.textOrNil("fsync") != "off" else {
      throw DatabaseError(.other, "the server does not keep commits: synchronous_commit and fsync must be on")
    }
    guard try settings.text("encoding") == "UTF8" else {
      throw DatabaseError(.other, "the database has encoding \(try settings.text("encoding")), UTF8 is required")
    }
    appliedTimeout = -1
  }

  private func disconnect() {
    if let handle { PQfinish(handle) }
    handle = nil
    statements = [:]
    pending = []
    savepointDepth = 0
  }

  func close() { disconnect() }

  // MARK: Statements

  @discardableResult
  func query(_ sql: String, _ parameters: [SQLValue]) throws -> [Row] {
    let statement = try prepared(sql)
    let result = try roundTrip(statement, parameters)
    defer { PQclear(result) }
    return rows(of: result, statement)
  }

  @discardableResult
  func execute(_ sql: String, _ parameters: [SQLValue]) throws -> Int {
    let result = try roundTrip(try prepared(sql), parameters)
    defer { PQclear(result) }
    if String(cString: PQcmdStatus(result)).hasPrefix("SELECT") { return 0 }
    return Int(String(cString: PQcmdTuples(result))) ?? 0
  }

  func execute(script: String) throws {
    try flush()
    let handle = try connected()
    let result = PQexec(handle, try dialect.expand(script))
    defer { PQclear(result) }
    try check(result)
  }

  private func connected() throws -> OpaquePointer {
    guard let handle, PQstatus(handle) == CONNECTION_OK else {
      throw DatabaseError(.connection, "the connection to the server is lost")
    }
    return handle
  }

  private func prepared(_ sql: String) throws -> Prepared {
    useCount += 1
    if let statement = statements[sql] {
      statement.lastUse = useCount
      return statement
    }
    if statements.count >= Self.statementLimit, let oldest = statements.min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      pending.append("DEALLOCATE \(oldest.value.name)")
      statements[oldest.key] = nil
    }
    try flush()
    nameCount += 1
    let statement = Prepared(name: "s\(nameCount)")
    let result = PQprepare(try connected(), statement.name, try dialect.expand(sql), 0, nil)
    defer { PQclear(result) }
    try check(result)
    statement.lastUse = useCount
    statements[sql] = statement
    return statement
  }

  /// Sends what is pending and the statement; answers its result, which the caller clears.
  private func roundTrip(_ statement: Prepared, _ parameters: [SQLValue]) throws -> OpaquePointer? {
    let handle = try connected()
    let arguments = Arguments(parameters)
    let result: OpaquePointer?
    if pending.isEmpty {
      result = arguments.with { values, lengths, formats in
        PQexecPrepared(handle, statement.name, Int32(parameters.count), values, lengths, formats, 0)
      }
    } else {
      result = try pipeline {
        arguments.with { values, lengths, formats in
          PQsendQueryPrepared(handle, statement.name, Int32(parameters.count), values, lengths, formats, 0)
        }
      }
    }
    do {
      try check(result)
    } catch {
      PQclear(result)
      forgetIfStale(statement, error)
      throw error
    }
    return result
  }

  private func flush() throws {
    if pending.isEmpty { return }
    PQclear(try pipeline(nil))
  }

  /// Sends what is pending and then `send`'s statement in one go; answers the last one's result, unchecked.
  /// Throws if one of the pending failed.
  private func pipeline(_ send: (() -> Int32)?) throws -> OpaquePointer? {
    let handle = try connected()
    let sent = pending
    pending = []
    guard PQenterPipelineMode(handle) == 1 else { throw lost(handle) }
    var isSent = true
    for text in sent where isSent { isSent = PQsendQueryParams(handle, text, 0, nil, nil, nil, nil, 0) == 1 }
    if isSent, let send { isSent = send() == 1 }
    guard isSent, PQpipelineSync(handle) == 1 else {
      let error = lost(handle)
      disconnect()
      throw error
    }
    var failure: DatabaseError?
    var last: OpaquePointer?
    let count = sent.count + (send == nil ? 0 : 1)
    for index in 0..<count {
      var answer: OpaquePointer?
      while let next = PQgetResult(handle) {
        PQclear(answer)
        answer = next
      }
      if index == count - 1, send != nil {
        last = answer
        continue
      }
      if failure == nil {
        do {
          try check(answer)
          if sent[index] == "COMMIT", String(cString: PQcmdStatus(answer)) != "COMMIT" {
            failure = DatabaseError(.other, "the server rolled the transaction back")
          }
        } catch let error as DatabaseError {
          failure = error
          if error.kind == .connection, sent.last == "COMMIT" {
            failure?.message += " (during COMMIT: it may or may not be stored)"
          }
        }
      }
      PQclear(answer)
    }
    PQclear(PQgetResult(handle))  // the synchronisation point
    guard PQexitPipelineMode(handle) == 1 else {
      PQclear(last)
      let error = failure ?? lost(handle)
      disconnect()
      throw error
    }
    if let failure {
      PQclear(last)
      throw failure
    }
    return last
  }

  // MARK: Transactions

  func begin(_ mode: TransactionMode) throws {
    if handle == nil || PQstatus(handle) != CONNECTION_OK { try connect() }
    if wantedTimeout != appliedTimeout {
      pending.append("SET statement_timeout = \(wantedTimeout)")
      appliedTimeout = wantedTimeout
    }
    pending.append(mode == .write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
  }

  func commit() throws {
    pending.append("COMMIT")
    try flush()
  }

  func rollback() {
    savepointDepth = 0
    // A BEGIN that was never sent needs no ROLLBACK; a time-out that was not sent is set again.
    if !pending.isEmpty { appliedTimeout = -1 }
    pending = []
    guard let handle, PQtransactionStatus(handle) != PQTRANS_IDLE else { return }
    // If it fails the connection is gone, and the next `begin` makes a new one.
    PQclear(PQexec(handle, "ROLLBACK"))
    if PQtransactionStatus(handle) != PQTRANS_IDLE { disconnect() }
  }

  var isInTransaction: Bool {
    if pending.contains(where: { $0.hasPrefix("BEGIN") }) { return true }
    guard let handle, PQstatus(handle) == CONNECTION_OK else { return false }
    return PQtransactionStatus(handle) != PQTRANS_IDLE
  }

  func savepoint<T>(_ body: () throws -> T) throws -> T {
    let name = "s\(savepointDepth)"
    pending.append("SAVEPOINT " + name)
    savepointDepth += 1
    do {
      let result = try body()
      savepointDepth -= 1
      if pending.last == "SAVEPOINT " + name {
        pending.removeLast()  // nothing was done within
      } else {
        pending.append("RELEASE " + name)
      }
      return result
    } catch {
      savepointDepth = max(0, savepointDepth - 1)
      if pending.last == "SAVEPOINT " + name {
        pending.removeLast()
      } else if isInTransaction {
        pending.removeAll { $0 != "BEGIN" }
        pending += ["ROLLBACK TO " + name, "RELEASE " + name]
        try flush()
      }
      throw error
    }
  }

  /// The server watches the time; a cancelled task's statement runs on until then.
  func limit(to timeout: Duration?, isCancelled: (@Sendable () -> Bool)?) {
    guard let timeout else {
      wantedTimeout = 0
      return
    }
    let (seconds, attoseconds) = timeout.components
    wantedTimeout = max(1, seconds * 1_000 + attoseconds / 1_000_000_000_000_000)
  }

  // MARK: Answers

  private func rows(of result: OpaquePointer?, _ statement: Prepared) -> [Row] {
    let rowCount = PQntuples(result)
    let columnCount = PQnfields(result)
    guard columnCount > 0 else { return [] }
    if statement.columns?.list.count != Int(columnCount) {
      statement.columns = ColumnNames((0..<columnCount).map { String(cString: PQfname(result, $0)) })
    }
    guard rowCount > 0, let names = statement.columns else { return [] }
    let types = (0..<columnCount).map { PQftype(result, $0) }
    return (0..<rowCount).map { row in
      Row(
        cells: (0..<columnCount).map { column in
          guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else { return .null }
          let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, row, column)))
          return cell(bytes, type: types[Int(column)])
        }, names: names)
    }
  }

  // MARK: Errors

  private func check(_ result: OpaquePointer?) throws {
    switch PQresultStatus(result) {
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return
    default: throw error(of: result)
    }
  }

  private func lost(_ handle: OpaquePointer) -> DatabaseError {
    DatabaseError(.connection, trimmed(String(cString: PQerrorMessage(handle))))
  }

  private func error(of result: OpaquePointer?) -> DatabaseError {
    guard let result else {
      return DatabaseError(.connection, handle.map { trimmed(String(cString: PQerrorMessage($0))) } ?? "no connection")
    }
    func field(_ code: Character) -> String? {
      PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) }
    }
    let state = field("C") ?? ""
    let text = field("M") ?? trimmed(String(cString: PQresultErrorMessage(result)))
    let isAlive = handle.map { PQstatus($0) == CONNECTION_OK } ?? false
    return DatabaseError(isAlive ? kind(ofState: state) : .connection, text, constraint: field("n"))
  }

  /// After a change of the schema by another process a prepared statement no longer fits.
  private func forgetIfStale(_ statement: Prepared, _ error: any Error) {
    guard let error = error as? DatabaseError, error.kind == .serialization else { return }
    if let key = statements.first(where: { $0.value === statement })?.key, error.message.contains("cached plan") {
      statements[key] = nil
      pending.append("DEALLOCATE \(statement.name)")
    }
  }
}

/// PostgreSQL 15 manual, appendix A.
private func kind(ofState state: String) -> DatabaseError.Kind {
  switch state {
  case "23505", "23P01": return .unique
  case "23503": return .foreignKey
  case "23514", "23502": return .check
  case "40001", "40P01", "0A000": return .serialization  // 0A000: "cached plan must not change result type"
  case "57014": return .timeout
  case "55P03", "53300": return .busy
  case "53100": return .full
  case "25006": return .readOnly
  case "08P01": return .misuse  // a wrong number of parameters
  default: break
  }
  switch state.prefix(2) {
  case "08", "57", "": return .connection
  case "22", "42", "26": return .misuse
  case "53": return .busy
  case "58": return .unreadable
  case "XX": return .corrupt
  default: return .other
  }
}

/// A value in text format. Types by their numbers in pg_type.
private func cell(_ bytes: UnsafeRawBufferPointer, type: Oid) -> SQLValue {
  let text = { String(decoding: bytes, as: UTF8.self) }
  switch type {
  case 20, 21, 23, 26: return Int64(text()).map { .int($0) } ?? .text(text())
  case 16: return .int(bytes.first == UInt8(ascii: "t") ? 1 : 0)
  case 700, 701: return Double(text()).map { .real($0) } ?? .text(text())
  case 1700:  // numeric: what sum() and avg() of whole numbers give
    let text = text()
    if let number = Int64(text) { return .int(number) }
    return Double(text).map { .real($0) } ?? .text(text)
  case 17: return .blob(unhex(bytes))
  default: return .text(text())
  }
}

/// `\x48656c6c6f`
private func unhex(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
  func digit(_ byte: UInt8) -> UInt8 { byte < 58 ? byte &- 48 : byte &- 87 }
  let count = max(0, bytes.count - 2) / 2
  return Array(unsafeUninitializedCapacity: count) { out, initialized in
    for index in 0..<count { out[index] = digit(bytes[2 + index * 2]) << 4 | digit(bytes[3 + index * 2]) }
    initialized = count
  }
}

/// Parameters as libpq takes them, in one piece of memory: text format, blobs binary.
private struct Arguments {
  private var bytes: [UInt8] = []
  private var offsets: [Int?] = []
  private var lengths: [Int32] = []
  private var formats: [Int32] = []

  init(_ values: [SQLValue]) {
    for value in values {
      let start = bytes.count
      var format: Int32 = 0
      switch value {
      case .null: break
      case .int(let number): bytes += String(number).utf8
      case .real(let number): bytes += "\(number)".utf8
      case .text(let text): bytes += text.storable.utf8
      case .blob(let blob):
        bytes += blob
        format = 1
      }
      offsets.append(value.isNull ? nil : start)
      lengths.append(Int32(clamping: bytes.count - start))
      formats.append(format)
      bytes.append(0)
    }
  }

  func with<R>(
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> R
  ) -> R {
    bytes.withUnsafeBytes { raw in
      let base = raw.baseAddress?.assumingMemoryBound(to: CChar.self)
      let pointers: [UnsafePointer<CChar>?] = offsets.map { offset in offset.flatMap { base?.advanced(by: $0) } }
      return pointers.withUnsafeBufferPointer { values in
        lengths.withUnsafeBufferPointer { lengths in
          formats.withUnsafeBufferPointer { formats in
            body(values.baseAddress, lengths.baseAddress, formats.baseAddress)
          }
        }
      }
    }
  }
}

private func copied(_ text: String) -> UnsafeMutablePointer<CChar> {
  let bytes = text.utf8CString
  let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
  bytes.withUnsafeBufferPointer { pointer.initialize(from: $0.baseAddress!, count: bytes.count) }
  return pointer
}

private func trimmed(_ text: String) -> String {
  var text = Substring(text)
  while text.last?.isWhitespace == true { text.removeLast() }
  return String(text)
}
