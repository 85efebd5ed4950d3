import Channels
import ContactModel
import Outbound

/// SplitMix64, so that a failing case can be had again from its seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

/// A request with its facts at random, dense in what makes decisions hard.
struct RandomCase {
  static let purposes: [Purpose] = [
    .security, .regulatory, .transaction, .service, .care, .survey, .marketing, .collections,
  ]
  static let channels: [OutboundChannel] = [.phone, .sms, .email, .fax, OutboundChannel(rawValue: "pigeon")]
  static let zones = ["Asia/Shanghai", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
    .compactMap(Shipped.zones.zone(named:))

  var request: DecisionRequest
  var facts = Facts()
  var now: Timestamp

  init(using generator: inout SeededGenerator) {
    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    // Around the changes of the clock in London and New York, and any minute of the year.
    let bases: [Int64] = [
      1_772_700_000, 1_793_400_000, 1_774_700_000, Int64.random(in: 1_767_225_600...1_798_761_600, using: &generator),
    ]
    let base = bases.randomElement(using: &generator)! + Int64.random(in: -400_000...400_000, using: &generator)
    let now = Timestamp(seconds: base / 60 * 60 + (chance(10) ? Int64.random(in: 0..<60, using: &generator) : 0))
    func time(_ hours: ClosedRange<Int>) -> Timestamp {
      now + .seconds(Int.random(in: hours, using: &generator) * 3_600 + Int.random(in: 0...3, using: &generator) * 900)
    }
    func channel() -> OutboundChannel { Self.channels[Int.random(in: 0..<(chance(5) ? 5 : 4), using: &generator)] }
    func purpose() -> Purpose { Self.purposes.randomElement(using: &generator)! }

    self.now = now
    request = DecisionRequest(
      purpose: purpose(), candidates: (0..<Int.random(in: 1...4, using: &generator)).map { _ in channel() })
    request.isConfidential = chance(10)
    request.due = chance(30) ? time(-12...0) : now
    if chance(20) { request.notBefore = time(-10...60) }
    if chance(30) { request.notAfter = time(0...120) }
    if chance(15) { request.requested = .init(channel: channel(), at: time(-1...30)) }
    if chance(10) { request.overrides.insert(.bankWindow) }
    if chance(10) { request.overrides.insert(.bankCap) }
    if chance(10) {
      request.overrides.insert(.channel)
      request.forcedChannel = channel()
    }
    facts.zones = (0..<[0, 1, 1, 1, 2].randomElement(using: &generator)!).map { _ in
      Self.zones.randomElement(using: &generator)!
    }
    facts.hasUnknownZone = chance(5)
    for channel in Self.channels.dropLast() where chance(85) {
      facts.addresses.append(
        .init(
          channel: channel, state: chance(93) ? .ok : ContactPoint.State.allCases.randomElement(using: &generator)!,
          stop: chance(5) ? .promo : chance(3) ? .all : nil, isVerified: chance(80), isOnRegister: chance(10),
          downUntil: chance(10) ? time(-1...3) : nil))
    }
    for _ in 0..<Int.random(in: 0...6, using: &generator) {
      let verdict: ChannelPreference.Verdict = chance(50) ? .allow : chance(50) ? .deny : .prefer
      facts.preferences.append(
        ChannelPreference(
          channel: chance(20) ? nil : channel(), purpose: chance(30) ? nil : chance(70) ? request.purpose : purpose(),
          verdict: verdict, rank: Int.random(in: 1...3, using: &generator), effectiveAt: time(-400...30),
          validUntil: chance(30) ? time(-20...60) : nil,
          source: ChannelPreference.Source.allCases.randomElement(using: &generator)!))
    }
    for _ in 0..<(chance(40) ? Int.random(in: 1...3, using: &generator) : 0) {
      let quiet: DoNotDisturb.Time
      if chance(25) {
        let from = time(-50...20)
        quiet = .range(from: from, to: from + .seconds(Int.random(in: 1...60, using: &generator) * 3_600))
      } else {
        let from = Int.random(in: 0..<96, using: &generator) * 15
        let to = Int.random(in: 0...96, using: &generator) * 15
        let days = chance(60) ? Array(1...7) : (1...7).filter { _ in chance(50) } + [3]
        quiet = .daily(DailyWindow(from: from, to: to, days: days)!)
      }
      facts.doNotDisturb.append(DoNotDisturb(channel: chance(50) ? nil : channel(), time: quiet))
    }
    let attempts = chance(3) ? 25 : chance(60) ? Int.random(in: 0...8, using: &generator) : 0
    facts.history = AttemptHistory(
      (0..<attempts).map { _ in
        .init(
          purpose: chance(50) ? request.purpose : purpose(), channel: channel(),
          at: attempts == 25 ? now - .seconds(Int.random(in: 0...3_600, using: &generator)) : time(-200...0),
          wasAnswered: chance(50))
      })
    for channel in Self.channels where chance(20) {
      facts.learned.append(.init(channel: channel, score: Double.random(in: 0...1, using: &generator)))
    }
    facts.forbidsProfiling = chance(20)
    facts.isRelationshipManagerOnly = chance(2)
    facts.isMinor = chance(1)
    facts.isDeceased = chance(1)
    facts.isHeldOut = chance(2)
    facts.killSwitch = chance(1)
  }
}
