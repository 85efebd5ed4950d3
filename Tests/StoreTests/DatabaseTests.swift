import Channels
import Foundation
import Store
import Testing

@Suite struct FirstTests {
  @Test func `what is written is read`() async throws {
    let path = NSTemporaryDirectory() + "store-\(UUID().uuidString).db"
    let database = try Database.open(
      StoreURL(path), migrations: [Migration(1, "first", "CREATE TABLE a (id {{id}}, b {{text}} NOT NULL) {{opt}};")],
      now: Timestamp(seconds: 1))
    try await database.write { tx in
      try tx.query("INSERT INTO a (id, b) VALUES ($1, $2)", [1, "x"])
    }
    #expect(try await database.read { try $0.one("SELECT b FROM a WHERE id = $1", [1]).text("b") } == "x")
    await database.close()
  }
}
