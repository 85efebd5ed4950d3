import Channels
import ContactModel
import Testing

@testable import Outbound

/// What must hold whatever is asked: 120,000 requests at random, from fixed seeds.
@Suite struct DecisionPropertyTests {
  private static let each = 15_000

  @Test(arguments: 1...8) func `every decision keeps the promises`(seed: Int) throws {
    let profile = try Shipped.profile()
    var generator = SeededGenerator(seed: UInt64(seed))
    var verdicts = (sent: 0, deferred: 0, refused: 0)
    for index in 0..<Self.each {
      let random = RandomCase(using: &generator)
      let decision = decide(random.request, about: random.facts, under: profile, at: random.now)
      let broken = broken(decision, random, profile)
      #expect(broken == nil, "seed \(seed), case \(index)")
      if broken != nil { return }

      var turned = random
      turned.request.candidates.shuffle(using: &generator)
      turned.request.candidates += turned.request.candidates.prefix(1)
      turned.facts.preferences.shuffle(using: &generator)
      turned.facts.addresses.shuffle(using: &generator)
      turned.facts.doNotDisturb.shuffle(using: &generator)
      turned.facts.zones.reverse()
      let again = decide(turned.request, about: turned.facts, under: profile, at: turned.now)
      #expect(again == decision, "the order of what is given must not matter: seed \(seed), case \(index)")

      switch decision.verdict {
      case .send: verdicts.sent += 1
      case .defer: verdicts.deferred += 1
      case .refuse: verdicts.refused += 1
      }
    }
    // The generator must reach every branch, or the promises above are empty.
    #expect(min(verdicts.sent, verdicts.deferred, verdicts.refused) > Self.each / 20, "\(verdicts)")
  }

  /// The promise the decision breaks; nil if it keeps all.
  private func broken(_ decision: Decision, _ random: RandomCase, _ profile: PurposeProfile) -> String? {
    let now = random.now
    switch decision.verdict {
    case .refuse: return nil
    case .send(let channel):
      if decision.refused.contains(where: { $0.channel == channel }) { return "sends on a refused channel" }
      return reaches(channel, random, at: now)
    case .defer(let channel, let until):
      guard let channel else { return "no channel though nothing is paused" }
      if until <= now { return "until is not later" }
      if let end = random.request.notAfter, until >= end { return "until is after expiry" }
      if until - now > profile.horizon { return "until is beyond the horizon" }
      if decision.refused.contains(where: { $0.channel == channel }) { return "waits for a refused channel" }
      let then = decide(random.request, about: random.facts, under: profile, at: until)
      guard case .send(let on) = then.verdict else { return "deciding again at until does not send: \(then)" }
      return reaches(on, random, at: until)
    }
  }

  /// Whether sending on `channel` crosses the customer's word or his address, judged apart from the code under test.
  private func reaches(_ channel: OutboundChannel, _ random: RandomCase, at time: Timestamp) -> String? {
    guard let address = random.facts.addresses.first(where: { $0.channel == channel }) else { return "no address" }
    if address.state != .ok { return "bad address" }
    if address.stop == .all, random.request.purpose != .security { return "crosses a STOP" }
    if address.stop == .promo, [.marketing, .survey, .care].contains(random.request.purpose) {
      return "crosses a STOP"
    }
    if let requested = random.request.requested, requested.channel == channel, time >= requested.at,
      time - requested.at <= .seconds(1_800)
    {
      return nil
    }
    if [.security, .regulatory].contains(random.request.purpose) { return nil }
    let said = random.facts.preferences.filter { record in
      (record.channel ?? channel) == channel && (record.purpose ?? random.request.purpose) == random.request.purpose
        && record.effectiveAt <= time && (record.validUntil.map { $0 > time } ?? true)
    }
    func weight(_ record: ChannelPreference) -> Int {
      (record.channel != nil ? 2 : 0) + (record.purpose != nil ? 1 : 0)
    }
    let denies = said.filter { $0.verdict == .deny }
    let allows = said.filter { $0.verdict == .allow }
    for deny in denies {
      let undone = allows.contains {
        $0.effectiveAt > deny.effectiveAt && weight($0) >= weight(deny) && $0.source.rawValue >= deny.source.rawValue
      }
      if !undone { return "crosses a deny" }
    }
    if random.request.purpose == .marketing, !allows.contains(where: { $0.purpose == .marketing }) {
      return "markets without consent"
    }
    return nil
  }

  @Test func `the time found is allowed and no earlier one is`() throws {
    let profile = try Shipped.profile()
    var generator = SeededGenerator(seed: 99)
    var moved = 0
    for index in 0..<4_000 {
      var random = RandomCase(using: &generator)
      random.request.requested = nil
      guard let rules = profile.purposes[random.request.purpose], let address = random.facts.addresses.first else {
        continue
      }
      let deliberation = Deliberation(
        request: random.request, facts: random.facts, profile: profile, rules: rules, at: random.now)
      let (time, wait) = deliberation.earliestTime(on: address.channel, address, from: random.now)
      func isAllowed(_ instant: Timestamp) -> Bool {
        Self.isAllowed(instant, on: address, random, rules, deliberation.zones)
      }
      let end = time ?? random.now + profile.horizon
      if let time { #expect(isAllowed(time), "case \(index): \(time) is not allowed") }
      guard end > random.now else { continue }
      moved += 1
      #expect(wait != nil)
      var samples = (0..<12).map { _ in
        Timestamp(microseconds: Int64.random(in: random.now.microseconds..<end.microseconds, using: &generator))
      }
      samples += [random.now, end - .microseconds(1)]
      for sample in samples where isAllowed(sample) {
        Issue.record("case \(index): \(sample) is allowed too, \(end) was found")
        return
      }
    }
    #expect(moved > 1_000)
  }

  /// The time rules as a plain question about one instant.
  private static func isAllowed(
    _ instant: Timestamp, on address: Facts.AddressFact, _ random: RandomCase, _ rules: PurposeProfile.Rules,
    _ zones: [Zone]
  ) -> Bool {
    if let start = random.request.notBefore, instant < start { return false }
    if let down = address.downUntil, instant < down { return false }
    let entries = random.facts.history.entries
    if entries.filter({ $0.at > instant - .seconds(3_600) }).count >= 20 { return false }
    if rules.isExemptFromHours { return true }
    let windows = rules.windows[address.channel]
    for zone in zones {
      let wall = zone.wall(at: instant.microseconds)
      if let window = windows?.statutory, !covers(window, wall) { return false }
      if !random.request.overrides.contains(.bankWindow), let window = windows?.bank, !covers(window, wall) {
        return false
      }
      for quiet in random.facts.doNotDisturb where (quiet.channel ?? address.channel) == address.channel {
        switch quiet.time {
        case .range(let from, let to): if from <= instant, instant < to { return false }
        case .daily(let window): if covers(window, wall) { return false }
        }
      }
    }
    for cap in rules.caps where (cap.channel ?? address.channel) == address.channel {
      if cap.kind == .bank, random.request.overrides.contains(.bankCap) { continue }
      let counted = entries.filter {
        cap.counts.contains($0.purpose) && (cap.channel ?? $0.channel) == $0.channel
          && (!cap.onlyAnswered || $0.wasAnswered)
      }
      switch cap.span {
      case .rolling(let span): if counted.filter({ $0.at + span > instant }).count >= cap.limit { return false }
      case .calendarDay:
        for zone in zones {
          let day = WallClock.day(of: zone.wall(at: instant.microseconds))
          let sameDay = counted.filter { WallClock.day(of: zone.wall(at: $0.at.microseconds)) == day }
          if sameDay.count >= cap.limit { return false }
        }
      }
    }
    return true
  }

  private static func covers(_ window: DailyWindow, _ wall: Int64) -> Bool { window.ending(covering: wall) != nil }
}
