import Channels

/// How far an import of one file has come: what makes it resumable, and its counts add up.
public struct ImportProgress: Sendable, Hashable {
  public var rowsRead: Int
  public var added: Int
  public var changed: Int
  public var refused: Int
  public var finishedAt: Timestamp?
  public init(rowsRead: Int = 0, added: Int = 0, changed: Int = 0, refused: Int = 0, finishedAt: Timestamp? = nil) {
    self.rowsRead = rowsRead
    self.added = added
    self.changed = changed
    self.refused = refused
    self.finishedAt = finishedAt
  }
}

extension Connection {
  /// Nil if the file with this content was never begun.
  public func importProgress(kind: String, digest: String) throws -> ImportProgress? {
    try first("SELECT * FROM import_run WHERE kind = $1 AND digest = $2", [.text(kind), .text(digest)]).map { row in
      ImportProgress(
        rowsRead: try row.count("rows_read"), added: try row.count("added"), changed: try row.count("changed"),
        refused: try row.count("refused"), finishedAt: try row.timeOrNil("finished_at"))
    }
  }
}

extension WriteTransaction {
  /// In the transaction of the rows it counts.
  public func noteImport(
    kind: String, digest: String, _ progress: ImportProgress, author: String, at time: Timestamp
  ) throws {
    try execute(
      """
      INSERT INTO import_run(kind, digest, rows_read, added, changed, refused, started_at, updated_at, finished_at, author)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)
      ON CONFLICT (kind, digest) DO UPDATE SET rows_read = excluded.rows_read, added = excluded.added,
        changed = excluded.changed, refused = excluded.refused, updated_at = excluded.updated_at,
        finished_at = excluded.finished_at
      """,
      [
        .text(kind), .text(digest), SQLValue(progress.rowsRead), SQLValue(progress.added), SQLValue(progress.changed),
        SQLValue(progress.refused), SQLValue(time), SQLValue(progress.finishedAt), .text(author),
      ])
  }
}
