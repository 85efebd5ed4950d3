import Channels
import Store
import Testing

@Suite struct MigrationTests {
  static let history = [
    Migration(1, "first", "CREATE TABLE a (id {{int}} PRIMARY KEY) {{opt}};"),
    Migration(2, "second", "ALTER TABLE a ADD COLUMN name {{text}}; CREATE INDEX a_name ON a (name);"),
    Migration(3, "third", "CREATE TABLE b (id {{int}} PRIMARY KEY, a {{int}} REFERENCES a (id)) {{opt}};"),
  ]

  @Test(arguments: Engine.here, [0, 1, 2, 3])
  func `every earlier version is brought to the newest`(engine: Engine, from version: Int) async throws {
    let url = try engine.freshURL()
    if version > 0 {
      let old = try engine.open(Self.history, at: url) { $0.migrate = .upTo(version) }
      #expect(old.migrated == Array(1...version))
      try await old.write { try $0.execute("INSERT INTO a (id) VALUES ($1)", [7]) }
      await old.close()
    }
    let database = try engine.open(Self.history, at: url)
    #expect(database.migrated == Array((version + 1)..<4))
    try await database.write { tx in
      try tx.execute(
        "INSERT INTO a (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name", [7, "x"])
      try tx.execute("INSERT INTO b (id, a) VALUES ($1, $2)", [1, 7])
    }
    #expect(try await database.read { try $0.one("SELECT name FROM a").text("name") } == "x")
    await database.close()
    let again = try engine.open(Self.history, at: url) { $0.migrate = .require }
    #expect(again.migrated == [])
    await again.close()
  }

  @Test(arguments: Engine.here) func `a database of a newer version is refused`(engine: Engine) async throws {
    let url = try engine.freshURL()
    try await engine.open(Self.history, at: url).close()
    let error = await storeError { try engine.open(Array(Self.history.prefix(2)), at: url) }
    #expect(error?.kind == .tooNew)
    #expect(error?.message.contains("version 3") == true)
  }

  @Test(arguments: Engine.here) func `an old database is refused where it may not be changed`(engine: Engine)
    async throws
  {
    let url = try engine.freshURL()
    try await engine.open(Array(Self.history.prefix(1)), at: url).close()
    #expect(await storeError { try engine.open(Self.history, at: url) { $0.migrate = .require } } != nil)
  }

  @Test(arguments: Engine.here) func `a migration whose text was changed is noticed`(engine: Engine) async throws {
    let url = try engine.freshURL()
    try await engine.open(Self.history, at: url).close()
    var changed = Self.history
    changed[1].sql += " "
    #expect(await storeError { try engine.open(changed, at: url) }?.kind == .migrationChanged)
  }

  @Test(arguments: Engine.here) func `a migration that fails leaves the version before it`(engine: Engine) async throws
  {
    let url = try engine.freshURL()
    var broken = Self.history
    broken[2].sql = "CREATE TABLE c (id {{int}} PRIMARY KEY) {{opt}}; CREATE TABLE a (id {{int}});"
    let error = await storeError { try engine.open(broken, at: url) }
    #expect(error?.message.contains("migration 3 third") == true)
    let database = try engine.open(Array(Self.history.prefix(2)), at: url)
    #expect(database.migrated == [])
    #expect(await storeError { try await database.read { try $0.query("SELECT * FROM c") } }?.kind == .misuse)
    await database.close()
  }
}
