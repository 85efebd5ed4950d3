import Channels
import Foundation
import PostgresForTests
import Store
import Synchronization
import Testing

/// The two databases; every case of the suites here runs on each.
enum Engine: String, CaseIterable, CustomTestStringConvertible {
  case sqlite, postgres
  var testDescription: String { rawValue }

  /// Those that can run on this machine. That PostgreSQL is left out is told by `EngineTests`.
  static let here: [Engine] = LocalPostgres.isAvailable ? [.sqlite, .postgres] : [.sqlite]

  /// An empty store of its own.
  func freshURL() throws -> StoreURL {
    switch self {
    case .sqlite: return try StoreURL(temporaryDirectory() + "/store.db")
    case .postgres: return try StoreURL(LocalPostgres.running().freshURL())
    }
  }

  func open(
    _ migrations: [Migration] = notes, at url: StoreURL? = nil, _ set: (inout Database.Options) -> Void = { _ in }
  ) throws -> Database {
    var options = Database.Options()
    options.readers = 2
    set(&options)
    return try Database.open(
      url ?? freshURL(), migrations: migrations, options: options, now: Timestamp(seconds: 1_795_532_671))
  }
}

func temporaryDirectory() throws -> String {
  let path = NSTemporaryDirectory() + "liaison-store-" + UUID().uuidString
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  return path
}

/// The schema of most tests here.
let notes = [
  Migration(
    1, "notes",
    """
    CREATE TABLE author (id {{int}} PRIMARY KEY, name {{text}} NOT NULL) {{opt}};
    CREATE TABLE note (
      id {{int}} PRIMARY KEY, key {{text}} CONSTRAINT note_key UNIQUE, author {{int}} REFERENCES author (id),
      body {{blob}}, state {{text}} NOT NULL DEFAULT 'new' CONSTRAINT note_state CHECK (state IN ('new', 'done')),
      weight {{real}}, extra {{json}}) {{opt}};
    -- a comment; with a semicolon
    CREATE INDEX note_author ON note (author);
    """)
]

/// What `body` throws, as an error of the store.
func storeError<T>(_ body: () async throws -> T) async -> DatabaseError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? DatabaseError ?? DatabaseError(.other, "not a DatabaseError: \(error)")
  }
}

@Suite struct EngineTests {
  @Test(.enabled(if: LocalPostgres.isAvailable, Comment(rawValue: LocalPostgres.howToGetIt)))
  func `PostgreSQL is here and the suites run on it too`() throws {
    #expect(try LocalPostgres.running().psql("SHOW fsync") == "on")
  }
}

/// A value that several tasks of a test look at.
final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func withLock<R: Sendable>(_ body: (inout Value) throws -> R) rethrows -> R {
    try value.withLock { value in
      var copy = value
      let result = try body(&copy)
      value = copy
      return result
    }
  }
}
