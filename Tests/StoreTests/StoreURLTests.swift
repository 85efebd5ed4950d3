import Store
import Testing

@Suite struct StoreURLTests {
  @Test(arguments: [
    ("sqlite:///var/lib/liaison.db", "/var/lib/liaison.db"), ("sqlite:here.db", "here.db"), ("/a/b.db", "/a/b.db"),
    ("here.db", "here.db"),
  ])
  func `a SQLite store is a path`(text: String, path: String) throws {
    #expect(try StoreURL(text).place == .sqlite(path: path))
  }

  @Test(arguments: ["", "sqlite:", "/a/b/", "mysql://host/db"])
  func `what names no store is refused`(text: String) {
    #expect(throws: DatabaseError.self) { try StoreURL(text) }
  }

  @Test(arguments: [
    (
      "postgres://bank:s3:cr@t@db.bank/liaison?sslmode=verify-full",
      "postgres://bank:…@db.bank/liaison?sslmode=verify-full"
    ),
    ("postgresql://bank@db/liaison?password=secret&x=1", "postgresql://bank@db/liaison?password=…&x=1"),
    ("postgres:///liaison", "postgres:///liaison"),
  ])
  func `a password is never shown`(text: String, shown: String) throws {
    #expect(try StoreURL(text).description == shown)
  }
}
