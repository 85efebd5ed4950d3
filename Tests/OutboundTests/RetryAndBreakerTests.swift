import Channels
import ContactModel
import Outbound
import Testing

/// A breaker one can question within an expectation.
private final class Subject {
  private var breaker: CircuitBreaker
  init(_ breaker: CircuitBreaker = CircuitBreaker()) { self.breaker = breaker }
  func admit(at now: Timestamp) -> Bool { breaker.admit(at: now) }
  func downUntil(at now: Timestamp) -> Timestamp? { breaker.downUntil(at: now) }
  func record(_ submission: Submission, at now: Timestamp) { breaker.record(submission, at: now) }
}

@Suite struct RetryAndBreakerTests {
  private let now = Timestamp(seconds: 1_773_000_000)
  private let broken = Submission.deferred(Fault(.connection, text: "refused"), retryAfter: nil)

  @Test(arguments: [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960)])
  func `a retry lies anywhere within the doubled reach`(failures: Int, seconds: Int) throws {
    var generator = SeededGenerator(seed: 3)
    var longest = Duration.zero
    for _ in 0..<2_000 {
      let next = RetryPolicy().next(after: failures, notAfter: nil, at: now, using: &generator)
      let time = try #require(next)
      #expect(time >= now && time - now <= .seconds(seconds))
      longest = max(longest, time - now)
    }
    #expect(longest > .seconds(seconds) * 0.95)
  }

  @Test func `there are six retries, an hour at most apart`() throws {
    var generator = SeededGenerator(seed: 4)
    let seventh = RetryPolicy().next(after: 7, notAfter: nil, at: now, using: &generator)
    #expect(seventh == nil)
    let patient = RetryPolicy(retries: 100)
    for _ in 0..<200 {
      let next = patient.next(after: 90, notAfter: nil, at: now, using: &generator)
      let time = try #require(next)
      #expect(time - now <= .seconds(3_600))
    }
  }

  @Test func `the peer's wish is obeyed, and nothing is tried after its expiry`() {
    var generator = SeededGenerator(seed: 5)
    let policy = RetryPolicy()
    let obeyed = policy.next(after: 1, peerWish: .seconds(7_200), notAfter: nil, at: now, using: &generator)
    #expect(obeyed == now + .seconds(7_200))
    let tooLate = policy.next(
      after: 1, peerWish: .seconds(60), notAfter: now + .seconds(60), at: now, using: &generator)
    #expect(tooLate == nil)
  }

  @Test func `five failures of the link in a row open the circuit, one trial at a time closes it`() {
    let breaker = Subject(CircuitBreaker())
    for _ in 0..<4 { breaker.record(broken, at: now) }
    #expect(breaker.admit(at: now))
    breaker.record(broken, at: now)
    #expect(!breaker.admit(at: now))
    #expect(breaker.downUntil(at: now) == now + .seconds(30))
    let later = now + .seconds(30)
    #expect(breaker.admit(at: later))
    #expect(!breaker.admit(at: later))
    breaker.record(broken, at: later)
    #expect(breaker.downUntil(at: later) == later + .seconds(60))
    let latest = later + .seconds(60)
    #expect(breaker.admit(at: latest))
    breaker.record(.accepted(Receipt(peerID: nil, at: latest)), at: latest)
    #expect(breaker.downUntil(at: latest) == nil)
  }

  @Test func `a trial nobody reports on lapses`() {
    let breaker = Subject(CircuitBreaker(threshold: 1))
    breaker.record(broken, at: now)
    #expect(breaker.admit(at: now + .seconds(30)))
    #expect(!breaker.admit(at: now + .seconds(59)))
    #expect(breaker.admit(at: now + .seconds(60)))
  }

  @Test func `faults of recipients say nothing about the link`() {
    let breaker = Subject(CircuitBreaker(threshold: 2))
    for code in [Fault.Code.badAddress, .noAnswer, .contentRefused, .recipientBusy] {
      breaker.record(broken, at: now)
      breaker.record(.rejected(Fault(code, text: "")), at: now)
    }
    #expect(breaker.admit(at: now))
  }

  @Test func `a peer that throttles is left alone as long as it asks`() {
    let breaker = Subject(CircuitBreaker())
    breaker.record(.deferred(Fault(.throttled, text: ""), retryAfter: .seconds(5)), at: now)
    #expect(breaker.downUntil(at: now) == now + .seconds(5))
  }
}
