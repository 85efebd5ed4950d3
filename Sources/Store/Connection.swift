/// One session with the database: synchronous, and used by one thread only.
///
/// Given to the bodies of `Database.write` and `Database.read`; the functions that record business facts extend it.
/// SQL is the common text of both engines: `$1` placeholders, RETURNING, UPSERT, hooks of `Dialect`.
public protocol Connection: AnyObject {
  var dialect: Dialect { get }

  /// Runs one statement with all its rows fetched. Parameters are `$1`, `$2`, … each used at least once.
  @discardableResult
  func query(_ sql: String, _ parameters: [SQLValue]) throws -> [Row]

  /// Runs one statement for its effect; answers how many rows it changed.
  @discardableResult
  func execute(_ sql: String, _ parameters: [SQLValue]) throws -> Int

  /// Runs several statements without parameters, separated by semicolons. Not kept prepared: for schema and set-up.
  func execute(script: String) throws

  /// Runs `body`; if it throws, what it wrote is undone and the error passed on, and the transaction goes on.
  @discardableResult
  func savepoint<T>(_ body: () throws -> T) throws -> T
}

extension Connection {
  @discardableResult
  public func query(_ sql: String) throws -> [Row] { try query(sql, []) }
  @discardableResult
  public func execute(_ sql: String) throws -> Int { try execute(sql, []) }

  /// The first row, nil if there is none.
  public func first(_ sql: String, _ parameters: [SQLValue] = []) throws -> Row? {
    try query(sql, parameters).first
  }
  /// The only row. None or several throw `.misuse`.
  public func one(_ sql: String, _ parameters: [SQLValue] = []) throws -> Row {
    let rows = try query(sql, parameters)
    guard rows.count == 1 else { throw DatabaseError(.misuse, "\(rows.count) rows where one is required: \(sql)") }
    return rows[0]
  }
}

/// A connection as the writer and the readers drive it.
protocol Session: Connection {
  func begin(_ mode: TransactionMode) throws
  func commit() throws
  /// Ends the transaction if one is open. Never throws: a session that cannot is reopened by the next `begin`.
  func rollback()
  /// False after an error by which the engine ended the transaction itself.
  var isInTransaction: Bool { get }
  /// Statements that run longer throw `.timeout`, as do those during which `isCancelled` becomes true (asked now and
  /// then, where the engine allows). Kept until set again.
  func limit(to timeout: Duration?, isCancelled: (@Sendable () -> Bool)?) throws
  /// Called by the writer when a batch's tasks have been resumed: the moment for upkeep that would delay a commit.
  func upkeep()
  func close()
}

extension Session {
  func upkeep() {}
}

enum TransactionMode { case write, snapshot }

/// Given to one thread once; who gives it forgets it.
struct Handover<Value>: @unchecked Sendable {
  let value: Value
}
