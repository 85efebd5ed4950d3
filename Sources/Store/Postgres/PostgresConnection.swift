import CLibpq

final class PostgresConnection: Session {
  let dialect = Dialect.postgres
  init(uri: String, name: String) throws { throw DatabaseError(.connection, "PostgreSQL is not built in yet") }
  func query(_ sql: String, _ parameters: [SQLValue]) throws -> [Row] { [] }
  func execute(_ sql: String, _ parameters: [SQLValue]) throws -> Int { 0 }
  func execute(script: String) throws {}
  func savepoint<T>(_ body: () throws -> T) throws -> T { try body() }
  func begin(_ mode: TransactionMode) throws {}
  func commit() throws {}
  func rollback() {}
  var isInTransaction: Bool { false }
  func limit(to timeout: Duration?, isCancelled: (@Sendable () -> Bool)?) throws {}
  func close() {}
}
