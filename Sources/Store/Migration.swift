import Channels
import Crypto

/// One numbered step of the schema, in the common SQL text with hooks of `Dialect`.
///
/// Append-only: once released a step's text never changes; a checksum of it is kept with the database and compared.
public struct Migration: Sendable {
  /// 1, 2, 3 … without gaps.
  public var number: Int
  public var name: String
  public var sql: String

  public init(_ number: Int, _ name: String, _ sql: String) {
    self.number = number
    self.name = name
    self.sql = sql
  }

  /// SHA-256 of the unexpanded text: the same on both engines.
  var checksum: String { hex(SHA256.hash(data: Array(sql.utf8))) }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
  func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
  var out: [UInt8] = []
  out.reserveCapacity(64)
  for byte in bytes {
    out.append(digit(byte >> 4))
    out.append(digit(byte & 15))
  }
  return String(decoding: out, as: UTF8.self)
}

/// Brings a database to the newest version, each step and its note in one transaction.
struct Migrator {
  let migrations: [Migration]

  /// The numbers applied now. Throws `.tooNew` for a database of a newer version, `.migrationChanged` for a step whose
  /// text differs from the one applied.
  func run(on session: any Session, upTo limit: Int? = nil, at now: Timestamp) throws -> [Int] {
    for (index, migration) in migrations.enumerated() where migration.number != index + 1 {
      throw DatabaseError(.misuse, "migration \(migration.number) \(migration.name) stands at place \(index + 1)")
    }
    var applied: [Int] = []
    for migration in migrations.prefix(limit ?? migrations.count) {
      try inTransaction(session) {
        try prepare(session)
        let known = try check(session)
        guard migration.number > known else { return }
        do {
          try session.execute(script: migration.sql)
        } catch var error as DatabaseError {
          error.message = "migration \(migration.number) \(migration.name): \(error.message)"
          throw error
        }
        try session.execute(
          "INSERT INTO schema_migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
          [SQLValue(migration.number), .text(migration.name), .text(migration.checksum), SQLValue(now)])
        applied.append(migration.number)
      }
    }
    if migrations.isEmpty { try inTransaction(session) { try prepare(session) } }
    return applied
  }

  /// The version of the database; refuses one this program cannot work with.
  @discardableResult
  func check(_ connection: any Connection) throws -> Int {
    let rows = try connection.query("SELECT number, name, checksum FROM schema_migration ORDER BY number")
    for row in rows {
      let number = Int(try row.int("number"))
      guard number <= migrations.count else {
        throw DatabaseError(
          .tooNew,
          "the database has version \(try rows.last?.int("number") ?? 0), this program knows \(migrations.count): "
            + "run the newer program, or restore a backup")
      }
      guard try row.text("checksum") == migrations[number - 1].checksum else {
        throw DatabaseError(
          .migrationChanged, "migration \(number) \(try row.text("name")) was applied with another text")
      }
    }
    return rows.count
  }

  private func prepare(_ session: any Session) throws {
    if session.dialect == .postgres {
      // One daemon at a time migrates; the number is arbitrary, held until the transaction ends.
      try session.query("SELECT pg_advisory_xact_lock(5281004311)")
    }
    try session.execute(
      script: """
        CREATE TABLE IF NOT EXISTS schema_migration (
          number {{id}}, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at {{int}} NOT NULL) {{opt}}
        """)
  }

  private func inTransaction(_ session: any Session, _ body: () throws -> Void) throws {
    try session.begin(.write)
    do {
      try body()
      try session.commit()
    } catch {
      session.rollback()
      throw error
    }
  }
}
