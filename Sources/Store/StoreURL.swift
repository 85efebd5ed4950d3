/// Where a store is: a SQLite file or a PostgreSQL database.
///
/// `sqlite:///var/lib/liaison/liaison.db`, `sqlite:relative.db`, a bare path, or `postgres://user@host/name?…` as
/// libpq reads it.
public struct StoreURL: Hashable, Sendable, CustomStringConvertible {
  public enum Place: Hashable, Sendable {
    case sqlite(path: String)
    /// A connection URI of libpq.
    case postgres(uri: String)
  }
  public let place: Place

  public init(_ text: String) throws {
    if text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") {
      place = .postgres(uri: text)
      return
    }
    var path = Substring(text)
    if path.hasPrefix("sqlite://") {
      path = path.dropFirst(9)
    } else if path.hasPrefix("sqlite:") {
      path = path.dropFirst(7)
    } else if let scheme = path.firstRange(of: "://") {
      throw DatabaseError(.misuse, "store.url: no store of kind \(path[..<scheme.lowerBound]); sqlite or postgres")
    }
    guard !path.isEmpty, !path.hasSuffix("/") else {
      throw DatabaseError(.misuse, "store.url: names no file: \(text)")
    }
    place = .sqlite(path: String(path))
  }

  public var dialect: Dialect {
    switch place {
    case .sqlite: .sqlite
    case .postgres: .postgres
    }
  }

  /// Fit for logs: without the password.
  public var description: String {
    switch place {
    case .sqlite(let path): return "sqlite://" + path
    case .postgres(let uri):
      guard let scheme = uri.firstRange(of: "://") else { return uri }
      var rest = uri[scheme.upperBound...]
      let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
      var shown = String(uri[..<scheme.upperBound])
      if let at = rest[..<end].lastIndex(of: "@") {
        let user = rest[..<at]
        shown += user.prefix { $0 != ":" } + (user.contains(":") ? ":…@" : "@")
        rest = rest[rest.index(after: at)...]
      }
      let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
      shown += parts[0]
      if parts.count > 1 {
        let shownParameters = parts[1].split(separator: "&").map { $0.hasPrefix("password=") ? "password=…" : $0 }
        shown += "?" + shownParameters.joined(separator: "&")
      }
      return shown
    }
  }
}
