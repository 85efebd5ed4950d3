import Channels
import ContactModel
import Outbound
import Testing

@Suite struct LearningTests {
  private let now = Timestamp(seconds: 1_773_000_000)
  private let learning = ChannelLearning()
  private let segment = SegmentRate(mean: 0.3, strength: 10)

  private func trials(
    _ channel: OutboundChannel, _ successes: Int, of count: Int, daysAgo: Int = 0, dayPart: Int = 0
  ) -> [ChannelLearning.Trial] {
    (0..<count).map {
      .init(channel: channel, at: now - .seconds(daysAgo * 86_400), dayPart: dayPart, succeeded: $0 < successes)
    }
  }

  private func near(_ a: Double, _ b: Double) -> Bool { abs(a - b) < 1e-9 }

  @Test func `nobody known scores as his segment does`() {
    #expect(near(learning.score([], on: .phone, in: segment, at: now), 0.3))
  }

  @Test func `the score is (S + m·k) / (N + k)`() {
    #expect(near(learning.score(trials(.phone, 5, of: 8), on: .phone, in: segment, at: now), (5 + 3) / (8 + 10.0)))
  }

  @Test func `what is a half-life old counts half, what is of another channel or the future not at all`() {
    let old = trials(.phone, 4, of: 8, daysAgo: 548)
    let tally = learning.tally(
      old + trials(.sms, 3, of: 3) + trials(.phone, 1, of: 1, daysAgo: -1), on: .phone, at: now)
    #expect(near(tally.successes, 2) && near(tally.tries, 4))
    #expect(near(learning.tally(trials(.phone, 1, of: 1, daysAgo: 274), on: .phone, at: now).tries, 0.7071067811865476))
  }

  @Test func `a part of the day is drawn towards the channel's score`() {
    let known = trials(.phone, 0, of: 6, dayPart: 0) + trials(.phone, 6, of: 6, dayPart: 2)
    let whole = learning.score(known, on: .phone, in: segment, at: now)
    let morning = learning.score(known, on: .phone, dayPart: 0, in: segment, at: now)
    let evening = learning.score(known, on: .phone, dayPart: 2, in: segment, at: now)
    #expect(morning < whole && whole < evening)
    #expect(near(learning.score(known, on: .phone, dayPart: 1, in: segment, at: now), whole))
  }

  @Test func `customers who differ make the segment weigh little, customers alike make it weigh much`() throws {
    let differing = (0..<200).map { (successes: $0 % 2 == 0 ? 9.0 : 1.0, tries: 10.0) }
    let alike = (0..<200).map { (successes: $0 % 2 == 0 ? 5.0 : 5.0, tries: 10.0) }
    let apart = try #require(SegmentRate(of: differing))
    let together = try #require(SegmentRate(of: alike))
    #expect(near(apart.mean, 0.5) && apart.strength < 2)
    #expect(together.strength == 1_000)
    #expect(SegmentRate(of: []) == nil)
  }

  @Test func `the method of moments finds the k the records were drawn with`() throws {
    var generator = SeededGenerator(seed: 11)
    // Beta(2, 6): m = 0.25, k = 8, drawn as the order statistic of seven uniforms.
    let records = (0..<20_000).map { _ -> (successes: Double, tries: Double) in
      let rate = (0..<7).map { _ in Double.random(in: 0..<1, using: &generator) }.sorted()[1]
      return (Double((0..<20).filter { _ in Double.random(in: 0..<1, using: &generator) < rate }.count), 20)
    }
    let found = try #require(SegmentRate(of: records))
    #expect(abs(found.mean - 0.25) < 0.01)
    #expect(abs(found.strength - 8) < 0.8)
  }

  private let segments: [OutboundChannel: SegmentRate] = [
    .phone: SegmentRate(mean: 0.3, strength: 10), .email: SegmentRate(mean: 0.2, strength: 10),
  ]

  @Test func `no profiling, no scores`() {
    var generator = SeededGenerator(seed: 1)
    let scores = learning.scores(
      trials(.phone, 5, of: 5), segments: segments, allowed: [.phone], forbidsProfiling: true, mayExplore: true,
      at: now, using: &generator)
    #expect(scores.isEmpty)
  }

  @Test func `two in a hundred explore, only among allowed channels, and never where it costs the customer`() {
    var generator = SeededGenerator(seed: 2)
    func explored(_ may: Bool) -> Int {
      (0..<20_000).filter { _ in
        let scores = learning.scores(
          trials(.phone, 5, of: 5), segments: segments, allowed: [.sms, .email], forbidsProfiling: false,
          mayExplore: may, at: now, using: &generator)
        let first = scores.max { $0.score < $1.score }
        if let first, first.score == 1 { #expect([.sms, .email].contains(first.channel)) }
        return first?.score == 1
      }.count
    }
    #expect(abs(explored(true) - 400) < 80)
    #expect(explored(false) == 0)
  }

  @Test func `what was learned is said with its plain counts`() {
    let known = trials(.phone, 5, of: 8) + trials(.email, 0, of: 6, daysAgo: 2)
    #expect(learning.words(known, at: now, in: .en) == "answered 0 of 6 e-mails, 5 of 8 calls since March 2026")
    #expect(learning.words(known, at: now, in: .zh) == "自 2026 年 3 月：电子邮件 6 次中回应 0 次，电话 8 次中回应 5 次")
    #expect(learning.words([], at: now, in: .en) == "nothing known yet")
  }

  @Test func `the back-test shows learning ahead where customers differ`() {
    var generator = SeededGenerator(seed: 12)
    let customers = (0..<300).map { index in
      (0..<30).map { step -> ChannelLearning.Trial in
        let channel: OutboundChannel = Bool.random(using: &generator) ? .phone : .email
        let likes: OutboundChannel = index % 2 == 0 ? .phone : .email
        let rate = channel == likes ? 0.8 : 0.1
        return .init(
          channel: channel, at: now - .seconds((40 - step) * 86_400),
          succeeded: Double.random(in: 0..<1, using: &generator) < rate)
      }
    }
    let rates: [OutboundChannel: SegmentRate] = [
      .phone: SegmentRate(mean: 0.45, strength: 2), .email: SegmentRate(mean: 0.45, strength: 2),
    ]
    let test = BackTest(of: customers, with: learning, segments: rates, order: [.email, .phone])
    #expect(test.trials == 9_000)
    #expect(test.learnedError < test.segmentError * 0.8)
    #expect((test.learnedChoice.rate ?? 0) > (test.orderChoice.rate ?? 1) + 0.2)
  }
}
