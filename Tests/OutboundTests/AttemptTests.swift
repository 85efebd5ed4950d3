import Channels
import ContactModel
import Outbound
import Testing

/// An attempt one can question within an expectation.
private final class Subject {
  private var attempt: Attempt
  init(_ attempt: Attempt = Attempt()) { self.attempt = attempt }
  var state: Attempt.State { attempt.state }
  var wireIdentity: String? { attempt.wireIdentity }
  var peerID: String? { attempt.peerID }
  func learn(_ evidence: Attempt.Evidence) -> [Attempt.Effect] { attempt.learn(evidence) }
}

@Suite struct AttemptTests {
  private static let at = Timestamp(seconds: 1_773_000_000)
  private let receipt = Receipt(peerID: "p1", at: at)
  private let fault = Fault(.connection, text: "gone")

  private func report(_ state: DeliveryReport.State, condemns: Bool = false) -> Attempt.Evidence {
    .reported(DeliveryReport(wireIdentity: "w1", peerID: nil, recipient: nil, state: state, condemnsAddress: condemns))
  }

  private func handing() -> Subject {
    let attempt = Subject()
    _ = attempt.learn(.reserved)
    _ = attempt.learn(.handing(wireIdentity: "w1"))
    return attempt
  }

  @Test func `a proof that nothing reached him frees the job, also after the peer had taken it`() {
    let busy = DeliveryReport(
      wireIdentity: "w", peerID: "p", recipient: nil, state: .undelivered, fault: Fault(.recipientBusy, text: "busy"),
      remedy: .init(sameChannel: true, afterSeconds: 180))
    let freed: [Attempt.Effect] = [
      .releaseCaps, .freeJob(sameChannel: true, fault: busy.fault, notBefore: .seconds(180)),
    ]
    let accepted = Submission.accepted(Receipt(peerID: "p", at: Timestamp(seconds: 1)))
    var attempt = Attempt(state: .accepted, wireIdentity: "w", peerID: "p")
    #expect(attempt.learn(.reported(busy)) == freed)
    #expect(attempt.state == .rejected)
    #expect(attempt.learn(.reported(busy)) == [])
    // The report was faster than the answer it is about: no contradiction.
    var early = Attempt(state: .handing, wireIdentity: "w")
    #expect(early.learn(.reported(busy)) == freed)
    #expect(early.learn(.submitted(accepted)) == [])
    #expect(early.state == .rejected)
    // What is known to have arrived stays so.
    var delivered = Attempt(state: .delivered, wireIdentity: "w", peerID: "p")
    #expect(delivered.learn(.reported(busy)) == [])
    #expect(delivered.state == .delivered)
  }

  @Test func `an attempt that goes well`() {
    let attempt = Subject(Attempt())
    #expect(attempt.learn(.reserved) == [.reserveCaps])
    #expect(attempt.learn(.handing(wireIdentity: "w1")) == [.countCaps])
    #expect(attempt.wireIdentity == "w1")
    #expect(attempt.learn(.submitted(.accepted(receipt))) == [.settleJob(.accepted)])
    #expect(attempt.peerID == "p1")
    #expect(attempt.learn(report(.pending)) == [])
    #expect(attempt.learn(report(.delivered)) == [.settleJob(.delivered)])
    #expect(attempt.learn(report(.delivered)) == [])
    #expect(attempt.state == .delivered)
  }

  @Test func `a start finds handing in doubt and reserved unsent`() {
    let handing = handing()
    #expect(handing.learn(.restarted) == [.inquire])
    #expect(handing.state == .inDoubt)
    let reserved = Subject(Attempt(state: .reserved))
    #expect(reserved.learn(.restarted) == [.releaseCaps, .freeJob(sameChannel: true, fault: nil, notBefore: nil)])
    #expect(reserved.state == .released)
    let accepted = Subject(Attempt(state: .accepted))
    #expect(accepted.learn(.restarted) == [])
  }

  @Test func `deferred frees the job for the same channel, rejected for another`() {
    let deferred = handing()
    let wish = Duration.seconds(90)
    #expect(
      deferred.learn(.submitted(.deferred(fault, retryAfter: wish)))
        == [.releaseCaps, .freeJob(sameChannel: true, fault: fault, notBefore: wish)])
    #expect(deferred.state == .rejected)
    let rejected = handing()
    let unknown = Fault(.unknownRecipient, text: "no such user")
    #expect(
      rejected.learn(.submitted(.rejected(unknown)))
        == [.releaseCaps, .freeJob(sameChannel: false, fault: unknown, notBefore: nil), .condemnAddress(unknown)])
  }

  @Test func `doubt is inquired about until it is cleared, and never repeated`() {
    let attempt = handing()
    #expect(attempt.learn(.submitted(.inDoubt(fault))) == [.inquire])
    #expect(attempt.learn(.inquired(.inDoubt(fault))) == [.inquire])
    #expect(attempt.learn(.inquired(.accepted(receipt))) == [.settleJob(.accepted)])
  }

  @Test func `doubt beyond the peer's memory counts as sent`() {
    let attempt = handing()
    _ = attempt.learn(.submitted(.inDoubt(fault)))
    #expect(attempt.learn(.horizonPassed) == [.settleJob(.unknownFinal)])
    #expect(attempt.state.cap == .counted)
    #expect(attempt.learn(.inquired(.inDoubt(fault))) == [])
    // Late evidence still counts.
    #expect(attempt.learn(report(.delivered)) == [.settleJob(.delivered)])
  }

  @Test func `a late proof of not sent frees what was given up as unknown`() {
    let attempt = Subject(Attempt(state: .unknownFinal, wireIdentity: "w1"))
    #expect(
      attempt.learn(.inquired(.rejected(fault)))
        == [.releaseCaps, .freeJob(sameChannel: false, fault: fault, notBefore: nil)])
  }

  @Test func `a receipt that overtakes the answer is believed, and the answer changes nothing`() {
    let attempt = handing()
    #expect(attempt.learn(report(.delivered)) == [.settleJob(.delivered)])
    #expect(attempt.learn(.submitted(.inDoubt(fault))) == [])
    #expect(attempt.learn(.submitted(.accepted(receipt))) == [])
    #expect(attempt.state == .delivered)
  }

  @Test func `an inquiry that finds nothing proves nothing while the hand-over runs`() {
    let attempt = handing()
    #expect(attempt.learn(.inquired(.rejected(fault))) == [])
    #expect(attempt.state == .handing)
  }

  @Test func `a receipt for what was thought unsent is a contradiction somebody must see`() {
    let attempt = handing()
    _ = attempt.learn(.submitted(.deferred(fault, retryAfter: nil)))
    #expect(attempt.learn(report(.delivered)) == [.countCaps, .settleJob(.delivered), .contradiction])
    #expect(attempt.state.cap == .counted)
  }

  @Test func `a bounce after delivery condemns the address and takes no delivery back`() {
    let attempt = Subject(Attempt(state: .delivered, wireIdentity: "w1"))
    #expect(attempt.learn(report(.undelivered, condemns: true)) == [.condemnAddress(nil)])
    #expect(attempt.state == .delivered)
  }

  @Test(arguments: 1...20) func `whatever is learned in whatever order, caps and jobs stay right`(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let evidence: [Attempt.Evidence] = [
      .reserved, .released, .handing(wireIdentity: "w1"), .submitted(.accepted(receipt)),
      .submitted(.deferred(fault, retryAfter: nil)), .submitted(.rejected(fault)), .submitted(.inDoubt(fault)),
      .inquired(.accepted(receipt)), .inquired(.rejected(fault)), .inquired(.deferred(fault, retryAfter: nil)),
      .inquired(.inDoubt(fault)), report(.pending), report(.delivered), report(.undelivered), report(.expired),
      report(.unknown), .restarted, .horizonPassed,
    ]
    for _ in 0..<500 {
      let attempt = Subject(Attempt())
      var cap: Attempt.CapState?
      var mayHaveLeft = false
      for _ in 0..<12 {
        guard let next = evidence.randomElement(using: &generator) else { return }
        let before = attempt.state
        let effects = attempt.learn(next)
        for effect in effects {
          switch effect {
          case .reserveCaps: cap = .reserved
          case .countCaps: cap = .counted
          case .releaseCaps: cap = .released
          case .freeJob: #expect(attempt.state == .released || attempt.state == .rejected)
          case .settleJob(let state): #expect(state == attempt.state)
          case .inquire: #expect(attempt.state == .inDoubt)
          case .condemnAddress, .contradiction: break
          }
        }
        #expect(cap == attempt.state.cap, "\(before) \(next)")
        if attempt.state == .handing { mayHaveLeft = true }
        if mayHaveLeft { #expect(attempt.state != .planned && attempt.state != .reserved) }
        if before != attempt.state { #expect(!effects.isEmpty) }
        // The same again changes nothing.
        let state = attempt.state
        let again = attempt.learn(next)
        #expect(attempt.state == state && again.allSatisfy { $0 == .inquire || isCondemnation($0) })
      }
    }
  }

  private func isCondemnation(_ effect: Attempt.Effect) -> Bool {
    if case .condemnAddress = effect { return true }
    return false
  }
}
