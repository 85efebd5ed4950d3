import Channels
import ContactModel

/// What the holder of an address said about it by a word of a message, a click, a form: leave me alone, or go on.
public struct AddressWish: Sendable, Hashable {
  public enum Act: Sendable, Hashable {
    case stop(StopScope)
    case lift
  }
  public var act: Act
  public var address: Address
  /// The channel he said it about; nil: every channel that uses the address.
  public var channel: OutboundChannel?
  /// The word he used, if it was a word.
  public var word: String?
  public init(_ act: Act, about address: Address, on channel: OutboundChannel?, word: String? = nil) {
    self.act = act
    self.address = address
    self.channel = channel
    self.word = word
  }
}

extension Connection {
  /// Whether we have sent a message of this wire identity to this address: a complaint about anything else is nobody's word.
  public func hasSent(_ wireIdentity: String, to address: Address) throws -> Bool {
    try first(
      "SELECT 1 AS one FROM attempt WHERE wire_identity = $1 AND to_kind = $2 AND to_canonical = $3",
      [.text(wireIdentity), SQLValue(address.kind), .text(address.canonical)]) != nil
  }
}

extension WriteTransaction {
  /// Obeys at once and whatever else is on its way: jobs planned or reserved are decided again at their hand-over. False
  /// if it was so already. `confirmation` is told him once, if it changed something and at most once a day: a word that
  /// two machines send each other ends there. Source: specs/outbound.md §1, §3.
  @discardableResult
  public func obey(
    _ wish: AddressWish, evidence: ConsentEvidence, confirmation: Dispatch.Content?, at time: Timestamp
  ) throws -> Bool {
    let act: String
    switch wish.act {
    case .stop(let scope):
      act = "stop"
      guard
        try stop(
          wish.address, id: StopID(at: time), channel: wish.channel, scope: scope, evidence: evidence, at: time)
      else { return false }
    case .lift:
      act = "lift"
      guard try liftStops(on: wish.address, channel: wish.channel, evidence: evidence, at: time) > 0 else {
        return false
      }
    }
    guard let confirmation, let channel = wish.channel else { return true }
    let holders = try holders(of: wish.address, limit: 2)
    var job = ProactiveJob(
      id: ProactiveJobID(at: time), customerNo: holders.count == 1 ? holders[0] : nil,
      key: "\(act)-confirmation/\(channel)/\(wish.address.canonical)/\(day(of: time))", purpose: .service,
      contents: [channel.rawValue: confirmation], due: time, notAfter: time + .seconds(3_600),
      requested: .init(channel: channel, at: time), createdBy: "liaison", createdAt: time)
    job.to = wish.address
    job.precedence = .urgent
    _ = try plan(job, actor: .liaison, at: time)
    return true
  }
}
