import Channels
import ContactModel

/// Everything about a customer that bears on whether, when and by which channel he may be reached, without who he is:
/// customers with equal facts share one.
///
/// Holds no instant of the past: of what he said only the order counts, so that a million customers who said the same on
/// different days are one class. Purposes and channels are names, so a class outlives any profile.
/// Source: specs/outbound.md §4.
public struct ContactClass: Hashable, Sendable, Codable {
  /// Where one kind of address reaches him: the one that would be used.
  public struct Point: Hashable, Sendable, Codable {
    public var state: ContactPoint.State
    public var isVerified: Bool
    /// On a public do-not-call register.
    public var isOnRegister: Bool
    /// IANA names; empty: unknown.
    public var zones: [String]
    /// By channel, `*` for every channel.
    public var stops: [String: StopScope]
  }

  /// What he said, in the order of effect.
  public struct Statement: Hashable, Sendable, Codable {
    public var channel: String?
    public var purpose: String?
    public var verdict: ChannelPreference.Verdict
    public var rank: Int
    public var source: Int
    /// 1, 2, 3 …: what he said at the same instant has the same number. 0: no longer in force.
    public var order: Int
  }

  public struct Quiet: Hashable, Sendable, Codable {
    public var channel: String?
    public var from: Int?
    public var to: Int?
    public var days: [Int]?
    public var fromAt: Timestamp?
    public var toAt: Timestamp?
  }

  public var deleted = false
  public var deceased = false
  public var minor = false
  public var managerOnly = false
  public var noProfiling = false
  /// Purposes stopped by law, `*` for all.
  public var legal: [String] = []
  /// By kind of address.
  public var points: [String: Point] = [:]
  public var statements: [Statement] = []
  public var quiets: [Quiet] = []
  /// Learned scores in percent, by channel; empty where he forbids profiling.
  public var learned: [String: Int] = [:]

  public init() {}
}

extension ContactClass {
  /// His statements with instants that keep their order, all in the past of any decision.
  public var preferences: [ChannelPreference] {
    statements.compactMap { statement in
      guard let source = ChannelPreference.Source(rawValue: statement.source) else { return nil }
      return ChannelPreference(
        channel: statement.channel.map(OutboundChannel.init(rawValue:)),
        purpose: statement.purpose.map(Purpose.init(rawValue:)), verdict: statement.verdict, rank: statement.rank,
        effectiveAt: Timestamp(microseconds: Int64(statement.order)),
        validUntil: statement.order == 0 ? Timestamp(microseconds: 1) : nil, source: source)
    }
  }

  public var doNotDisturb: [DoNotDisturb] {
    quiets.compactMap { quiet in
      let channel = quiet.channel.map(OutboundChannel.init(rawValue:))
      if let from = quiet.fromAt, let to = quiet.toAt {
        return DoNotDisturb(channel: channel, time: .range(from: from, to: to))
      }
      guard let from = quiet.from, let to = quiet.to,
        let window = DailyWindow(from: from, to: to, days: quiet.days ?? [])
      else { return nil }
      return DoNotDisturb(channel: channel, time: .daily(window))
    }
  }

  public func stop(on channel: OutboundChannel) -> StopScope? {
    guard let point = points[channel.addressKind.rawValue] else { return nil }
    let scopes = [point.stops["*"], point.stops[channel.rawValue]].compactMap(\.self)
    return scopes.contains(.all) ? .all : scopes.first
  }

  /// What he said, reduced to what still decides: nothing said again in the same words matters twice.
  static func statements(of records: [ChannelPreference], at time: Timestamp) -> [Statement] {
    struct Key: Hashable {
      var channel: OutboundChannel?
      var purpose: Purpose?
      var verdict: ChannelPreference.Verdict?
      var source: ChannelPreference.Source?
    }
    var newest: [Key: ChannelPreference] = [:]
    var ended: Set<Key> = []
    for record in records where record.effectiveAt <= time {
      if let end = record.validUntil, end <= time {
        if record.verdict == .allow, record.purpose != nil {
          ended.insert(Key(channel: record.channel, purpose: record.purpose))
        }
        continue
      }
      let key = Key(
        channel: record.channel, purpose: record.purpose, verdict: record.verdict, source: record.source)
      // At one instant the better rank outranks.
      if let other = newest[key],
        (other.effectiveAt, -other.rank) >= (record.effectiveAt, -record.rank)
      {
        continue
      }
      newest[key] = record
    }
    let instants = Set(newest.values.map(\.effectiveAt)).sorted()
    let order = Dictionary(uniqueKeysWithValues: zip(instants, 1...))
    let live = newest.values.map { record in
      Statement(
        channel: record.channel?.rawValue, purpose: record.purpose?.rawValue, verdict: record.verdict,
        rank: record.verdict == .prefer ? record.rank : 1, source: record.source.rawValue,
        order: order[record.effectiveAt] ?? 1)
    }
    let over = ended.map { key in
      Statement(
        channel: key.channel?.rawValue, purpose: key.purpose?.rawValue, verdict: .allow, rank: 1, source: 1, order: 0)
    }
    return (live + over).sorted { $0.sortKey < $1.sortKey }
  }
}

extension ContactClass.Statement {
  fileprivate var sortKey: String {
    "\(order + 1_000)|\(channel ?? "")|\(purpose ?? "")|\(verdict.rawValue)|\(rank)|\(source)"
  }
}
