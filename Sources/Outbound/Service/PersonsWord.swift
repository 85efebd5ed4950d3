import Channels
import ContactModel
import Store

/// What a person found out about an attempt in doubt, where no peer can say.
public enum PersonsWord: String, Hashable, Sendable, Codable, CaseIterable {
  /// It reached the peer, or the customer: it counts, and nothing more is sent.
  case sent
  /// Surely not: the job is free again.
  case notSent = "not_sent"
  /// Nobody will find out; counts as sent.
  case unknown
}

/// What came of it.
public enum PersonsWordOutcome: Sendable {
  case settled(AttemptRecord)
  case notFound
  /// It is not in doubt, or not any more.
  case notInDoubt(Attempt.State)
}

extension WriteTransaction {
  /// Settles an attempt in doubt by a person's word. His reason belongs into the audit of the same transaction.
  public func settle(
    _ id: AttemptID, as word: PersonsWord, by person: String, under profile: PurposeProfile, at time: Timestamp
  ) throws -> PersonsWordOutcome {
    guard let before = try attempt(id) else { return .notFound }
    guard before.machine.state == .inDoubt else { return .notInDoubt(before.machine.state) }
    let evidence: Attempt.Evidence =
      switch word {
      case .sent: .inquired(.accepted(Receipt(peerID: nil, at: time)))
      case .notSent: .inquired(.deferred(Fault(.cancelled, text: "not sent, says \(person)"), retryAfter: nil))
      case .unknown: .horizonPassed
      }
    let around = Surroundings(profile: profile, zones: ZoneCatalog(), links: [], lanes: [], down: [:])
    try settle(id, evidence, link: nil, around, at: time)
    guard let after = try attempt(id) else { return .notFound }
    return .settled(after)
  }
}

extension WriteTransaction {
  /// Withdraws a job that is not under way; false if it is, or has ended.
  public func withdraw(_ id: ProactiveJobID, actor: Actor, at time: Timestamp) throws -> Bool {
    guard try cancel(id, actor: actor, at: time), let job = try proactiveJob(id) else { return false }
    try closeContact(of: job, as: job.state.rawValue, at: time)
    return true
  }
}
