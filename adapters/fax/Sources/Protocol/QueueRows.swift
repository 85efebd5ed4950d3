/// The state of a job as `LIST` (a letter) and `JPARM STATE` (a word) give it. Source: man faxstat; hfaxd/Jobs.c++.
public enum JobState: String, Hashable, Sendable, Codable, CaseIterable {
  case undefined, suspended, pending, sleeping, blocked, ready, active, done, failed

  public init?(letter: String) {
    switch letter {
    case "?": self = .undefined
    case "T": self = .suspended
    case "P": self = .pending
    case "S": self = .sleeping
    case "B": self = .blocked
    case "W": self = .ready
    case "R": self = .active
    case "D": self = .done
    case "F": self = .failed
    default: return nil
    }
  }
  public init?(word: String) { self.init(rawValue: word.lowercased()) }
  /// The server will do nothing more about it.
  public var isFinal: Bool { self == .done || self == .failed }
}

/// One job in sendq or doneq.
public struct JobRow: Hashable, Sendable {
  public var id: JobID
  public var state: JobState
  public var owner: String
  /// The number as given at submission.
  public var external: String
  /// Pages the receiver has confirmed, over all calls.
  public var pagesSent: Int
  /// Pages the server found in the documents; 0 until it has prepared them.
  public var pagesTotal: Int
  public var dials: Int
  public var tries: Int
  /// Seconds since 1970 of the next attempt or of the end.
  public var time: Int64?
  /// JOBINFO: our wire identity.
  public var tag: String?
  public var communication: String?
  public var modem: String?
  /// Pages that we counted ourselves before submission; carried by the job so that it survives a restart.
  public var pagesSubmitted: Int?
  public var status: String

  /// Set with JOBFMT before every LIST of a job queue. `%L` is TOLOCATION, which carries our own page count.
  public static let format = ListFormat(
    #"%j\037%a\037%o\037%e\037%p\037%y\037%d\037%t\037%Z\037%J\037%W\037%m\037%L\037%s"#)

  /// Also reads the formats of other clients, as far as they say the same: `%P` is sent:total, `%D` dials, `%T` tries.
  public init?(_ row: [Character: String]) {
    guard let id = row["j"].flatMap({ JobID($0) }), let state = row["a"].flatMap(JobState.init(letter:)) else {
      return nil
    }
    func pair(_ letter: Character) -> (Int?, Int?) {
      let parts = (row[letter] ?? "").split(separator: ":").map { Int($0.filter { $0.isNumber }) }
      return (parts.first ?? nil, parts.count > 1 ? parts[1] : nil)
    }
    self.id = id
    self.state = state
    owner = row["o"] ?? ""
    external = row["e"] ?? ""
    pagesSent = row["p"].flatMap(Int.init) ?? pair("P").0 ?? 0
    pagesTotal = row["y"].flatMap(Int.init) ?? pair("P").1 ?? 0
    dials = row["d"].flatMap(Int.init) ?? pair("D").0 ?? 0
    tries = row["t"].flatMap(Int.init) ?? pair("T").0 ?? 0
    time = row["Z"].flatMap(Int64.init)
    tag = row["J"].flatMap { $0.isEmpty ? nil : $0 }
    communication = row["W"].flatMap { $0.isEmpty ? nil : $0 }
    modem = row["m"].flatMap { $0.isEmpty || $0 == "any" ? nil : $0 }
    pagesSubmitted = row["L"].flatMap { $0.hasPrefix("pages=") ? Int($0.dropFirst(6)) : nil }
    status = row["s"] ?? ""
  }
}

/// One fax in recvq.
public struct ReceivedRow: Hashable, Sendable {
  public var file: String
  /// Pages so far; 0 while the first is still coming.
  public var pages: Int
  public var tsi: String?
  public var caller: String?
  public var callerName: String?
  public var bytes: Int?
  /// `2026/11/22 21.24.53`, in the zone of the session.
  public var receivedAt: String?
  public var isReceiving: Bool
  /// Almost always empty, also for a fax that was cut off (specs/fax.md trap 5).
  public var error: String?

  /// `%q` would end the server's process (trap 4); `%i` is the name, `%j` the number (trap 23).
  public static let format = ListFormat(#"%f\037%p\037%n\037%Y\037%z\037%j\037%e\037%i\037%s"#)

  /// A file that LIST does not show, by SIZE and MDTM.
  init(unlisted file: String, bytes: Int, receivedAt: String?) {
    self.file = file
    pages = 0
    self.bytes = bytes
    self.receivedAt = receivedAt
    isReceiving = false
  }

  public init?(_ row: [Character: String]) {
    guard let file = row["f"], !file.isEmpty else { return nil }
    self.file = file
    pages = row["p"].flatMap(Int.init) ?? 0
    tsi = FaxOrigin.given(row["s"])
    caller = FaxOrigin.given(row["j"])
    callerName = FaxOrigin.given(row["i"])
    bytes = row["n"].flatMap(Int.init)
    receivedAt = row["Y"]
    isReceiving = row["z"] == "*"
    error = FaxOrigin.given(row["e"])
  }
}
