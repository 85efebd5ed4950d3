import Channels
import Synchronization

/// Which work goes first. A screen pop never waits for an import.
public enum Lane: String, Hashable, Sendable, CaseIterable {
  case live
  /// Imports, campaigns, reports. A live write may have to wait for one item: what takes longer than a millisecond asks
  /// `WriteTransaction.isTimeUp` and leaves the rest to another. Its readers run at a lower priority.
  case bulk
}

/// The store: one writer with group commit, a few readers, in SQLite or PostgreSQL.
///
/// `write` returns after COMMIT and fsync and never before. Bodies run on the store's own threads, never on the
/// cooperative pool. Ends with `close`; when let go without it, what waits is still written.
public final class Database: Sendable {
  public struct Options: Sendable {
    /// Threads and connections for reading in the live lane, and those in the bulk lane.
    public var readers = 4
    public var bulkReaders = 2
    /// Writes of one transaction at most. More than 200 bring nothing.
    public var batchLimit = 200
    public var bulkBatchLimit = 50
    /// How long a transaction of the bulk lane takes, its commit included; also when no live write waits, since one
    /// may come at any moment.
    public var bulkTime: Duration = .milliseconds(4)
    /// Writes and reads that may wait; further ones throw `.busy` at once.
    public var liveQueueLimit = 4_096
    public var bulkQueueLimit = 256
    public var readQueueLimit = 4_096
    /// For each statement of a write or a live read; bulk reads have none.
    public var statementTimeout: Duration? = .seconds(30)
    /// How long to wait for another process that writes to the same SQLite file (a backup, the sqlite3 shell).
    public var busyTimeout: Duration = .seconds(5)
    /// Reads only: takes no lock, changes no schema, works beside a running daemon. Writes throw `.readOnly`.
    public var readOnly = false
    /// Called on the writer thread at each commit: for tests that stop or kill the process just there.
    public var atCommit: (@Sendable (CommitPoint) -> Void)?
    /// What `open` does about the schema. `upTo` stops early, for tests of old versions.
    public var migrate = Migrate.apply
    public init() {}
  }
  public enum CommitPoint: String, Sendable, CaseIterable {
    case before
    /// Durable, and nobody has been told.
    case after
  }
  public enum Migrate: Hashable, Sendable {
    case apply
    case upTo(Int)
    /// Refuses a database that is not of the newest version.
    case require
  }

  public let url: StoreURL
  public var dialect: Dialect { url.dialect }
  /// Numbers of the migrations applied by this `open`.
  public let migrated: [Int]

  private let writer: Writer
  private let readers: Readers
  private let bulkReaders: Readers
  private let feed: CommitFeed
  private let looks: ReadJournal
  private let lock: StoreLock?

  /// Opens, checks durability settings and brings the schema up to date. Blocks; call it before serving.
  public static func open(
    _ url: StoreURL, migrations: [Migration], options: Options = Options(), now: Timestamp
  ) throws -> Database {
    try Database(url, migrations, options, now)
  }

  private init(_ url: StoreURL, _ migrations: [Migration], _ options: Options, _ now: Timestamp) throws {
    self.url = url
    var lock: StoreLock?
    let makeReader: () throws -> any Session
    let writing: any Session
    switch url.place {
    case .sqlite(let path):
      if !options.readOnly { lock = try StoreLock(besides: path) }
      let connection = try SQLiteConnection(
        path: path, role: options.readOnly ? .reader : .writer, busyTimeout: options.busyTimeout)
      do {
        if !options.readOnly {
          try connection.claimFile()
          try syncDirectory(directory(of: path))
        }
      } catch {
        connection.close()
        throw error
      }
      writing = connection
      makeReader = { try SQLiteConnection(path: path, role: .reader, busyTimeout: options.busyTimeout) }
    case .postgres(let uri):
      writing = try PostgresConnection(uri: uri, name: "liaison writer", use: options.readOnly ? .look : .serve)
      makeReader = { try PostgresConnection(uri: uri, name: "liaison reader", use: .look) }
    }
    var reading: [any Session] = []
    var bulkReading: [any Session] = []
    do {
      let migrator = Migrator(migrations: migrations)
      switch options.readOnly ? .require : options.migrate {
      case .apply: migrated = try migrator.run(on: writing, at: now)
      case .upTo(let limit): migrated = try migrator.run(on: writing, upTo: limit, at: now)
      case .require:
        migrated = []
        let version = try migrator.check(writing)
        guard version == migrations.count else {
          throw DatabaseError(
            .other, "the database has version \(version), this program needs \(migrations.count): run liaison migrate")
        }
      }
      for _ in 0..<max(1, options.readers) { reading.append(try makeReader()) }
      for _ in 0..<max(1, options.bulkReaders) { bulkReading.append(try makeReader()) }
      if !options.readOnly {
        try (writing as? SQLiteConnection)?.startCheckpointer(busyTimeout: options.busyTimeout)
      }
    } catch {
      for session in reading + bulkReading { session.close() }
      writing.close()
      throw error
    }
    self.lock = lock
    feed = CommitFeed()
    writer = Writer(
      writing,
      limits: Writer.Limits(
        batch: max(1, options.batchLimit), bulkBatch: max(1, options.bulkBatchLimit), bulkTime: options.bulkTime,
        liveQueue: options.liveQueueLimit, bulkQueue: options.bulkQueueLimit,
        statementTimeout: options.statementTimeout, atCommit: options.atCommit),
      feed: feed)
    looks = ReadJournal(writer, lane: .live, batch: 256)
    readers = Readers(
      reading, lane: .live,
      limits: Readers.Limits(queue: options.readQueueLimit, statementTimeout: options.statementTimeout))
    bulkReaders = Readers(
      bulkReading, lane: .bulk, limits: Readers.Limits(queue: options.readQueueLimit, perSnapshot: 1))
  }

  deinit {
    writer.beginClose()
    readers.beginClose()
    bulkReaders.beginClose()
  }

  /// Runs `body` in a transaction shared with whatever else waits, and returns once it is durable.
  ///
  /// What the body throws undoes its own writes alone. The body may be run more than once, each time on the state
  /// before it; so it has no effects but the transaction's. Its task's cancellation takes effect only before its turn:
  /// then `CancellationError` is thrown and nothing was written.
  @discardableResult
  public func write<T: Sendable>(
    _ lane: Lane = .live, _ body: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws -> T {
    try await writer.write(lane, body)
  }

  /// Runs `body` on a reader, in one snapshot that contains every write acknowledged before the call.
  public func read<T: Sendable>(
    _ lane: Lane = .live, _ body: @escaping @Sendable (any Connection) throws -> T
  ) async throws -> T {
    switch lane {
    case .live: try await readers.read(body)
    case .bulk: try await bulkReaders.read(body)
    }
  }

  /// Reads, puts on record what `body` says, and answers when that is durable: at once if there is nothing to record.
  ///
  /// From the reader's thread it goes straight to the writer's, and many looks share one transaction (`ReadJournal`).
  public func readOnRecord<T: Sendable>(
    _ body: @escaping @Sendable (any Connection) throws -> (T, [AuditEntry])
  ) async throws -> T {
    let flags = JobFlags()
    defer { flags.seeFinish() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        readers.read(flags, body) { [looks] outcome in
          switch outcome {
          case .success((let value, let entries)):
            looks.append(entries) { error in
              flags.finish()
              continuation.resume(with: error.map { .failure($0) } ?? .success(value))
            }
          case .failure(let error): continuation.resume(throwing: error)
          }
        }
      }
    } onCancel: {
      flags.cancel()
    }
  }

  /// Puts looks on record; returns when that is durable. Not cancelled with its task: what was shown was shown.
  public func record(_ entries: [AuditEntry]) async throws { try await looks.record(entries) }

  /// A record of its own for looks that may wait: in the bulk lane, in batches so small that no screen pop waits for
  /// them.
  public func bulkJournal() -> ReadJournal { ReadJournal(writer, lane: .bulk, batch: 50) }

  /// Calls `call` on the writer thread with what each commit announced, before its writers resume. It must be quick
  /// and must not wait for the store.
  public func observe(_ call: @escaping @Sendable ([any Sendable]) -> Void) -> Observation { feed.observe(call) }

  /// The announced values of one type, from now on. Subscribe first, then read the store up to the present, and skip
  /// what comes twice.
  public func subscribe<Value: Sendable>(to type: Value.Type, limit: Int = 512) -> Subscription<Value> {
    Subscription(to: feed, limit: limit)
  }

  /// Writes that wait, by lane: a measure of pressure.
  public var waitingWrites: (live: Int, bulk: Int) { writer.waiting }

  /// What the writer has done since `open`.
  public var statistics: WriteStatistics { writer.statistics.withLock { $0 } }

  /// Takes no more, finishes what waits, closes every connection and ends subscriptions. Idempotent.
  public func close() async {
    await writer.close()
    await readers.close()
    await bulkReaders.close()
    feed.close()
    lock?.release()
  }
}
