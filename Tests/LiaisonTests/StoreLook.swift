import Channels
import LiaisonForTests
import Store

extension TestBank {
  /// What the store holds, read beside the running daemon.
  func look<Value: Sendable>(_ read: @escaping @Sendable (any Connection) throws -> Value) async throws -> Value {
    var options = Database.Options()
    options.readOnly = true
    options.readers = 1
    let database = try Database.open(
      StoreURL("sqlite://\(database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    do {
      let value = try await database.read(.live, read)
      await database.close()
      return value
    } catch {
      await database.close()
      throw error
    }
  }
}
