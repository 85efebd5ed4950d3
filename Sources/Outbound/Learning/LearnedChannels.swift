import Channels
import ContactModel

extension ChannelLearning {
  /// The scores a decision is given, one for each channel there is a segment rate for.
  ///
  /// Empty under `forbidsProfiling`. With probability `exploration` one of `allowed` is drawn to the front, so that what is
  /// never tried can still be learned; never where a wrong guess costs the customer (`mayExplore` false: security,
  /// transaction, collections). Allowed are only channels the rules have passed; the score crosses no rule.
  public func scores(
    _ trials: [Trial], segments: [OutboundChannel: SegmentRate], allowed: [OutboundChannel], forbidsProfiling: Bool,
    mayExplore: Bool, exploration: Double = 0.02, at now: Timestamp, using generator: inout some RandomNumberGenerator
  ) -> [Facts.LearnedScore] {
    guard !forbidsProfiling else { return [] }
    var scores = segments.keys.sorted().compactMap { channel -> Facts.LearnedScore? in
      guard let segment = segments[channel] else { return nil }
      return .init(channel: channel, score: score(trials, on: channel, in: segment, at: now))
    }
    if mayExplore, Double.random(in: 0..<1, using: &generator) < exploration,
      let drawn = allowed.sorted().randomElement(using: &generator)
    {
      scores.removeAll { $0.channel == drawn }
      scores.append(.init(channel: drawn, score: 1))
    }
    return scores
  }

  /// What was learned, in words with the plain counts: "answered 5 of 8 calls, 0 of 6 e-mails since March 2026".
  public func words(_ trials: [Trial], at now: Timestamp, in language: Language) -> String {
    let past = trials.filter { $0.at <= now }
    guard let since = past.map(\.at).min() else { return language == .zh ? "尚无记录" : "nothing known yet" }
    let channels = Set(past.map(\.channel)).sorted()
    let parts = channels.map { channel in
      let tried = past.filter { $0.channel == channel }
      let answered = tried.filter(\.succeeded).count
      switch language {
      case .zh: return "\(channel.words(in: .zh)) \(tried.count) 次中回应 \(answered) 次"
      case .en: return "\(answered) of \(tried.count) \(channel.plural(tried.count))"
      }
    }
    // RFC 3339 begins with year and month.
    let date = since.description.prefix(7).split(separator: "-")
    guard date.count == 2, let month = Int(date[1]), (1...12).contains(month) else {
      return parts.joined(separator: ", ")
    }
    switch language {
    case .zh: return "自 \(date[0]) 年 \(month) 月：" + parts.joined(separator: "，")
    case .en:
      let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
      ]
      return "answered " + parts.joined(separator: ", ") + " since \(months[month - 1]) \(date[0])"
    }
  }
}

extension OutboundChannel {
  fileprivate func plural(_ count: Int) -> String {
    let many = count != 1
    switch self {
    case .phone: return many ? "calls" : "call"
    case .email: return many ? "e-mails" : "e-mail"
    case .sms: return "SMS"
    case .fax: return many ? "faxes" : "fax"
    default: return "by \(rawValue)"
    }
  }
}
