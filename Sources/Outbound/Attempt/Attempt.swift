import Channels

/// One try to reach a customer through one channel, as a state machine without clock or I/O.
///
/// ```
/// planned → reserved → handing → accepted → delivered | undelivered | expired
///              │          ├→ rejected (proved unsent) ─ releases the cap ─→ the job is free again
///              │          └→ in doubt ─ inquire ─→ accepted | rejected | unknown for good
///              │             accepted ─ a report that proves that nothing reached him ─→ rejected
///              └→ released (paused, or the decision changed before the hand-over)
/// ```
/// `handing` is committed with the wire identity before the first byte leaves; so whatever is found `handing` at a start
/// may have been sent and is in doubt. Only a proof of *not sent* releases caps and frees the job. Evidence counts in
/// whatever state it arrives, however late, and the same evidence twice changes nothing.
/// Source: specs/outbound.md §3.
public struct Attempt: Hashable, Sendable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    /// Nothing is taken yet. `reserve` moves it on.
    case planned
    /// Its caps are taken. The dispatcher moves it on, to `handing` or `released`.
    case reserved
    /// Never left; the job may be planned again.
    case released
    /// Its identity is durable and bytes may be on the wire. The adapter's answer moves it on.
    case handing
    /// The peer has it. A report moves it on, or nothing ever does.
    case accepted
    /// Proved unsent.
    case rejected
    /// Nobody knows. An inquiry or a report moves it on, at the latest the horizon of its channel.
    case inDoubt = "in_doubt"
    case delivered, undelivered, expired
    /// Nobody will ever know; counts as sent.
    case unknownFinal = "unknown_final"

    /// What its reservation of caps stands at.
    public var cap: CapState? {
      switch self {
      case .planned: nil
      case .reserved: .reserved
      case .released, .rejected: .released
      case .handing, .accepted, .inDoubt, .delivered, .undelivered, .expired, .unknownFinal: .counted
      }
    }
  }

  public enum CapState: String, Hashable, Sendable, Codable, CaseIterable { case reserved, counted, released }

  /// What can be learned about an attempt.
  public enum Evidence: Hashable, Sendable {
    case reserved
    /// Given up before the hand-over.
    case released
    /// Written down under this name; the first byte may leave now.
    case handing(wireIdentity: String)
    /// What `submit` came to.
    case submitted(Submission)
    /// What `inquire` came to.
    case inquired(Submission)
    case reported(DeliveryReport)
    /// The daemon was restarted.
    case restarted
    /// The peer's memory reaches no further back: no inquiry will answer any more.
    case horizonPassed
  }

  /// What the owner of the attempt must do, in the same transaction as the change of state.
  public enum Effect: Hashable, Sendable {
    case reserveCaps
    case countCaps
    case releaseCaps
    /// The job may be planned again. `sameChannel`: nothing speaks against this channel; nil `fault` if nobody failed.
    case freeJob(sameChannel: Bool, fault: Fault?, notBefore: Duration?)
    /// Ask the peer what became of it.
    case inquire
    /// The customer was reached, or as good as; the job is done.
    case settleJob(State)
    /// The address itself is bad.
    case condemnAddress(Fault?)
    /// Something thought unsent was sent after all: stop whatever was planned in its place and tell an operator.
    case contradiction
  }

  public private(set) var state: State
  /// Nil until `handing`.
  public private(set) var wireIdentity: String?
  /// The peer's own name for it, once known.
  public private(set) var peerID: String?

  public init(state: State = .planned, wireIdentity: String? = nil, peerID: String? = nil) {
    self.state = state
    self.wireIdentity = wireIdentity
    self.peerID = peerID
  }

  /// Takes in what was learned; answers what follows, which is nothing when it was known or means nothing here.
  public mutating func learn(_ evidence: Evidence) -> [Effect] {
    switch evidence {
    case .reserved:
      guard state == .planned else { return [] }
      return become(.reserved, [.reserveCaps])
    case .released:
      guard state == .reserved else { return [] }
      return become(.released, [.releaseCaps, .freeJob(sameChannel: true, fault: nil, notBefore: nil)])
    case .handing(let name):
      guard state == .reserved else { return [] }
      wireIdentity = name
      return become(.handing, [.countCaps])
    case .restarted:
      switch state {
      case .reserved:
        return become(.released, [.releaseCaps, .freeJob(sameChannel: true, fault: nil, notBefore: nil)])
      case .handing: return become(.inDoubt, [.inquire])
      case .inDoubt: return [.inquire]
      default: return []
      }
    case .horizonPassed:
      guard state == .inDoubt else { return [] }
      return become(.unknownFinal, [.settleJob(.unknownFinal)])
    case .submitted(let submission): return state == .handing ? take(submission) : takeLate(submission)
    case .inquired(let submission): return takeLate(submission)
    case .reported(let report): return take(report)
    }
  }

  private mutating func become(_ next: State, _ effects: [Effect]) -> [Effect] {
    state = next
    return effects
  }

  private mutating func take(_ submission: Submission) -> [Effect] {
    switch submission {
    case .accepted(let receipt):
      peerID = receipt.peerID ?? peerID
      return become(.accepted, [.settleJob(.accepted)])
    case .deferred(let fault, let retryAfter):
      return become(.rejected, [.releaseCaps, .freeJob(sameChannel: true, fault: fault, notBefore: retryAfter)])
    case .rejected(let fault): return become(.rejected, rejection(fault))
    case .inDoubt: return become(.inDoubt, [.inquire])
    }
  }

  private func rejection(_ fault: Fault) -> [Effect] {
    var effects: [Effect] = [.releaseCaps, .freeJob(sameChannel: false, fault: fault, notBefore: nil)]
    switch fault.code {
    case .badAddress, .unknownRecipient: effects.append(.condemnAddress(fault))
    default: break
    }
    return effects
  }

  /// An answer that came when the state had moved on: of an inquiry, or of a submission cut off by a restart.
  private mutating func takeLate(_ submission: Submission) -> [Effect] {
    switch (state, submission) {
    case (.inDoubt, .inDoubt): return [.inquire]
    case (.inDoubt, _): return take(submission)
    case (.handing, .accepted): return take(submission)
    // A peer that knows nothing of it yet proves nothing while its bytes may still be on the way.
    case (.handing, _): return []
    case (.unknownFinal, .accepted(let receipt)):
      peerID = receipt.peerID ?? peerID
      return become(.accepted, [.settleJob(.accepted)])
    // Late, but a proof: it was never sent.
    case (.unknownFinal, .rejected), (.unknownFinal, .deferred): return take(submission)
    // It was taken over and has been reported undelivered before this answer was settled.
    case (.rejected, .accepted(let receipt)) where receipt.peerID != nil && receipt.peerID == peerID: return []
    case (.rejected, .accepted), (.released, .accepted): return contradict(.accepted)
    default: return []
    }
  }

  private mutating func take(_ report: DeliveryReport) -> [Effect] {
    peerID = report.peerID ?? peerID
    let condemned: [Effect] = report.condemnsAddress ? [.condemnAddress(report.fault)] : []
    let next: State =
      switch report.state {
      case .pending: .accepted
      case .delivered: .delivered
      case .undelivered: .undelivered
      case .expired: .expired
      case .unknown: .unknownFinal
      }
    // A proof that nothing reached the customer frees the job even after the peer had taken it: a fax line was busy.
    if report.state == .undelivered, let remedy = report.remedy {
      switch state {
      case .handing, .inDoubt, .accepted, .unknownFinal:
        let free = Effect.freeJob(
          sameChannel: remedy.sameChannel, fault: report.fault, notBefore: .seconds(remedy.afterSeconds))
        return become(.rejected, [remedy.counts == true ? .countCaps : .releaseCaps, free] + condemned)
      case .planned, .reserved, .released, .rejected, .delivered, .undelivered, .expired: return condemned
      }
    }
    switch state {
    case .planned, .reserved:
      // Nothing has left: the report is about something else.
      return []
    case .released, .rejected: return contradict(next) + condemned
    case .handing, .inDoubt, .accepted, .unknownFinal:
      guard next != state, state.finality <= next.finality else { return condemned }
      return become(next, [.settleJob(next)] + condemned)
    case .undelivered, .expired:
      // A peer that first gave up and then delivered is believed; the other way round it is not.
      guard next == .delivered else { return condemned }
      return become(next, [.settleJob(next)] + condemned)
    case .delivered: return condemned
    }
  }

  private mutating func contradict(_ next: State) -> [Effect] {
    become(next, [.countCaps, .settleJob(next), .contradiction])
  }
}

extension Attempt.State {
  /// How much is known; a report only ever adds.
  fileprivate var finality: Int {
    switch self {
    case .planned, .reserved, .released, .handing, .rejected, .inDoubt: 0
    case .accepted: 1
    case .unknownFinal: 2
    case .delivered, .undelivered, .expired: 3
    }
  }
}
