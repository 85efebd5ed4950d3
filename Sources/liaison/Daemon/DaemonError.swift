/// Why the program ends, with the exit code by which scripts tell the reasons apart. Documented in config/README.md.
enum DaemonError: Error, CustomStringConvertible {
  /// 64: called wrongly (EX_USAGE).
  case usage(String)
  /// 78: the configuration is wrong or a file it names cannot be used (EX_CONFIG).
  case configuration(String)
  /// 69: a port is taken, the daemon or the database is not there (EX_UNAVAILABLE).
  case unavailable(String)
  /// 74: the disk is full or read-only (EX_IOERR).
  case storage(String)
  /// 65: the data given is wrong (EX_DATAERR).
  case data(String)
  /// 73: a database of a newer version, or held by another daemon (EX_CANTCREAT).
  case database(String)
  /// 1: it was looked at and found wanting: a ledger that does not balance, a check that failed.
  case finding(String)

  var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .configuration: 78
    case .unavailable: 69
    case .storage: 74
    case .data: 65
    case .database: 73
    case .finding: 1
    }
  }
  var description: String {
    switch self {
    case .usage(let text), .configuration(let text), .unavailable(let text), .storage(let text), .data(let text),
      .database(let text), .finding(let text):
      text
    }
  }
}
