import CSQLite
import Channels
import Crypto
import Foundation

/// A consistent copy of a store while it works, and the way back.
///
/// A backup is a folder: the database (`liaison.db`, or `liaison.dump` of pg_dump), `bodies/`, and `manifest.json`,
/// which is written last: without it the folder is no backup. The database is copied first, from one snapshot; bodies
/// are only ever added, before the row that names them, so the bodies copied afterwards contain all it names.
/// Blocking work on a thread of its own.
public enum Backup {
  public struct Manifest: Codable, Sendable, Hashable {
    public var format = 1
    public var engine: String
    public var createdAt: Timestamp
    /// Version of the schema, the number of its last migration.
    public var version: Int
    /// SHA-256 of the database's file.
    public var digest: String
    public var databaseBytes: Int
    public var bodies: Int
    /// Bodies whose bytes no longer were those of their name; not copied.
    public var damagedBodies: [String]
  }

  public struct Progress: Sendable, Hashable {
    public enum Part: String, Sendable { case database, check, bodies }
    public var part: Part
    /// Pages of the database, files of bodies.
    public var done: Int
    public var total: Int
  }
  public typealias Report = @Sendable (Progress) -> Void

  /// Copies the store at `url`, running or not, into `directory`, which must be new or empty.
  public static func make(
    of url: StoreURL, bodies bodyDirectory: String?, into directory: String, now: Timestamp,
    report: @escaping Report = { _ in }
  ) async throws -> Manifest {
    try await onOwnThread {
      try prepareEmpty(directory)
      let file = directory + "/" + fileName(url.dialect)
      let version: Int
      switch url.place {
      case .sqlite(let path): version = try copySQLite(from: path, to: file, report)
      case .postgres(let uri): version = try dumpPostgres(uri, to: file)
      }
      try syncFile(file)
      var manifest = Manifest(
        engine: url.dialect.rawValue, createdAt: now, version: version, digest: try digest(ofFile: file),
        databaseBytes: try size(of: file), bodies: 0, damagedBodies: [])
      if let bodyDirectory {
        let copied = try copyBodies(from: bodyDirectory, to: directory + "/bodies", report)
        manifest.bodies = copied.count
        manifest.damagedBodies = copied.damaged
      }
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try writeDurably(
        Array(try encoder.encode(manifest)), to: directory + "/manifest.json", by: directory + "/manifest.tmp")
      return manifest
    }
  }

  /// Puts a backup in the place of the store at `url`. Without `force` an existing store is refused; with it a SQLite
  /// file that was there is kept as `<file>.replaced`. Nothing is changed before the backup has proved whole. Throws
  /// `.locked` while a daemon holds the store.
  public static func restore(
    from directory: String, to url: StoreURL, bodies bodyDirectory: String?, force: Bool,
    report: @escaping Report = { _ in }
  ) async throws -> Manifest {
    try await onOwnThread {
      let manifest = try readManifest(directory)
      guard manifest.engine == url.dialect.rawValue else {
        throw DatabaseError(.misuse, "a backup of \(manifest.engine) cannot be restored to \(url.dialect.rawValue)")
      }
      let file = directory + "/" + fileName(url.dialect)
      guard try digest(ofFile: file) == manifest.digest else {
        throw DatabaseError(.corrupt, "\(file): not the file the backup was made with")
      }
      let bring = {
        guard let bodyDirectory else { return }
        _ = try copyBodies(from: directory + "/bodies", to: bodyDirectory, report)
      }
      switch url.place {
      case .sqlite(let path):
        try restoreSQLite(from: file, to: path, force: force, report, bring)
      case .postgres(let uri):
        try restorePostgres(from: file, to: uri, force: force, bring)
      }
      return manifest
    }
  }

  private static func fileName(_ dialect: Dialect) -> String { dialect == .sqlite ? "liaison.db" : "liaison.dump" }

  private static func readManifest(_ directory: String) throws -> Manifest {
    let bytes: [UInt8]
    do {
      bytes = try readFile(directory + "/manifest.json")
    } catch {
      throw DatabaseError(.unreadable, "\(directory): no complete backup: \(error)")
    }
    do {
      return try JSONDecoder().decode(Manifest.self, from: Data(bytes))
    } catch {
      throw DatabaseError(.corrupt, "\(directory)/manifest.json: \(error)")
    }
  }

  private static func prepareEmpty(_ directory: String) throws {
    try makeDirectory(directory)
    guard try entries(of: directory).isEmpty else {
      throw DatabaseError(.misuse, "\(directory) is not empty: a backup needs a folder of its own")
    }
  }

  // MARK: SQLite

  /// Works beside a running daemon: a snapshot held open makes the copy consistent and its pages final.
  private static func copySQLite(from path: String, to file: String, _ report: Report) throws -> Int {
    let source = try SQLiteConnection(path: path, role: .reader, busyTimeout: .seconds(30))
    defer { source.close() }
    try source.begin(.snapshot)
    defer { source.rollback() }
    let version = Int(try source.one("SELECT max(number) AS n FROM schema_migration").intOrNil("n") ?? 0)
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(file, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, nil)
    guard let target = opened else { throw DatabaseError(.other, "SQLite: out of memory") }
    defer { sqlite3_close_v2(target) }
    guard code == SQLITE_OK else { throw SQLiteConnection.error(code, of: target, at: file) }
    guard let copy = sqlite3_backup_init(target, "main", source.backupSource, "main") else {
      throw SQLiteConnection.error(sqlite3_extended_errcode(target), of: target, at: file)
    }
    var step = SQLITE_OK
    repeat {
      step = sqlite3_backup_step(copy, 1_024)
      let total = Int(sqlite3_backup_pagecount(copy))
      report(Progress(part: .database, done: total - Int(sqlite3_backup_remaining(copy)), total: total))
    } while step == SQLITE_OK
    let finished = sqlite3_backup_finish(copy)
    guard step == SQLITE_DONE, finished == SQLITE_OK else {
      throw SQLiteConnection.error(step == SQLITE_DONE ? finished : step, of: target, at: file)
    }
    // One file, without a log beside it.
    guard sqlite3_exec(target, "PRAGMA journal_mode = DELETE", nil, nil, nil) == SQLITE_OK else {
      throw SQLiteConnection.error(sqlite3_extended_errcode(target), of: target, at: file)
    }
    return version
  }

  private static func restoreSQLite(
    from file: String, to path: String, force: Bool, _ report: Report, _ bringBodies: () throws -> Void
  ) throws {
    let lock = try StoreLock(besides: path)
    defer { withExtendedLifetime(lock) {} }
    let exists = access(path, F_OK) == 0
    guard force || !exists else {
      throw DatabaseError(.misuse, "\(path) exists: restoring over it needs --force")
    }
    let arriving = path + ".restoring"
    if unlink(arriving) != 0, errno != ENOENT { throw systemFailure("\(arriving): cannot be removed", errno) }
    try copyFile(from: file, to: arriving)
    report(Progress(part: .check, done: 0, total: 1))
    try checkIntegrity(of: arriving)
    report(Progress(part: .check, done: 1, total: 1))
    try bringBodies()
    if exists { try setAside(path) }
    guard rename(arriving, path) == 0 else { throw systemFailure("\(path): cannot be named", errno) }
    try syncDirectory(Store.directory(of: path))
  }

  private static func checkIntegrity(of file: String) throws {
    let connection = try SQLiteConnection(path: file, role: .reader, busyTimeout: .zero)
    defer { connection.close() }
    let findings = try connection.query("PRAGMA integrity_check(5)").map { try $0.text(0) }
    guard findings == ["ok"] else {
      throw DatabaseError(.corrupt, "\(file): \(findings.joined(separator: "; "))")
    }
    guard try connection.query("PRAGMA foreign_key_check").isEmpty else {
      throw DatabaseError(.corrupt, "\(file): rows refer to others that are missing")
    }
    try connection.claimFile()
  }

  /// Keeps the old file as `.replaced`. Its log must not be found by the new file, which it would spoil.
  private static func setAside(_ path: String) throws {
    do {
      // Brings the log's content into the file and removes the log, if the file is still good enough for that.
      let old = try SQLiteConnection(path: path, role: .writer, busyTimeout: .seconds(5))
      _ = try? old.query("PRAGMA wal_checkpoint(TRUNCATE)")  // else the log is set aside below
      old.close()
    } catch {
      // Not readable: that may be why it is being replaced.
    }
    for suffix in ["", "-wal", "-shm"] {
      let replaced = path + ".replaced" + suffix
      if unlink(replaced) != 0, errno != ENOENT { throw systemFailure("\(replaced): cannot be removed", errno) }
      if suffix.isEmpty {
        guard link(path, replaced) == 0 else { throw systemFailure("\(replaced): cannot be named", errno) }
      } else if rename(path + suffix, replaced) != 0, errno != ENOENT {
        throw systemFailure("\(replaced): cannot be named", errno)
      }
    }
  }

  // MARK: PostgreSQL

  private static func dumpPostgres(_ uri: String, to file: String) throws -> Int {
    let connection = try PostgresConnection(uri: uri, name: "liaison backup", use: .look)
    defer { connection.close() }
    let facts = try connection.one(
      "SELECT current_schema() AS schema, (SELECT max(number) FROM schema_migration) AS version")
    try runTool(
      "pg_dump", ["--format=custom", "--schema=\(try facts.text("schema"))", "--file=\(file)"], database: uri)
    return Int(try facts.intOrNil("version") ?? 0)
  }

  private static func restorePostgres(
    from file: String, to uri: String, force: Bool, _ bringBodies: () throws -> Void
  ) throws {
    let connection = try PostgresConnection(uri: uri, name: "liaison restore", use: .maintain)
    defer { connection.close() }
    // Without a schema of its own there is no store and no lock to ask for.
    let state = try connection.one(
      """
      SELECT to_regclass('schema_migration') IS NOT NULL AS has_store,
        current_schema() IS NULL OR pg_try_advisory_lock(\(PostgresConnection.storeLock)) AS is_free
      """)
    guard try force || !state.bool("has_store") else {
      throw DatabaseError(.misuse, "the database holds a store: restoring over it needs --force")
    }
    guard try state.bool("is_free") else { throw DatabaseError(.locked, "a daemon uses the database") }
    try bringBodies()
    try runTool(
      "pg_restore", ["--exit-on-error", "--single-transaction", "--no-owner", "--clean", "--if-exists", file],
      database: uri)
  }

  /// The password goes by the environment: other users can read a process's arguments.
  private static func runTool(_ name: String, _ arguments: [String], database uri: String) throws {
    let (bare, password) = withoutPassword(uri)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name, "--dbname=\(bare)"] + arguments
    var environment = ProcessInfo.processInfo.environment
    if let password { environment["PGPASSWORD"] = password }
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    let errors = Pipe()
    process.standardError = errors
    do {
      try process.run()
    } catch {
      throw DatabaseError(.other, "\(name) cannot be started: \(error)")
    }
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let command = ([name, "--dbname='\(bare)'"] + arguments).joined(separator: " ")
      throw DatabaseError(
        .other, "\(name) failed (\(process.terminationStatus)): \(text)\nBy hand, with PostgreSQL's tools: \(command)")
    }
  }

  /// `postgres://user:secret@host/…` without `:secret`, and the secret, percent-decoded.
  static func withoutPassword(_ uri: String) -> (String, password: String?) {
    guard let scheme = uri.firstRange(of: "://") else { return (uri, nil) }
    let rest = uri[scheme.upperBound...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    guard let at = rest[..<end].lastIndex(of: "@"), let colon = rest[..<at].firstIndex(of: ":") else {
      return (uri, nil)
    }
    let secret = String(rest[rest.index(after: colon)..<at])
    return (uri[..<colon] + String(uri[at...]), secret.removingPercentEncoding ?? secret)
  }

  // MARK: Bodies and files

  private static func copyBodies(
    from source: String, to target: String, _ report: Report
  ) throws -> (count: Int, damaged: [String]) {
    let all = try Store.bodies(in: source)
    try makeDirectory(target)
    try makeDirectory(target + "/tmp")
    var damaged: [String] = []
    for (index, digest) in all.enumerated() {
      do {
        try keepBody(try readBody(digest, in: source), in: target)
      } catch let error as DatabaseError where error.kind == .corrupt {
        damaged.append(digest.description)
      }
      report(Progress(part: .bodies, done: index + 1, total: all.count))
    }
    return (all.count - damaged.count, damaged)
  }

  private static let chunk = 1 << 20

  private static func digest(ofFile path: String) throws -> String {
    var hash = SHA256()
    try eachChunk(of: path) { hash.update(bufferPointer: $0) }
    return hex(hash.finalize())
  }

  private static func copyFile(from source: String, to target: String) throws {
    let output = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
    guard output >= 0 else { throw systemFailure("\(target): cannot be created", errno) }
    defer { close(output) }
    try eachChunk(of: source) { bytes in
      var offset = 0
      while offset < bytes.count {
        let count = write(output, bytes.baseAddress! + offset, bytes.count - offset)
        if count >= 0 {
          offset += count
        } else if errno != EINTR {
          throw systemFailure("\(target): cannot be written", errno)
        }
      }
    }
    guard fsync(output) == 0 else { throw systemFailure("\(target): cannot be synced", errno) }
  }

  private static func eachChunk(of path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let input = open(path, O_RDONLY | O_CLOEXEC)
    guard input >= 0 else { throw systemFailure("\(path): cannot be opened", errno) }
    defer { close(input) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = read(input, buffer.baseAddress!, chunk)
      if count == 0 { return }
      if count < 0 {
        if errno == EINTR { continue }
        throw systemFailure("\(path): cannot be read", errno)
      }
      try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }

  private static func syncFile(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemFailure("\(path): cannot be opened", errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw systemFailure("\(path): cannot be synced", errno) }
  }

  private static func size(of path: String) throws -> Int {
    var status = stat()
    guard stat(path, &status) == 0 else { throw systemFailure("\(path): cannot be read", errno) }
    return Int(status.st_size)
  }

  private static func onOwnThread<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let thread = Thread { continuation.resume(with: Result { try work() }) }
      thread.name = "store-backup"
      thread.start()
    }
  }
}
