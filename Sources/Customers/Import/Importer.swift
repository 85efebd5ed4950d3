import Channels
import ContactModel
import Crypto
import Store

/// What is wrong with a row.
public struct ImportFault: Error, Sendable, Hashable {
  public enum Code: String, Sendable, Hashable, CaseIterable {
    case missingColumn = "missing_column"
    case missingValue = "missing_value"
    case badValue = "bad_value"
    /// A customer, agent, type, department or group that is not there.
    case unknownReference = "unknown_reference"
    /// The same key stood in an earlier row of the file.
    case duplicate
    case wrongColumnCount = "wrong_column_count"
    case tooLong = "too_long"
    case openQuote = "open_quote"
    case notAnObject = "not_an_object"
    /// The file is neither UTF-8 nor GB18030.
    case notText = "not_text"
  }
  public var code: Code
  /// The column; or the figures that do not agree. Never the value: it may be a customer's.
  public var place: String?
  public init(_ code: Code, _ place: String? = nil) {
    self.code = code
    self.place = place
  }
}

/// What became of a file: counts that add up, and why rows were refused.
public struct ImportReport: Sendable, Hashable {
  public struct Refusal: Sendable, Hashable {
    public var row: Int
    public var fault: ImportFault
  }
  public var progress = ImportProgress()
  /// Rows an earlier run of the same file had done already; they are in `progress` too.
  public var resumedAfter = 0
  /// In order, at most `Importer.maximumRefusals`; `progress.refused` counts all.
  public var refusals: [Refusal] = []
  public var isRehearsal = false
}

/// Brings files of the bank's systems into the store: customers, accounts, contact points, members of groups, relations.
///
/// Every row has its verdict. Rows go through the bulk lane, as many in one transaction as it has time for: some
/// milliseconds, and less as soon as a live write waits. They are read ahead meanwhile by `ImportRows`. How far a file has
/// come is kept in the transaction of its rows, under the digest of its content: the same file again goes on where it
/// stopped. A rehearsal does everything and takes it back.
/// Source: DOMAIN "data-interface platform".
public struct Importer: Sendable {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case customers, accounts
    case contactPoints = "contact-points"
    case groups, relations, preferences
  }
  /// Rows of one transaction at most, and the fewest before it gives way.
  static let batch = 1_000
  static let leastBatch = 16
  public static let maximumRefusals = 10_000

  let database: Database
  let now: @Sendable () -> Timestamp

  public init(database: Database, now: @escaping @Sendable () -> Timestamp) {
    self.database = database
    self.now = now
  }

  /// What is to be done with one file.
  public struct Order: Sendable {
    public var kind: Kind
    /// Else CSV with a header.
    public var isJSONLines: Bool
    /// Column of the file → field of the kind.
    public var mapping: [String: String]
    public var isRehearsal: Bool
    public var actor: Actor
    /// Customers of other departments are refused as unknown; nil: none are.
    public var departments: Set<Code>?
    public init(
      kind: Kind, isJSONLines: Bool, mapping: [String: String] = [:], isRehearsal: Bool, actor: Actor,
      departments: Set<Code>? = nil
    ) {
      self.kind = kind
      self.isJSONLines = isJSONLines
      self.mapping = mapping
      self.isRehearsal = isRehearsal
      self.actor = actor
      self.departments = departments
    }
  }

  /// What one transaction did, told within it: kept there, it holds exactly when its rows do.
  public struct Step: Sendable {
    public var report: ImportReport
    public var refusals: [ImportReport.Refusal]
    public var bytesRead: Int
  }

  /// A file of any size; read to its end for its digest, on a thread that stands back before live work.
  public func open(file path: String) async throws -> ImportSource {
    try await BlockingThreads(1, name: "import-file", isBulk: true).run { try ImportSource(file: path) }
  }

  /// A small file held in memory.
  public func run(
    _ kind: Kind, _ bytes: [UInt8], isJSONLines: Bool, mapping: [String: String] = [:], isRehearsal: Bool,
    by actor: Actor
  ) async throws -> ImportReport {
    try await run(
      Order(kind: kind, isJSONLines: isJSONLines, mapping: mapping, isRehearsal: isRehearsal, actor: actor),
      of: ImportSource(bytes))
  }

  /// - Parameter note: called in each transaction with what it did; in a rehearsal in a transaction after it.
  public func run(
    _ order: Order, of source: ImportSource,
    note: @escaping @Sendable (WriteTransaction, Step) throws -> Void = { _, _ in }
  ) async throws -> ImportReport {
    let kind = order.kind
    let reader = try TableReader(source, format: order.isJSONLines ? .jsonl : .csv, mapping: order.mapping)
    if let header = reader.header {
      for column in kind.requiredColumns where !header.contains(column) { throw ImportFault(.missingColumn, column) }
    }
    var report = ImportReport()
    report.isRehearsal = order.isRehearsal
    if !order.isRehearsal,
      let known = try await database.read(.live, { try $0.importProgress(kind: kind.rawValue, digest: source.digest) })
    {
      report.progress = known
      report.resumedAfter = known.rowsRead
      if known.finishedAt != nil {
        let step = Step(report: report, refusals: [], bytesRead: source.size)
        try await database.write(.bulk) { try note($0, step) }
        return report
      }
    }
    let (size, digest) = (source.size, source.digest)
    let source = (rows: ImportRows(reader, kind: kind, size: size, after: report.resumedAfter), digest: digest)
    var batch = try await source.rows.next(Self.batch)
    while true {
      let current = batch
      async let following = current.isLast ? current : source.rows.next(Self.batch)
      var rows = current.rows[...]
      repeat {
        try Task.checkCancellation()
        let before = report.progress.rowsRead
        report = try await write(
          rows, order, source.digest, report, isLast: current.isLast, current.bytesRead, note)
        rows = rows.dropFirst(report.progress.rowsRead - before)
      } while !rows.isEmpty
      if current.isLast { break }
      batch = try await following
    }
    return report
  }

  /// Carries the step out of a transaction that is taken back.
  private struct Rehearsed: Error { var step: Step }

  /// Writes the first of these rows, as many as there is time for.
  private func write(
    _ rows: ArraySlice<ImportRow>, _ order: Order, _ digest: String, _ before: ImportReport, isLast: Bool,
    _ bytesRead: Int,
    _ note: @escaping @Sendable (WriteTransaction, Step) throws -> Void
  ) async throws -> ImportReport {
    let time = now()
    let kind = order.kind
    do {
      return try await database.write(.bulk) { transaction in
        var step = Step(report: before, refusals: [], bytesRead: bytesRead)
        let references = ImportReferences(transaction)
        var done = 0
        for row in rows {
          if done >= Self.leastBatch, done % 8 == 0, transaction.isTimeUp { break }
          done += 1
          step.report.progress.rowsRead += 1
          do {
            let isNew = try kind.apply(row.content, transaction, references, order, time)
            if isNew { step.report.progress.added += 1 } else { step.report.progress.changed += 1 }
          } catch let fault as ImportFault {
            step.report.progress.refused += 1
            let refusal = ImportReport.Refusal(row: row.number, fault: fault)
            if step.report.refusals.count < Self.maximumRefusals {
              step.report.refusals.append(refusal)
              step.refusals.append(refusal)
            }
          }
          if done % 32 == 0 { try transaction.projectPending() }
        }
        if isLast, done == rows.count { step.report.progress.finishedAt = time }
        if order.isRehearsal { throw Rehearsed(step: step) }
        try transaction.noteImport(
          kind: kind.rawValue, digest: digest, step.report.progress, author: order.actor.label, at: time)
        try note(transaction, step)
        return step.report
      }
    } catch let rehearsed as Rehearsed {
      try await database.write(.bulk) { try note($0, rehearsed.step) }
      return rehearsed.step.report
    }
  }
}
