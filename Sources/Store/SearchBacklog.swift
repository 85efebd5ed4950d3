import Channels
import ContactModel

/// What was written before there was a search, indexed little by little.
extension WriteTransaction {
  /// Indexes at most `limit` contacts or requests of the backlog; false when nothing is left.
  ///
  /// Where it stands is kept in the same transaction, so that nothing is indexed twice over a crash.
  public func indexBacklog(limit: Int) throws -> Bool {
    for backlog in try query("SELECT * FROM search_backlog WHERE next_id < last_id ORDER BY kind") {
      let (kind, next, last) = (
        try backlog.text("kind"), try backlog.text("next_id"), try backlog.text("last_id")
      )
      let rows = try query(
        kind == "contact"
          ? """
          SELECT contact_id AS id, summary, content FROM contact WHERE contact_id > $1 AND contact_id <= $2
          ORDER BY contact_id LIMIT $3
          """
          : """
          SELECT request_id AS id, summary, content FROM service_request WHERE request_id > $1 AND request_id <= $2
          ORDER BY request_id LIMIT $3
          """, [.text(next), .text(last), SQLValue(limit)])
      for row in rows {
        let id = try row.text("id")
        try indexWords(of: "\(try row.text("summary"))\n\(try row.text("content"))", under: id)
        guard kind == "request" else { continue }
        for note in try query("SELECT text FROM note WHERE request_id = $1", [.text(id)]) {
          try indexWords(of: try note.text("text"), under: id)
        }
      }
      let end = rows.count < limit ? last : try rows[rows.count - 1].text("id")
      try execute("UPDATE search_backlog SET next_id = $2 WHERE kind = $1", [.text(kind), .text(end)])
      return true
    }
    return false
  }
}
