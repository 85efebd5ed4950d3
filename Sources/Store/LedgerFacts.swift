import Channels

/// What reached one channel on one UTC day, and what became of it.
public struct LedgerLine: Sendable, Hashable, Codable {
  public var channel: String
  public var day: String
  public var received: Int
  public var stored: Int
  public var duplicate: Int
  public var refused: Int
  public var late: Int
  /// Counted from the arrivals themselves, so that the two prove each other.
  public var routed: Int
  public var quarantined: Int
  public var inWork: Int

  /// received = stored + duplicate + refused; stored = routed + quarantined + in work.
  public var balances: Bool {
    received == stored + duplicate + refused && stored == routed + quarantined + inWork
  }
}

/// One arrival set aside.
public struct QuarantineItem: Sendable, Hashable, Codable {
  public var arrivalId: ArrivalID
  public var channel: String
  public var code: String
  public var reason: String
  public var since: Timestamp
  public var attempts: Int
  public var rawSize: Int
}

extension Connection {
  /// The intake ledger from `since` (a UTC day, nil: all), by day and channel.
  public func ledger(since: String?) throws -> [LedgerLine] {
    let first = since.flatMap { Timestamp("\($0)T00:00:00Z") } ?? Timestamp(microseconds: 0)
    var counted: [String: (routed: Int, quarantined: Int, inWork: Int)] = [:]
    // Grouped by stored_at's day in microseconds; 86 400 000 000 a day.
    for row in try query(
      """
      SELECT channel, stored_at / 86400000000 AS day_no, state, count(*) AS n FROM arrival WHERE stored_at >= $1
      GROUP BY channel, stored_at / 86400000000, state
      """, [SQLValue(first)])
    {
      let day = day(of: Timestamp(seconds: try row.int("day_no") * 86_400))
      var entry = counted["\(try row.text("channel"))\n\(day)"] ?? (0, 0, 0)
      switch try row.text("state") {
      case "routed": entry.routed += try row.count("n")
      case "quarantined": entry.quarantined += try row.count("n")
      default: entry.inWork += try row.count("n")
      }
      counted["\(try row.text("channel"))\n\(day)"] = entry
    }
    return try query("SELECT * FROM ledger WHERE day >= $1 ORDER BY day, channel", [.text(since ?? "")]).map { row in
      let channel = try row.text("channel")
      let day = try row.text("day")
      let entry = counted["\(channel)\n\(day)"] ?? (0, 0, 0)
      return LedgerLine(
        channel: channel, day: day, received: try row.count("received"), stored: try row.count("stored"),
        duplicate: try row.count("duplicate"), refused: try row.count("refused"), late: try row.count("late"),
        routed: entry.routed, quarantined: entry.quarantined, inWork: entry.inWork)
    }
  }

  /// What is in quarantine now, oldest first, after the last of the page before.
  public func quarantine(
    after last: (since: Timestamp, arrival: ArrivalID)? = nil, limit: Int
  ) throws -> [QuarantineItem] {
    try query(
      """
      SELECT q.*, a.channel, a.raw_size FROM quarantine q JOIN arrival a ON a.arrival_id = q.arrival_id
      WHERE q.released_at IS NULL AND (q.since > $1 OR (q.since = $1 AND q.arrival_id > $2))
      ORDER BY q.since, q.arrival_id LIMIT $3
      """, [.int(last?.since.microseconds ?? .min), .text(last?.arrival.description ?? ""), SQLValue(limit)]
    ).map(QuarantineItem.init(row:))
  }
}

extension QuarantineItem {
  init(row: Row) throws {
    self.init(
      arrivalId: try row.parsed("arrival_id"), channel: try row.text("channel"), code: try row.text("code"),
      reason: try row.text("reason"), since: try row.time("since"), attempts: try row.count("attempts"),
      rawSize: try row.count("raw_size"))
  }
}
