/// Where the two databases differ: hooks in an otherwise common SQL text, written `{{name}}` or `{{name:argument}}`.
///
/// | hook | SQLite | PostgreSQL |
/// |---|---|---|
/// | `{{id}}` | INTEGER PRIMARY KEY | BIGINT PRIMARY KEY |
/// | `{{int}}` `{{real}}` `{{blob}}` `{{json}}` | INTEGER REAL BLOB TEXT | BIGINT DOUBLE PRECISION BYTEA JSONB |
/// | `{{text}}` | TEXT | TEXT COLLATE "C": compared by bytes on both |
/// | `{{opt}}` | STRICT | |
/// | `{{opt_keyed}}` | STRICT, WITHOUT ROWID | |
/// | `{{skip_locked}}` | | FOR UPDATE SKIP LOCKED |
/// | `{{list_text:$1}}` `{{list_int:$1}}` | rows of `SQLValue.list`, as `x IN {{list_text:$1}}` | same |
/// | `{{search_table:t}}` | a full-text table t(id, words) | same |
/// | `{{search:t:$1}}` | condition: t's words match `SearchText.query` | same |
/// | `{{append_only:t}}` | triggers: rows of t are neither changed nor removed | same |
/// | `{{never_deleted:t}}` | trigger: rows of t are not removed | same |
/// | `{{sqlite:…}}` `{{postgres:…}}` | text for one engine alone | same |
///
/// Every statement is expanded once and kept by its unexpanded text. Source: specs/stack.md §4.
public enum Dialect: String, Sendable, CaseIterable {
  case sqlite, postgres

  public func expand(_ sql: String) throws -> String {
    var out = ""
    var rest = Substring(sql)
    while let open = rest.firstRange(of: "{{") {
      out += rest[..<open.lowerBound]
      guard let close = rest[open.upperBound...].firstRange(of: "}}") else {
        throw DatabaseError(.misuse, "a {{ without }} in: \(sql)")
      }
      out += try expansion(of: rest[open.upperBound..<close.lowerBound])
      rest = rest[close.upperBound...]
    }
    return out + rest
  }

  private func expansion(of hook: Substring) throws -> String {
    let parts = hook.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let argument = parts.count > 1 ? String(parts[1]) : ""
    let isSQLite = self == .sqlite
    switch parts[0] {
    case "id": return isSQLite ? "INTEGER PRIMARY KEY" : "BIGINT PRIMARY KEY"
    case "int": return isSQLite ? "INTEGER" : "BIGINT"
    case "real": return isSQLite ? "REAL" : "DOUBLE PRECISION"
    case "blob": return isSQLite ? "BLOB" : "BYTEA"
    case "json": return isSQLite ? "TEXT" : "JSONB"
    case "text": return isSQLite ? "TEXT" : "TEXT COLLATE \"C\""
    case "opt": return isSQLite ? "STRICT" : ""
    case "opt_keyed": return isSQLite ? "STRICT, WITHOUT ROWID" : ""
    case "skip_locked": return isSQLite ? "" : "FOR UPDATE SKIP LOCKED"
    case "list_text":
      return isSQLite
        ? "(SELECT value FROM json_each(\(argument)))"
        : "(SELECT jsonb_array_elements_text(CAST(\(argument) AS JSONB)))"
    case "list_int":
      return isSQLite
        ? "(SELECT value FROM json_each(\(argument)))"
        : "(SELECT CAST(jsonb_array_elements_text(CAST(\(argument) AS JSONB)) AS BIGINT))"
    case "search_table":
      return isSQLite
        ? "CREATE VIRTUAL TABLE \(argument) USING fts5(id UNINDEXED, words, tokenize = 'unicode61')"
        : """
        CREATE TABLE \(argument) (id TEXT COLLATE "C" NOT NULL, words TEXT NOT NULL);
        CREATE INDEX \(argument)_id ON \(argument) (id);
        CREATE INDEX \(argument)_words ON \(argument) USING GIN (to_tsvector('simple', words))
        """
    case "search":
      let pair = argument.split(separator: ":", maxSplits: 1)
      guard pair.count == 2 else { throw DatabaseError(.misuse, "{{search:table:$n}} expected, got {{\(hook)}}") }
      return isSQLite
        ? "\(pair[0]) MATCH \(pair[1])"
        : "to_tsvector('simple', \(pair[0]).words) @@ websearch_to_tsquery('simple', \(pair[1]))"
    case "append_only":
      return guardTrigger(argument, on: "UPDATE") + ";\n" + guardTrigger(argument, on: "DELETE")
    case "never_deleted": return guardTrigger(argument, on: "DELETE")
    case "sqlite": return isSQLite ? argument : ""
    case "postgres": return isSQLite ? "" : argument
    default: throw DatabaseError(.misuse, "unknown hook {{\(hook)}}")
    }
  }

  private func guardTrigger(_ table: String, on event: String) -> String {
    let name = "\(table)_no_\(event.lowercased())"
    let text = "\(table): rows are never \(event == "UPDATE" ? "changed" : "removed")"
    switch self {
    case .sqlite:
      return "CREATE TRIGGER \(name) BEFORE \(event) ON \(table) BEGIN SELECT RAISE(ABORT, '\(text)'); END"
    case .postgres:
      return """
        CREATE OR REPLACE FUNCTION \(name)() RETURNS trigger LANGUAGE plpgsql AS $guard$
        BEGIN RAISE EXCEPTION '\(text)' USING ERRCODE = 'check_violation', CONSTRAINT = '\(name)'; END $guard$;
        CREATE TRIGGER \(name) BEFORE \(event) ON \(table) FOR EACH ROW EXECUTE FUNCTION \(name)()
        """
    }
  }
}
