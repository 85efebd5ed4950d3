import Channels

/// What came of one call to a customer.
public enum DialOutcome: String, Hashable, Sendable, Codable, CaseIterable {
  /// Somebody answered, and the agent heard him.
  case answered
  case busy
  case noAnswer = "no_answer"
  /// He pressed the call away.
  case declined
  /// His telephone is off or out of reach.
  case unavailable
  /// There is no such number.
  case unallocated
  /// A machine answered: the switch or the agent says so.
  case machine
  /// The network or the trunk failed; his telephone did not ring.
  case trunkError = "trunk_error"
  /// The agent's own telephone did not answer: nobody was called.
  case agentNotReached = "agent_not_reached"
  /// He answered, and the agent was gone.
  case droppedByUs = "dropped_by_us"
  /// Surely never placed.
  case notDialled = "not_dialled"
  /// Nobody will ever know.
  case unknown

  /// What a call that has ended says. The agent is rung first: while his telephone was not answered, nobody was called.
  /// Source: specs/telephony.md §9; adapters/telephony/README.md "What a call is".
  public init(of call: CallState) {
    if call.connected != nil {
      self = call.disposition == "machine" ? .machine : .answered
      return
    }
    let isSeenWhole = !call.isFromSnapshot
    let agentAnswered = call.offers.contains { $0.outcome == "answered" }
    if isSeenWhole, !call.offers.isEmpty, !agentAnswered {
      self = .agentNotReached
      return
    }
    switch call.disposition {
    case "answered": self = .answered
    case "machine": self = .machine
    case "busy": self = .busy
    case "no-answer", "cancelled": self = .noAnswer
    case "declined": self = .declined
    case "unavailable": self = .unavailable
    case "unallocated": self = .unallocated
    case "congestion": self = .trunkError
    case "abandoned": self = .droppedByUs
    // The agent's own telephone is not there: no leg of anybody's was ever made.
    case "failed": self = isSeenWhole && !agentAnswered ? .agentNotReached : .trunkError
    default: self = .unknown
    }
  }

  /// As the rules of recycling count it; nil where the customer was not called.
  var recycled: RecycleRules.Outcome? {
    switch self {
    case .answered: .answered
    case .busy: .busy
    // Who presses a call away is not called again in five minutes; who is off is not there.
    case .noAnswer, .declined, .unavailable, .machine: .noAnswer
    case .unallocated: .unallocatedNumber
    case .trunkError: .trunkError
    case .droppedByUs: .droppedByUs
    case .agentNotReached, .notDialled, .unknown: nil
    }
  }

  /// As a fault of the attempt; nil if it is none.
  var fault: Fault? {
    switch self {
    case .answered: nil
    case .busy: Fault(.recipientBusy, text: "busy")
    case .noAnswer: Fault(.noAnswer, text: "nobody answered")
    case .declined: Fault(.noAnswer, peerCode: "21", text: "the call was declined")
    case .unavailable: Fault(.noAnswer, text: "the telephone is off or out of reach")
    case .machine: Fault(.noAnswer, text: "a machine answered")
    case .unallocated: Fault(.unknownRecipient, peerCode: "1", text: "there is no such number")
    case .trunkError: Fault(.peerFailure, text: "the network failed")
    case .agentNotReached: Fault(.cancelled, text: "the agent's telephone did not answer; nobody was called")
    case .droppedByUs: Fault(.cancelled, text: "the customer answered and the agent was gone")
    case .notDialled: Fault(.cancelled, text: "the call was not placed")
    case .unknown: Fault(.timeout, text: "nobody knows what became of the call")
    }
  }
}
