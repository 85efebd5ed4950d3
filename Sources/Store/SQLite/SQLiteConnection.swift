import CSQLite
import Glibc

/// A session with a SQLite file through the C API.
///
/// Statements stay prepared, at most `statementLimit` of them. `$1` is a *named* parameter here, so the common text
/// works as it stands. Write-ahead log and synchronous=FULL: a commit returns after fsync. Source: specs/stack.md §3.
final class SQLiteConnection: Session {
  enum Role: Equatable { case writer, reader }

  let dialect = Dialect.sqlite
  let path: String
  private let handle: OpaquePointer
  private var statements: [String: SQLiteStatement] = [:]
  private var useCount: UInt64 = 0
  private var savepointDepth = 0
  private let clock = StatementClock()
  private let log = LogLength()
  /// Of the writer alone: brings the log into the file.
  private var checkpointer: Checkpointer?
  /// Pages in the log at which the checkpointer is asked next.
  private var nextCheckpoint = checkpointPages
  private var lastCopied: Int32 = 0
  /// Pages in the log between two checkpoints: 8 MB.
  private static let checkpointPages: Int32 = 2_000
  /// So many the writer brings over himself, about a millisecond.
  private static let restPages: Int32 = 200
  /// Of the writer: 16 MB, so that the indices of an import stay at hand. Taken as needed.
  private static let writerCacheKilobytes = 16_384
  private static let statementLimit = 256
  /// Once a process.
  private static let configured = liaison_sqlite_configure()

  init(path: String, role: Role, busyTimeout: Duration) throws {
    self.path = path
    guard Self.configured == SQLITE_OK else { throw DatabaseError(.other, "SQLite: cannot be configured") }
    var opened: OpaquePointer?
    let flags =
      switch role {
      case .writer: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .reader: SQLITE_OPEN_READWRITE
      }
    let code = sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard let handle = opened else { throw DatabaseError(.other, "SQLite: out of memory") }
    guard code == SQLITE_OK else {
      let error = Self.error(code, of: handle, at: path)
      sqlite3_close_v2(handle)
      throw error
    }
    self.handle = handle
    sqlite3_busy_timeout(handle, Int32(clamping: busyTimeout.components.seconds * 1_000))
    sqlite3_progress_handler(
      handle, 2_000, { Unmanaged<StatementClock>.fromOpaque($0!).takeUnretainedValue().isOver ? 1 : 0 },
      Unmanaged.passUnretained(clock).toOpaque())
    do {
      try configure(role)
    } catch {
      close()
      throw error
    }
  }

  /// Asserts what durability rests on instead of hoping for it.
  private func configure(_ role: Role) throws {
    // The first statement that reads the file: here it shows whether it is a database at all.
    try query("PRAGMA schema_version", [])
    try query("PRAGMA foreign_keys = ON", [])
    switch role {
    case .reader:
      try query("PRAGMA query_only = ON", [])
    case .writer:
      sqlite3_wal_hook(
        handle,
        { context, _, _, pages in
          Unmanaged<LogLength>.fromOpaque(context!).takeUnretainedValue().pages = pages
          return SQLITE_OK
        }, Unmanaged.passUnretained(log).toOpaque())
      if try one("PRAGMA journal_mode").text(0) != "wal" {
        let mode = try one("PRAGMA journal_mode = WAL").text(0)
        guard mode == "wal" else {
          throw DatabaseError(.unreadable, "\(path): no write-ahead log on this file system (journal mode \(mode))")
        }
      }
      // What a savepoint may have to undo is kept in memory: in a file it costs more than all else a batch writes.
      try query("PRAGMA temp_store = MEMORY", [])
      try query("PRAGMA synchronous = FULL", [])
      guard try one("PRAGMA synchronous").int(0) == 2 else {
        throw DatabaseError(.other, "\(path): synchronous=FULL did not hold")
      }
      try query("PRAGMA cache_size = -\(Self.writerCacheKilobytes)", [])
    }
  }

  // MARK: Statements

  @discardableResult
  func query(_ sql: String, _ parameters: [SQLValue]) throws -> [Row] {
    var rows: [Row] = []
    try run(sql, parameters) { statement in rows.append(statement.row()) }
    return rows
  }

  @discardableResult
  func execute(_ sql: String, _ parameters: [SQLValue]) throws -> Int {
    let before = sqlite3_total_changes64(handle)
    try run(sql, parameters) { _ in }
    // Without the rows that triggers changed; only a statement that changes rows sets the count anew.
    return sqlite3_total_changes64(handle) == before ? 0 : Int(sqlite3_changes64(handle))
  }

  private func run(_ sql: String, _ parameters: [SQLValue], _ take: (SQLiteStatement) -> Void) throws {
    let statement = try prepared(sql)
    defer { statement.reset() }
    try statement.bind(parameters, sql)
    clock.start()
    while true {
      let code = sqlite3_step(statement.handle)
      if code == SQLITE_ROW {
        take(statement)
      } else if code == SQLITE_DONE {
        return
      } else {
        throw failure(code)
      }
    }
  }

  func execute(script: String) throws {
    let text = try dialect.expand(script)
    try text.withCString { start in
      var next: UnsafePointer<CChar>? = start
      while let current = next, current.pointee != 0 {
        var raw: OpaquePointer?
        let code = sqlite3_prepare_v2(handle, current, -1, &raw, &next)
        guard code == SQLITE_OK else { throw failure(code) }
        guard let raw else { continue }  // white space or a comment
        defer { sqlite3_finalize(raw) }
        clock.start()
        var step = sqlite3_step(raw)
        while step == SQLITE_ROW { step = sqlite3_step(raw) }
        guard step == SQLITE_DONE else { throw failure(step) }
      }
    }
  }

  private func prepared(_ sql: String) throws -> SQLiteStatement {
    useCount += 1
    if let statement = statements[sql] {
      statement.lastUse = useCount
      return statement
    }
    if statements.count >= Self.statementLimit, let oldest = statements.min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      statements.removeValue(forKey: oldest.key)?.finalize()
    }
    var raw: OpaquePointer?
    let text = try dialect.expand(sql)
    let code = sqlite3_prepare_v3(handle, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &raw, nil)
    guard code == SQLITE_OK else { throw failure(code) }
    guard let raw else { throw DatabaseError(.misuse, "an empty statement") }
    let statement = SQLiteStatement(raw)
    statement.lastUse = useCount
    statements[sql] = statement
    return statement
  }

  // MARK: Transactions

  func begin(_ mode: TransactionMode) throws {
    try query(mode == .write ? "BEGIN IMMEDIATE" : "BEGIN", [])
  }
  func commit() throws { try query("COMMIT", []) }
  func rollback() {
    savepointDepth = 0
    guard isInTransaction else { return }
    // A failed ROLLBACK leaves nothing to be done; the next BEGIN reports what is wrong with the session.
    _ = try? query("ROLLBACK", [])
  }
  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  func savepoint<T>(_ body: () throws -> T) throws -> T {
    let name = "s\(savepointDepth)"
    try query("SAVEPOINT " + name, [])
    savepointDepth += 1
    do {
      let result = try body()
      savepointDepth -= 1
      try query("RELEASE " + name, [])
      return result
    } catch {
      savepointDepth = max(0, savepointDepth - 1)
      // On some errors (disk full, time-out) SQLite has ended the whole transaction, and the savepoint with it.
      if isInTransaction {
        try query("ROLLBACK TO " + name, [])
        try query("RELEASE " + name, [])
      }
      throw error
    }
  }

  func limit(to timeout: Duration?, isCancelled: (@Sendable () -> Bool)?) {
    clock.timeout = timeout
    clock.isCancelled = isCancelled
  }

  /// Lets the log be brought into the file by a thread of its own from now on.
  func startCheckpointer(busyTimeout: Duration) throws {
    checkpointer = Checkpointer(try SQLiteConnection(path: path, role: .reader, busyTimeout: busyTimeout))
  }

  /// SQLite would do it inside a COMMIT every 1,000 pages and make that batch wait for two more fsyncs; here the batch
  /// has its answers already, and pages written several times meanwhile are copied once.
  func upkeep() {
    guard let checkpointer else { return }
    let pages = log.pages
    if pages + Self.checkpointPages < nextCheckpoint {
      // The log has begun anew.
      nextCheckpoint = Self.checkpointPages
      lastCopied = 0
    }
    let copied = checkpointer.takeResult()
    if let copied, pages - copied <= Self.restPages {
      // Nothing can be added meanwhile: unless somebody reads an old state, the next commit begins the log anew.
      // A failure costs only room.
      _ = try? checkpoint(sync: false)
      nextCheckpoint = pages + Self.checkpointPages
      return
    }
    // Again at once if the last round got on; else somebody reads an old state, and it is tried later.
    guard pages >= nextCheckpoint || (copied ?? 0) > lastCopied else { return }
    if let copied { lastCopied = copied }
    nextCheckpoint = pages + Self.checkpointPages
    checkpointer.ask()
  }

  /// Answers how many pages of the log are in the file. `sync`: durable also when others have written meanwhile, where
  /// SQLite leaves that to the last.
  func checkpoint(sync: Bool) throws -> Int32 {
    let row = try one("PRAGMA wal_checkpoint(PASSIVE)")
    if sync {
      let code = liaison_sqlite_sync(handle)
      guard code == SQLITE_OK else { throw failure(code) }
    }
    return Int32(clamping: max(0, try row.int(2)))
  }

  func close() {
    checkpointer?.close()
    checkpointer = nil
    for statement in statements.values { statement.finalize() }
    statements = [:]
    sqlite3_close_v2(handle)
  }

  /// For the online backup, on the thread that owns this session.
  var backupSource: OpaquePointer { handle }

  // MARK: Errors

  private func failure(_ code: Int32) -> DatabaseError {
    let error = Self.error(code, of: handle, at: path)
    guard error.kind == .timeout else { return error }
    return DatabaseError(
      .timeout, clock.isCancelled?() == true ? "cancelled" : "statement ran longer than its time-out")
  }

  static func error(_ code: Int32, of handle: OpaquePointer, at path: String) -> DatabaseError {
    let text = String(cString: sqlite3_errmsg(handle))
    let violated = text.firstRange(of: "constraint failed: ").map { String(text[$0.upperBound...]) }
    switch code {
    case 2067, 1555, 2579: return DatabaseError(.unique, text, constraint: violated)  // UNIQUE, PRIMARYKEY, ROWID
    case 787: return DatabaseError(.foreignKey, text)
    case 275, 1299, 1811: return DatabaseError(.check, text, constraint: violated)  // CHECK, NOTNULL, TRIGGER
    case 3091: return DatabaseError(.misuse, text)  // DATATYPE: a value of another type in a STRICT table
    case 517: return DatabaseError(.serialization, text)  // BUSY_SNAPSHOT
    default: break
    }
    let systemError = sqlite3_system_errno(handle)
    let why = systemError == 0 ? "" : " (\(String(cString: strerror(systemError))))"
    switch code & 0xff {
    case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL: return DatabaseError(.busy, "\(path): \(text)")
    case SQLITE_INTERRUPT: return DatabaseError(.timeout, text)
    case SQLITE_FULL: return DatabaseError(.full, "\(path): disk full\(why)")
    case SQLITE_READONLY: return DatabaseError(.readOnly, "\(path): cannot be written: \(text)\(why)")
    case SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_AUTH:
      return DatabaseError(
        systemError == EROFS ? .readOnly : systemError == ENOSPC ? .full : .unreadable, "\(path): \(text)\(why)")
    case SQLITE_IOERR:
      let kind: DatabaseError.Kind =
        switch systemError {
        case ENOSPC, EDQUOT, EFBIG: .full
        case EROFS: .readOnly
        default: .unreadable
        }
      return DatabaseError(kind, "\(path): \(text)\(why)")
    case SQLITE_CORRUPT: return DatabaseError(.corrupt, "\(path): \(text)")
    case SQLITE_NOTADB: return DatabaseError(.notADatabase, "\(path): not a SQLite database")
    case SQLITE_CONSTRAINT: return DatabaseError(.check, text, constraint: violated)
    case SQLITE_ERROR, SQLITE_MISMATCH, SQLITE_RANGE, SQLITE_TOOBIG: return DatabaseError(.misuse, text)
    default: return DatabaseError(.other, "\(path): \(text)\(why)")
    }
  }
}

/// Pages in the write-ahead log, as SQLite tells after each commit.
private final class LogLength {
  var pages: Int32 = 0
}

/// Decides when a running statement has had its time. Asked by SQLite every few thousand steps of its machine.
private final class StatementClock {
  var timeout: Duration?
  var isCancelled: (@Sendable () -> Bool)?
  private var deadline: ContinuousClock.Instant?

  func start() { deadline = timeout.map { ContinuousClock.now + $0 } }
  var isOver: Bool {
    if let deadline, ContinuousClock.now >= deadline { return true }
    return isCancelled?() ?? false
  }
}

extension SQLiteConnection {
  /// `LIAI`: marks a file as ours, as SQLite's manual of `application_id` advises.
  private static let applicationID: Int64 = 0x4c49_4149

  /// Marks a new file, and refuses a database of another program.
  func claimFile() throws {
    let found = try one("PRAGMA application_id").int(0)
    if found == Self.applicationID { return }
    guard found == 0, try query("SELECT name FROM sqlite_schema LIMIT 1").isEmpty else {
      throw DatabaseError(.notADatabase, "\(path): a database of another program")
    }
    try query("PRAGMA application_id = \(Self.applicationID)")
  }
}
