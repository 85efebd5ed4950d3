import Channels
import Store
import Testing

@Suite struct ConnectionTests {
  @Test(arguments: Engine.here) func `every kind of value comes back as it was stored`(engine: Engine) async throws {
    let database = try engine.open()
    let blob: [UInt8] = [0, 1, 2, 255, 0x5c, 0x78]
    try await database.write { tx throws in
      try tx.query("INSERT INTO author (id, name) VALUES ($1, $2)", [Int64.max.sql, "行长 O'Neil \\ \"x\" 🙂"])
      try tx.query(
        "INSERT INTO note (id, key, author, body, weight, extra) VALUES ($1, $2, $3, $4, $5, $6)",
        [Int64.min.sql, "", Int64.max.sql, .blob(blob), 0.1, #"{"k": "值"}"#])
      try tx.query("INSERT INTO note (id, body) VALUES ($1, $2)", [2, .blob([])])
    }
    let (first, second) = try await database.read { connection in
      (
        try connection.one(
          """
          SELECT n.*, a.name, n.extra ->> 'k' AS k, n.id < 0 AS negative FROM note n JOIN author a ON a.id = n.author
          WHERE n.id = $1
          """, [Int64.min.sql]),
        try connection.one("SELECT * FROM note WHERE id = $1", [2])
      )
    }
    #expect(try first.int("id") == .min)
    #expect(try first.text("key") == "")
    #expect(try first.text("name") == "行长 O'Neil \\ \"x\" 🙂")
    #expect(try first.blob("body") == blob)
    #expect(try first.real("weight") == 0.1)
    #expect(try first.text("k") == "值")
    #expect(try first.bool("negative"))
    #expect(try first.int(0) == .min)
    #expect(try second.textOrNil("key") == nil)
    #expect(try second.intOrNil("author") == nil)
    #expect(try second.realOrNil("weight") == nil)
    #expect(try second.blob("body") == [])
    await database.close()
  }

  @Test(arguments: Engine.here) func `a NUL in text is stored as a replacement character`(engine: Engine) async throws {
    let database = try engine.open()
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "a\0b"]) }
    #expect(try await database.read { try $0.one("SELECT name FROM author").text("name") } == "a\u{FFFD}b")
    await database.close()
  }

  @Test(arguments: Engine.here) func `constraints are told apart and named`(engine: Engine) async throws {
    let database = try engine.open()
    try await database.write { try $0.execute("INSERT INTO note (id, key) VALUES ($1, $2)", [1, "a"]) }
    let unique = await storeError {
      try await database.write { try $0.execute("INSERT INTO note (id, key) VALUES ($1, $2)", [2, "a"]) }
    }
    #expect(unique?.kind == .unique)
    #expect(unique?.constraint == (engine == .sqlite ? "note.key" : "note_key"))
    let foreign = await storeError {
      try await database.write { try $0.execute("INSERT INTO note (id, author) VALUES ($1, $2)", [3, 99]) }
    }
    #expect(foreign?.kind == .foreignKey)
    let check = await storeError {
      try await database.write { try $0.execute("UPDATE note SET state = $1", ["odd"]) }
    }
    #expect(check?.kind == .check)
    #expect(check?.constraint == "note_state")
    let null = await storeError {
      try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, nil]) }
    }
    #expect(null?.kind == .check)
    #expect(try await database.read { try $0.one("SELECT count(*) AS n FROM note").int("n") } == 1)
    await database.close()
  }

  @Test(arguments: Engine.here) func `mistakes of the caller throw and harm nothing`(engine: Engine) async throws {
    let database = try engine.open()
    let wrong: [(String, [SQLValue])] = [
      ("SELEC 1", []), ("SELECT nothing FROM note", []), ("SELECT id FROM note WHERE id = $1", []),
      ("SELECT id FROM note WHERE id = $1", [1, 2]), ("SELECT {{nothing}}", []), ("SELECT {{id", []),
      ("INSERT INTO note (id) VALUES ($1)", ["not a number"]),
    ]
    for (sql, parameters) in wrong {
      let error = await storeError { try await database.write { try $0.query(sql, parameters) } }
      #expect(error?.kind == .misuse, "\(sql): \(String(describing: error))")
    }
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "x"]) }
    let row = try await database.read { try $0.one("SELECT id, name FROM author") }
    #expect(throws: DatabaseError.self) { try row.int("name") }
    #expect(throws: DatabaseError.self) { try row.blob("id") }
    #expect(throws: DatabaseError.self) { try row.text("missing") }
    #expect(throws: DatabaseError.self) { try row.text(2) }
    #expect(throws: DatabaseError.self) { try row.int(-1) }
    await database.close()
  }

  @Test(arguments: Engine.here) func `rows changed are counted, sums are whole numbers`(engine: Engine) async throws {
    let database = try engine.open()
    try await database.write { tx throws in
      for id in 1...5 { try tx.execute("INSERT INTO note (id, weight) VALUES ($1, $2)", [SQLValue(id), 1.5]) }
      #expect(try tx.execute("UPDATE note SET state = 'done' WHERE id > $1", [2]) == 3)
      #expect(try tx.execute("UPDATE note SET state = 'done' WHERE id > $1", [20]) == 0)
      #expect(try tx.execute("SELECT id FROM note") == 0)
      let sums = try tx.one("SELECT sum(id) AS total, sum(weight) AS weight, avg(id) AS mean FROM note")
      #expect(try sums.int("total") == 15)
      #expect(try sums.real("weight") == 7.5)
      #expect(try sums.real("mean") == 3)
    }
    await database.close()
  }

  @Test(arguments: Engine.here) func `upsert, returning, lists and reuse of parameters work alike`(engine: Engine)
    async throws
  {
    let database = try engine.open()
    try await database.write { tx throws in
      let upsert =
        "INSERT INTO author (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = author.name || $2 RETURNING name"
      #expect(try tx.one(upsert, [1, "a"]).text("name") == "a")
      #expect(try tx.one(upsert, [1, "b"]).text("name") == "ab")
      for (id, name) in [(2, "x\"y"), (3, "行"), (4, "z")] { try tx.execute(upsert, [SQLValue(id), .text(name)]) }
      let byName = try tx.query(
        "SELECT id FROM author WHERE name IN {{list_text:$1}} ORDER BY id", [.list(["x\"y", "行", "no"])])
      #expect(try byName.map { try $0.int("id") } == [2, 3])
      let byID = try tx.query(
        "SELECT id FROM author WHERE id IN {{list_int:$1}} ORDER BY id", [.list([4, 1] as [Int64])])
      #expect(try byID.map { try $0.int("id") } == [1, 4])
      #expect(try tx.query("SELECT id FROM author WHERE id IN {{list_int:$1}}", [.list([] as [Int64])]).isEmpty)
      let claimed = try tx.query("SELECT id FROM author WHERE id > $1 ORDER BY id LIMIT $2 {{skip_locked}}", [1, 2])
      #expect(claimed.count == 2)
    }
    await database.close()
  }

  @Test(arguments: Engine.here) func `text is compared by bytes`(engine: Engine) async throws {
    let database = try engine.open()
    let names = try await database.write { tx throws in
      for (id, name) in ["b", "B", "a", "é", "Z", "_"].enumerated() {
        try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [SQLValue(id), .text(name)])
      }
      return try tx.query("SELECT name FROM author ORDER BY name").map { try $0.text("name") }
    }
    #expect(names == ["B", "Z", "_", "a", "b", "é"])
    await database.close()
  }

  @Test(arguments: Engine.here) func `a savepoint undoes its own part`(engine: Engine) async throws {
    struct Stop: Error {}
    let database = try engine.open()
    try await database.write { tx throws in
      try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "kept"])
      try? tx.savepoint {
        try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [2, "undone"])
        try tx.savepoint { try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [3, "undone too"]) }
        throw Stop()
      }
      _ = try? tx.savepoint { try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "a double"]) }
      try? tx.savepoint { throw Stop() }
      try tx.savepoint { try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [4, "kept"]) }
    }
    let ids = try await database.read { try $0.query("SELECT id FROM author ORDER BY id").map { try $0.int("id") } }
    #expect(ids == [1, 4])
    await database.close()
  }

  @Test(arguments: Engine.here) func `a thousand different statements do not exhaust the cache`(engine: Engine)
    async throws
  {
    let database = try engine.open()
    try await database.write { tx throws in
      for number in 0..<1_000 { #expect(try tx.one("SELECT \(number) AS n").int("n") == Int64(number)) }
      #expect(try tx.one("SELECT 0 AS n").int("n") == 0)
    }
    await database.close()
  }

  @Test(arguments: Engine.here) func `a statement that runs too long is stopped, and the next one works`(engine: Engine)
    async throws
  {
    let database = try engine.open { $0.statementTimeout = .milliseconds(100) }
    let endless = """
      WITH RECURSIVE n (i) AS (SELECT CAST(1 AS {{int}}) UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000)
      SELECT max(i) AS m FROM n
      """
    #expect(await storeError { try await database.read { try $0.one(endless) } }?.kind == .timeout)
    #expect(await storeError { try await database.write { try $0.one(endless) } }?.kind == .timeout)
    try await database.write { try $0.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [1, "after"]) }
    #expect(try await database.read { try $0.query("SELECT id FROM author").count } == 1)
    await database.close()
  }

  @Test(arguments: Engine.here) func `guarded tables refuse change and removal`(engine: Engine) async throws {
    let schema = Migration(
      1, "guards",
      """
      CREATE TABLE log (id {{int}} PRIMARY KEY) {{opt}}; {{append_only:log}};
      CREATE TABLE party (id {{int}} PRIMARY KEY, name {{text}}) {{opt}}; {{never_deleted:party}};
      """)
    let database = try engine.open([schema])
    try await database.write { tx throws in
      try tx.execute("INSERT INTO log (id) VALUES ($1)", [1])
      try tx.execute("INSERT INTO party (id) VALUES ($1)", [1])
      try tx.execute("UPDATE party SET name = $1", ["x"])
    }
    for sql in ["UPDATE log SET id = 2", "DELETE FROM log", "DELETE FROM party"] {
      #expect(await storeError { try await database.write { try $0.execute(sql) } }?.kind == .check, "\(sql)")
    }
    await database.close()
  }

  @Test(arguments: Engine.here) func `Chinese and other words are found by their parts`(engine: Engine) async throws {
    let database = try engine.open([Migration(1, "search", "{{search_table:words_of}};")])
    let texts = ["a": "客户要求办理信用卡，VISA 卡", "b": "Reset my password, please", "c": "信托产品的用户"]
    try await database.write { tx throws in
      for (id, text) in texts {
        try tx.execute(
          "INSERT INTO words_of (id, words) VALUES ($1, $2)", [.text(id), .text(SearchText.words(of: text))])
      }
    }
    func found(_ text: String) async throws -> [String] {
      guard let query = SearchText.query(text) else { return [] }
      return try await database.read {
        try $0.query("SELECT id FROM words_of WHERE {{search:words_of:$1}} ORDER BY id", [.text(query)])
          .map { try $0.text("id") }
      }
    }
    #expect(try await found("信用") == ["a"])
    #expect(try await found("信用卡 visa") == ["a"])
    #expect(try await found("用户") == ["c"])
    #expect(try await found("PASSWORD") == ["b"])
    #expect(try await found("\"' OR - password:*") == [])
    #expect(try await found("客户 password") == [])
    #expect(try await found("!?") == [])
    await database.close()
  }
}

extension Int64 {
  var sql: SQLValue { .int(self) }
}
