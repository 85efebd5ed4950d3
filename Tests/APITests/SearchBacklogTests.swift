import Channels
import ContactModel
import Foundation
import Store
import Testing

@testable import API

/// What was written before there was a search is found in the end, whatever interrupts the indexing.
@Suite struct SearchBacklogTests {
  @Test func `an index half made goes on after a restart and after a restore, and finds each thing once`() async throws
  {
    let folder = try temporaryFolder().path
    let url = try StoreURL(folder + "/store.db")
    var options = Database.Options()
    options.migrate = .upTo(2)
    var database = try Database.open(url, migrations: migrations, options: options, now: testTime)
    let ids = (0..<9).map { ContactID(at: testTime - .seconds(1_000 - $0)) }
    try await database.write { transaction in
      for (number, id) in ids.enumerated() {
        try transaction.execute(
          """
          INSERT INTO contact(contact_id, channel_kind, channel, direction, initiation, state, summary, content,
            identity_zone, identity_decision, received_at, stored_at)
          VALUES ($1, 'webform', 'web', 'inbound', 'inbound', 'open', $2, '存款利率', 'unsatisfied', $3, $4, $4)
          """,
          [
            .text(id.description), .text("旧信 \(number)"), .text(DecisionID(at: testTime).description),
            .int((testTime - .seconds(1_000)).microseconds),
          ])
      }
    }
    await database.close()

    func open() throws -> Database { try Database.open(url, migrations: migrations, now: testTime) }
    func found() async throws -> Set<ContactID> {
      let list = try await database.read { try $0.search("利率", for: ContactKind.self, before: nil, limit: 100) }
      #expect(Set(list).count == list.count)
      return Set(list)
    }
    func catchUp() async throws {
      while try await database.write(.bulk, { try $0.indexBacklog(limit: 2) }) {}
    }

    database = try open()
    #expect(try await found().isEmpty)
    _ = try await database.write(.bulk) { try $0.indexBacklog(limit: 4) }
    #expect(try await found() == Set(ids.prefix(4)))
    _ = try await Backup.make(of: url, bodies: nil, into: folder + "/backup", now: testTime)
    // A piece that is undone leaves no trace: neither its words nor where it stood.
    struct Broken: Error {}
    await #expect(throws: Broken.self) {
      try await database.write(.bulk) { transaction in
        _ = try transaction.indexBacklog(limit: 4)
        throw Broken()
      }
    }
    #expect(try await found() == Set(ids.prefix(4)))
    await database.close()

    database = try open()
    try await catchUp()
    #expect(try await found() == Set(ids))
    await database.close()

    _ = try await Backup.restore(from: folder + "/backup", to: url, bodies: nil, force: true)
    database = try open()
    #expect(try await found() == Set(ids.prefix(4)))
    try await catchUp()
    #expect(try await found() == Set(ids))
    await database.close()
  }
}
