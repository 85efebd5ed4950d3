/// Why the store could not do what was asked.
public struct DatabaseError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Closed set, fit for a metric label.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    /// A row with that key exists.
    case unique
    case foreignKey = "foreign_key"
    /// A check, a NOT NULL, a trigger or a column type forbids it.
    case check
    /// Queue full or the database locked for longer than the busy time-out: nothing was done, try again later.
    case busy
    /// Two transactions collided: nothing was done, run it again.
    case serialization
    /// A statement ran longer than its time-out, or its task was cancelled while it ran.
    case timeout
    /// The server is away. A transaction whose COMMIT was under way may or may not be stored.
    case connection
    /// Disk or quota full: nothing was done.
    case full
    case readOnly = "read_only"
    /// A file cannot be opened, read or written.
    case unreadable
    /// The file is not a database, or one of another program.
    case notADatabase = "not_a_database"
    case corrupt
    /// Another daemon holds this store; the text names its process.
    case locked
    /// The database was written by a newer version.
    case tooNew = "too_new"
    /// A migration that was applied has another text now.
    case migrationChanged = "migration_changed"
    /// A mistake of the caller: SQL that does not compile, a column that is not there, a value of another type.
    case misuse
    /// The store is closed or being closed.
    case closed
    case other
  }

  public var kind: Kind
  public var message: String
  /// What was violated: the constraint's name where the engine knows it (a CHECK's name on both; unique and foreign
  /// keys on PostgreSQL), else the columns as SQLite names them (`contact.id`).
  public var constraint: String?

  public init(_ kind: Kind, _ message: String, constraint: String? = nil) {
    self.kind = kind
    self.message = message
    self.constraint = constraint
  }

  public var description: String { "\(kind.rawValue): \(message)" }

  /// The store cannot do it now; the same again later may well succeed.
  package var isPassing: Bool {
    switch kind {
    case .busy, .serialization, .timeout, .connection, .full, .readOnly, .closed: true
    default: false
    }
  }

  /// The transaction's other members are not to blame: each may be tried again alone.
  package var isOfOneItem: Bool {
    switch kind {
    case .unique, .foreignKey, .check, .serialization, .timeout, .misuse, .other: true
    case .busy, .connection, .full, .readOnly, .unreadable, .notADatabase, .corrupt, .locked, .tooNew,
      .migrationChanged, .closed:
      false
    }
  }
}
