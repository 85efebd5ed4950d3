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
/// Every row has its verdict; rows go in fifties through the bulk lane, so that a screen pop waits for one such batch at
/// most. How far a file has come is kept in the transaction of its rows, under the digest of its content: the same file
/// again goes on where it stopped. A rehearsal does everything and takes it back.
/// Source: DOMAIN "data-interface platform".
public struct Importer: Sendable {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case customers, accounts
    case contactPoints = "contact-points"
    case groups, relations, preferences
  }
  public static let batch = 50
  public static let maximumRefusals = 10_000

  let database: Database
  let now: @Sendable () -> Timestamp
  public init(database: Database, now: @escaping @Sendable () -> Timestamp) {
    self.database = database
    self.now = now
  }

  /// - Parameter isJSONLines: else CSV with a header.
  /// - Parameter mapping: column of the file → field of the kind.
  /// - Parameter progress: called after each batch with the rows done so far.
  public func run(
    _ kind: Kind, _ bytes: [UInt8], isJSONLines: Bool, mapping: [String: String] = [:], isRehearsal: Bool,
    by actor: Actor,
    progress: @Sendable (Int) -> Void = { _ in }
  ) async throws -> ImportReport {
    let digest = SHA256.hash(data: bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    let text: [UInt8]
    do { text = try ImportText.utf8(bytes) } catch { throw ImportFault(.notText) }
    var reader = TableReader(text, format: isJSONLines ? .jsonl : .csv, mapping: mapping)
    if let header = reader.header {
      for column in kind.requiredColumns where !header.contains(column) { throw ImportFault(.missingColumn, column) }
    }
    var report = ImportReport()
    report.isRehearsal = isRehearsal
    if !isRehearsal,
      let known = try await database.read(.live, { try $0.importProgress(kind: kind.rawValue, digest: digest) })
    {
      report.progress = known
      report.resumedAfter = known.rowsRead
      if known.finishedAt != nil { return report }
    }
    var seen = Set<String>()
    var rows: [TableRow] = []
    var isOver = false
    while !isOver {
      if let row = reader.next() {
        let key = kind.key(of: row)
        let isFirst = key.map { seen.insert($0).inserted } ?? true
        if row.number <= report.resumedAfter { continue }
        rows.append(
          isFirst ? row : TableRow(number: row.number, values: .fault(.init(.duplicate, kind.requiredColumns[0]))))
      } else {
        isOver = true
      }
      guard rows.count == Self.batch || isOver else { continue }
      try Task.checkCancellation()
      report = try await write(rows, kind, digest, report, isLast: isOver, actor)
      progress(report.progress.rowsRead)
      rows = []
    }
    return report
  }

  /// Carries the report out of a transaction that is taken back.
  private struct Rehearsed: Error { var report: ImportReport }

  private func write(
    _ rows: [TableRow], _ kind: Kind, _ digest: String, _ before: ImportReport, isLast: Bool, _ actor: Actor
  ) async throws -> ImportReport {
    let time = now()
    do {
      return try await database.write(.bulk) { transaction in
        var report = before
        for row in rows {
          report.progress.rowsRead += 1
          do {
            guard case .values(let values) = row.values else {
              if case .fault(let fault) = row.values { throw fault }
              continue
            }
            let isNew = try transaction.savepoint {
              try kind.apply(ImportFields(values), transaction, actor, time)
            }
            if isNew { report.progress.added += 1 } else { report.progress.changed += 1 }
          } catch let fault as ImportFault {
            report.progress.refused += 1
            if report.refusals.count < Self.maximumRefusals {
              report.refusals.append(.init(row: row.number, fault: fault))
            }
          }
        }
        if isLast { report.progress.finishedAt = time }
        if report.isRehearsal { throw Rehearsed(report: report) }
        try transaction.noteImport(
          kind: kind.rawValue, digest: digest, report.progress, author: actor.label, at: time)
        return report
      }
    } catch let rehearsed as Rehearsed {
      return rehearsed.report
    }
  }
}
