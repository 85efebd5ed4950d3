import Channels
import ContactModel

/// What the body of `Database.write` is given: the connection inside a transaction, and the way to tell others after it.
///
/// Valid only while the body runs.
public final class WriteTransaction: Connection {
  private let session: any Session
  private let turn: BulkTurn?
  let digests: ClassDigests
  private(set) var announced: [any Sendable] = []
  /// Customers whose projection is behind what this transaction has written.
  var unprojected: Set<CustomerNumber> = []
  /// Of these, those of whom nothing but addresses can be known, because they were added since they were last projected;
  /// with whether they are deleted.
  var added: [CustomerNumber: Bool] = [:]
  /// The instant the projections are made for: the latest of the facts recorded.
  var projectionTime = Timestamp(microseconds: 0)
  /// The last row of the audit, once this transaction has added to it.
  var auditEnd: (seq: Int64, hash: String)?

  init(_ session: any Session, _ digests: ClassDigests, _ turn: BulkTurn?) {
    self.session = session
    self.digests = digests
    self.turn = turn
  }

  public var dialect: Dialect { session.dialect }

  /// Of the bulk lane: a live write waits, or the transaction has lasted as long as it may. A long body asks between its
  /// parts and leaves the rest to another. Never true in the live lane.
  public var isTimeUp: Bool { turn?.isOver ?? false }

  @discardableResult
  public func query(_ sql: String, _ parameters: [SQLValue]) throws -> [Row] { try session.query(sql, parameters) }
  @discardableResult
  public func execute(_ sql: String, _ parameters: [SQLValue]) throws -> Int { try session.execute(sql, parameters) }
  public func execute(script: String) throws { try session.execute(script: script) }

  /// Undoes also what was announced within.
  @discardableResult
  public func savepoint<T>(_ body: () throws -> T) throws -> T {
    let count = announced.count
    do {
      return try session.savepoint(body)
    } catch {
      announced.removeLast(announced.count - count)
      // Known of rows that may be gone again.
      auditEnd = nil
      added = [:]
      throw error
    }
  }

  /// Gives `value` to observers and subscribers once this transaction is durable, in the order of commits; never if it
  /// fails.
  public func afterCommit(_ value: some Sendable) { announced.append(value) }
}
