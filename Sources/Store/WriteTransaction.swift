import Channels
import ContactModel

/// What the body of `Database.write` is given: the connection inside a transaction, and the way to tell others after it.
///
/// Valid only while the body runs.
public final class WriteTransaction: Connection {
  private let session: any Session
  private(set) var announced: [any Sendable] = []
  /// The number of the last event, once one was appended here; nil where it must be read.
  var lastEvent: Int64?
  /// Customers whose projection is behind what this transaction has written.
  var unprojected: Set<CustomerNumber> = []
  /// The instant the projections are made for: the latest of the facts recorded.
  var projectionTime = Timestamp(microseconds: 0)

  init(_ session: any Session) { self.session = session }

  public var dialect: Dialect { session.dialect }

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
      lastEvent = nil
      throw error
    }
  }

  /// Gives `value` to observers and subscribers once this transaction is durable, in the order of commits; never if it
  /// fails.
  public func afterCommit(_ value: some Sendable) { announced.append(value) }
}
