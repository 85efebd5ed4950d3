import Channels
import ContactModel

/// How one call is to come about: which agents make it, who first, and whether he looks before it is placed.
///
/// Carried in the options of the words to be said (`dial`, `queue`, `agent`, `agent_until`), so that a campaign's calls
/// and single ones are alike.
public struct DialWish: Hashable, Sendable {
  public var mode: CampaignPlan.Dial
  /// Nil: any agent with a telephone.
  public var queue: Code?
  /// Until `agentUntil` he alone; then anybody of the queue.
  public var agent: AgentID?
  public var agentUntil: Timestamp?

  public init(
    mode: CampaignPlan.Dial = .preview, queue: Code? = nil, agent: AgentID? = nil, agentUntil: Timestamp? = nil
  ) {
    self.mode = mode
    self.queue = queue
    self.agent = agent
    self.agentUntil = agentUntil
  }

  /// The agents it may come to now.
  func admits(_ candidate: Agent, at time: Timestamp) -> Bool {
    if let agent, let until = agentUntil, time < until { return candidate.id == agent }
    guard let queue else { return true }
    return candidate.queues.contains(queue)
  }
}

extension Dispatch.Content {
  public var dialling: DialWish {
    get {
      DialWish(
        mode: options["dial"].flatMap(CampaignPlan.Dial.init) ?? .preview, queue: options["queue"].flatMap { Code($0) },
        agent: options["agent"].flatMap { AgentID($0) }, agentUntil: options["agent_until"].flatMap { Timestamp($0) })
    }
    set {
      options["dial"] = newValue.mode.rawValue
      options["queue"] = newValue.queue?.description
      options["agent"] = newValue.agent?.description
      options["agent_until"] = newValue.agentUntil?.description
    }
  }
}
