import Channels
import ContactModel
import Store

/// What was learned, kept beside the customer: read by decisions, renewed when he was reached or wrote to us.
extension Connection {
  /// The scores a decision is given; empty where nothing is known.
  func learnedScores(of customer: CustomerNumber) throws -> [Facts.LearnedScore] {
    try query(
      "SELECT channel, score FROM learned_channel WHERE customer_no = $1 ORDER BY channel", [.id(customer)]
    ).map { row in
      .init(channel: OutboundChannel(rawValue: try row.text("channel")), score: Double(try row.int("score")) / 100)
    }
  }

  /// The words for it, by channel.
  public func learnedWords(of customer: CustomerNumber, in language: Language) throws -> String? {
    try first("SELECT words_zh, words_en FROM learned_channel WHERE customer_no = $1 LIMIT 1", [.id(customer)])
      .map { try $0.text(language == .zh ? "words_zh" : "words_en") }
  }

  /// What a customer did of his own accord: took a call we made, answered within seven days on the channel we used, or
  /// wrote or called first. What only a machine did (a receipt, an opened mail) is a try without success.
  public func trials(of customer: CustomerNumber, since: Timestamp) throws -> [ChannelLearning.Trial] {
    let tried = try query(
      """
      SELECT l.channel, l.at, l.answered, CASE WHEN EXISTS (SELECT 1 FROM contact c WHERE c.customer_no = l.customer_no
        AND c.direction = 'inbound' AND c.received_at > l.at AND c.received_at <= l.at + 604800000000
        AND c.channel_kind = CASE l.channel WHEN 'phone' THEN 'telephony' ELSE l.channel END) THEN 1 ELSE 0 END AS replied
      FROM cap_ledger l WHERE l.customer_no = $1 AND l.state = 'counted' AND l.at > $2
      """, [.id(customer), SQLValue(since)]
    ).map { row in
      ChannelLearning.Trial(
        channel: OutboundChannel(rawValue: try row.text("channel")), at: try row.time("at"),
        succeeded: try row.bool("answered") || row.bool("replied"))
    }
    let own = try query(
      """
      SELECT channel_kind, received_at FROM contact WHERE customer_no = $1 AND direction = 'inbound'
        AND received_at > $2 ORDER BY received_at DESC LIMIT 500
      """, [.id(customer), SQLValue(since)]
    ).map { row in
      let kind = try row.text("channel_kind")
      return ChannelLearning.Trial(
        channel: kind == ChannelKind.telephony.rawValue ? .phone : OutboundChannel(rawValue: kind),
        at: try row.time("received_at"), succeeded: true)
    }
    return tried + own
  }

  /// The rate of each channel over a sample of recently reached customers.
  public func segmentRates(sample: Int) throws -> [OutboundChannel: SegmentRate] {
    let rows = try query(
      """
      SELECT l.channel, l.customer_no, count(*) AS tries, sum(l.answered) AS answered FROM cap_ledger l
      WHERE l.state = 'counted' AND l.customer_no IN
        (SELECT customer_no FROM contact_profile WHERE touched_at IS NOT NULL ORDER BY touched_at DESC LIMIT $1)
      GROUP BY l.channel, l.customer_no
      """, [SQLValue(sample)])
    var records: [OutboundChannel: [(successes: Double, tries: Double)]] = [:]
    for row in rows {
      records[OutboundChannel(rawValue: try row.text("channel")), default: []]
        .append((Double(try row.int("answered")), Double(try row.int("tries"))))
    }
    return records.compactMapValues { SegmentRate(of: $0) }
  }
}

extension Connection {
  /// Replays the tries of the customers reached last, with segment rates from the older half of them.
  public func backTest(sample: Int, order: [OutboundChannel], at time: Timestamp) throws -> (
    test: BackTest, customers: Int
  ) {
    let since = time - .seconds(5 * 366 * 86_400)
    let customers = try query(
      "SELECT customer_no FROM contact_profile WHERE touched_at IS NOT NULL ORDER BY touched_at DESC LIMIT $1",
      [SQLValue(sample)]
    ).map { try trials(of: $0.parsed("customer_no"), since: since) }
    let all = customers.flatMap(\.self).sorted { $0.at < $1.at }
    let middle = all.isEmpty ? time : all[all.count / 2].at
    var segments: [OutboundChannel: SegmentRate] = [:]
    for channel in Set(all.map(\.channel)) {
      let records = customers.map { trials in
        let old = trials.filter { $0.channel == channel && $0.at < middle }
        return (successes: Double(old.count { $0.succeeded }), tries: Double(old.count))
      }
      segments[channel] = SegmentRate(of: records)
    }
    return (BackTest(of: customers, with: ChannelLearning(), segments: segments, order: order), customers.count)
  }
}

extension WriteTransaction {
  /// Renews what was learned of one customer; nothing under no-profiling, and then what was known is forgotten.
  public func learn(
    _ customer: CustomerNumber, with learning: ChannelLearning, segments: [OutboundChannel: SegmentRate],
    at time: Timestamp
  ) throws {
    try execute("DELETE FROM learned_channel WHERE customer_no = $1", [.id(customer)])
    reproject(customer, at: time)
    guard try !flags(of: customer).noProfiling else { return }
    let trials = try trials(of: customer, since: time - .seconds(5 * 366 * 86_400))
    guard !trials.isEmpty else { return }
    for channel in Set(trials.map(\.channel)).union(segments.keys).sorted() {
      guard let segment = segments[channel] ?? SegmentRate(of: [(1, 4)]) else { continue }
      let score = learning.score(trials, on: channel, in: segment, at: time)
      try execute(
        """
        INSERT INTO learned_channel(customer_no, channel, score, words_zh, words_en, learned_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        [
          .id(customer), .text(channel.rawValue), .int(Int64((min(1, max(0, score)) * 100).rounded())),
          .text(learning.words(trials, at: time, in: .zh)), .text(learning.words(trials, at: time, in: .en)),
          SQLValue(time),
        ])
    }
  }

  /// Learns of those who were reached since the last call, oldest first; answers how many.
  public func learnNext(limit: Int, at time: Timestamp) throws -> Int {
    let position = (try control("learned") ?? "").split(separator: " ").compactMap { Int64($0) }
    let after = position.count == 2 ? (position[0], position[1]) : (0, 0)
    let rows = try query(
      """
      SELECT touched_at, seq, customer_no FROM contact_profile
      WHERE (touched_at, seq) > (CAST($1 AS {{int}}), CAST($2 AS {{int}})) AND touched_at <= $3
      ORDER BY touched_at, seq LIMIT $4
      """,
      // A day later, so that there was time to answer.
      [.int(after.0), .int(after.1), SQLValue(time - .seconds(86_400)), SQLValue(limit)])
    guard let last = rows.last else { return 0 }
    let segments = try segmentRates(sample: 2_000)
    for row in rows { try learn(try row.parsed("customer_no"), with: ChannelLearning(), segments: segments, at: time) }
    try setControl("learned", to: "\(try last.int("touched_at")) \(try last.int("seq"))", by: "liaison", at: time)
    return rows.count
  }
}
