import Channels

/// What is kept of a call with its contact, and shown of it: the course in words, legs and times beside it.
///
/// The words are those of `CallState`. Of the bank's own calls `customer` is who was called; of others `caller` who
/// called and `did` the number dialled.
public struct CallRecord: Hashable, Sendable, Codable {
  public var server: String
  public var callID: String
  public var direction: CallState.Direction
  public var caller: String?
  public var callerName: String?
  public var customer: String?
  public var did: String?
  public var customerNo: String?
  /// Where it waited when it was answered, else last.
  public var queue: String?
  /// Device and outcome, in the order they were rung; those rung at once by device.
  public var offers: [[String?]]
  /// Devices that talked with the customer, in order.
  public var agents: [String]
  public var transfers: [CallState.Transfer]
  public var consultations: [CallState.Consultation]
  public var holds: [CallState.Hold]
  public var recordings: [CallState.Recording]
  public var disposition: String?
  public var endedBy: String?
  public var job: String?
  public var originateReason: String?
  /// `snapshot` if its beginning was not seen.
  public var knownFrom: String?
  /// Nobody saw how it ended: it was gone when the switch could be asked again.
  public var endedInGap: Bool
  public var variables: [InboundMessage.Property]
  public var createdAt: Timestamp
  public var queuedAt: Timestamp?
  public var connectedAt: Timestamp?
  public var endedAt: Timestamp?

  private enum CodingKeys: String, CodingKey {
    case server
    case callID = "callId"
    case direction, caller, callerName, customer, did, customerNo, queue, offers, agents, transfers, consultations
    case holds, recordings, disposition, endedBy, job, originateReason, knownFrom, endedInGap, variables, createdAt
    case queuedAt, connectedAt, endedAt
  }

  /// `answerQueue`: where it waited when it was answered.
  public init(_ call: CallState, answerQueue: String?) {
    server = call.server
    callID = call.callID
    direction = call.direction
    let isOurs = call.direction == .outbound
    caller = isOurs ? nil : call.caller?.raw
    callerName = isOurs ? nil : call.callerName
    customer = isOurs ? call.caller?.raw : nil
    did = isOurs ? nil : call.dialled?.raw
    customerNo = call.customerNo
    queue = answerQueue ?? call.queue
    offers = call.offersInRounds.map { [$0.device, $0.outcome] }
    agents = call.talkedWith
    transfers = call.transfers
    consultations = call.consultations
    holds = call.holds
    recordings = call.recordings
    disposition = call.disposition
    endedBy = call.endedBy
    job = call.job
    originateReason = call.jobReason
    knownFrom = call.isFromSnapshot ? "snapshot" : nil
    endedInGap = call.ended != nil && call.endedBy == nil && call.disposition != "merged"
    variables = call.variables
    createdAt = call.created
    queuedAt = call.queued
    connectedAt = call.connected
    endedAt = call.ended
  }
}

extension CallState {
  /// The devices that talked with the customer, each once, in order.
  public var talkedWith: [String] {
    var out: [String] = []
    for leg in legs where leg.state == .talking || leg.state == .conference || leg.state == .held {
      if !out.contains(leg.device) { out.append(leg.device) }
    }
    return out
  }

  /// Offers in the order they were made; those made at once (ring all) by device, since their order means nothing.
  public var offersInRounds: [Offer] {
    var rounds: [[Offer]] = []
    for offer in offers {
      if let first = rounds.last?.first, offer.at - first.at < .milliseconds(50),
        !rounds[rounds.count - 1].contains(where: { $0.device == offer.device })
      {
        rounds[rounds.count - 1].append(offer)
      } else {
        rounds.append([offer])
      }
    }
    return rounds.flatMap { $0.sorted { $0.device < $1.device } }
  }

  /// The devices that talk with the customer now, or hold him.
  public var talkingNow: [String] {
    var out: [String] = []
    for leg in legs where leg.to == nil && leg.state != .ringing && leg.state != .consult && leg.state != .wrapUp {
      if !out.contains(leg.device) { out.append(leg.device) }
    }
    return out
  }

  /// A person is asked for: it waits in a queue, rings somebody, or is talking.
  public var asksForPerson: Bool { queued != nil || !offers.isEmpty || connected != nil }
}
