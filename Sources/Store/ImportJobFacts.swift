import Channels
import ContactModel

public enum ImportJobKind: IdentifierKind { public static let prefix = "import" }
public typealias ImportJobID = Identifier<ImportJobKind>

/// A file that was handed in to be brought in, and how far that has come.
public struct ImportJob: Sendable, Hashable {
  public enum State: String, Sendable, Hashable, CaseIterable {
    /// Taken up in the order of arrival, one at a time.
    case waiting
    case running
    case done
    /// The file as a whole: a column is missing, it is no text.
    case refused
    case cancelled
  }
  public var id: ImportJobID
  public var kind: String
  public var format: String
  public var fileName: String?
  public var mapping: [String: String]
  public var isRehearsal: Bool
  public var state: State
  public var digest: String
  public var bytes: Int
  public var bytesRead = 0
  public var progress = ImportProgress()
  public var resumedAfter = 0
  public var fault: String?
  public var author: String
  public var role: String
  /// Nil: the whole bank.
  public var departments: [Code]?
  public var createdAt: Timestamp
  public var startedAt: Timestamp?

  public init(
    id: ImportJobID, kind: String, format: String, fileName: String?, mapping: [String: String], isRehearsal: Bool,
    digest: String, bytes: Int, author: String, role: String, departments: [Code]?, createdAt: Timestamp
  ) {
    self.id = id
    self.kind = kind
    self.format = format
    self.fileName = fileName
    self.mapping = mapping
    self.isRehearsal = isRehearsal
    state = .waiting
    self.digest = digest
    self.bytes = bytes
    self.author = author
    self.role = role
    self.departments = departments
    self.createdAt = createdAt
  }
}

/// A row that was refused, and why.
public struct ImportRefusal: Sendable, Hashable {
  public var row: Int
  public var code: String
  public var place: String?
  public init(row: Int, code: String, place: String?) {
    self.row = row
    self.code = code
    self.place = place
  }
}

extension WriteTransaction {
  public func insert(_ job: ImportJob) throws {
    try execute(
      """
      INSERT INTO import_job(job_id, kind, format, file_name, mapping, dry_run, state, digest, bytes, author, role,
        departments, created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
      """,
      [
        .id(job.id), .text(job.kind), .text(job.format), SQLValue(job.fileName),
        .text(try JSONText.encode(job.mapping)), SQLValue(job.isRehearsal), SQLValue(job.state), .text(job.digest),
        SQLValue(job.bytes), .text(job.author), .text(job.role),
        job.departments.map { .list($0.map(\.description)) } ?? .null, SQLValue(job.createdAt),
      ])
  }

  /// Takes up a job; false if it is no longer to be done.
  public func beginImport(_ id: ImportJobID, at time: Timestamp) throws -> Bool {
    try execute(
      """
      UPDATE import_job SET state = 'running', started_at = coalesce(started_at, CAST($2 AS {{int}}))
      WHERE job_id = $1 AND state IN ('waiting', 'running')
      """, [.id(id), SQLValue(time)]) == 1
  }

  /// In the transaction of the rows it counts. False if the job was cancelled: then the rows must not be written.
  public func noteImport(
    _ id: ImportJobID, _ progress: ImportProgress, resumedAfter: Int, bytesRead: Int, refusals: [ImportRefusal]
  ) throws -> Bool {
    let changed = try execute(
      """
      UPDATE import_job SET rows_read = $2, added = $3, changed = $4, refused = $5, resumed_after = $6, bytes_read = $7
      WHERE job_id = $1 AND state = 'running'
      """,
      [
        .id(id), SQLValue(progress.rowsRead), SQLValue(progress.added), SQLValue(progress.changed),
        SQLValue(progress.refused), SQLValue(resumedAfter), SQLValue(bytesRead),
      ])
    for refusal in refusals {
      try execute(
        """
        INSERT INTO import_refusal(job_id, row_number, code, place) VALUES ($1, $2, $3, $4)
        ON CONFLICT (job_id, row_number) DO NOTHING
        """, [.id(id), SQLValue(refusal.row), .text(refusal.code), SQLValue(refusal.place)])
    }
    return changed == 1
  }

  /// False if it was over already.
  public func endImport(_ id: ImportJobID, _ state: ImportJob.State, fault: String? = nil, at time: Timestamp) throws
    -> Bool
  {
    try execute(
      """
      UPDATE import_job SET state = $2, fault = CAST($3 AS TEXT), finished_at = $4
      WHERE job_id = $1 AND state IN ('waiting', 'running')
      """, [.id(id), SQLValue(state), SQLValue(fault), SQLValue(time)]) == 1
  }
}

extension Connection {
  public func importJob(_ id: ImportJobID) throws -> ImportJob? {
    try first("SELECT * FROM import_job WHERE job_id = $1", [.id(id)]).map(ImportJob.init(row:))
  }

  /// Newest first, after the last of the page before.
  public func importJobs(after last: ImportJobID?, limit: Int) throws -> [ImportJob] {
    var conditions = Conditions()
    conditions.add("job_id <", .some(last))
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM import_job \(conditions.sql) ORDER BY job_id DESC LIMIT \(bound)", conditions.parameters
    ).map(ImportJob.init(row:))
  }

  /// What is still to be done, oldest first.
  public func openImportJobs() throws -> [ImportJob] {
    try query("SELECT * FROM import_job WHERE state IN ('waiting', 'running') ORDER BY job_id")
      .map(ImportJob.init(row:))
  }

  public func importRefusals(of id: ImportJobID, after row: Int, limit: Int) throws -> [ImportRefusal] {
    try query(
      "SELECT * FROM import_refusal WHERE job_id = $1 AND row_number > $2 ORDER BY row_number LIMIT $3",
      [.id(id), SQLValue(row), SQLValue(limit)]
    ).map {
      ImportRefusal(row: try $0.count("row_number"), code: try $0.text("code"), place: try $0.textOrNil("place"))
    }
  }
}

extension ImportJob {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("job_id"), kind: try row.text("kind"), format: try row.text("format"),
      fileName: try row.textOrNil("file_name"),
      mapping: try JSONText.decode([String: String].self, from: try row.text("mapping")),
      isRehearsal: try row.bool("dry_run"), digest: try row.text("digest"), bytes: try row.count("bytes"),
      author: try row.text("author"), role: try row.text("role"),
      departments: try row.textOrNil("departments").map { try JSONText.decode([Code].self, from: $0) },
      createdAt: try row.time("created_at"))
    state = try row.word("state")
    bytesRead = try row.count("bytes_read")
    progress = ImportProgress(
      rowsRead: try row.count("rows_read"), added: try row.count("added"), changed: try row.count("changed"),
      refused: try row.count("refused"), finishedAt: try row.timeOrNil("finished_at"))
    resumedAfter = try row.count("resumed_after")
    fault = try row.textOrNil("fault")
    startedAt = try row.timeOrNil("started_at")
  }
}
