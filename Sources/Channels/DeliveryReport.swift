/// What a peer says later about something submitted: an SMS receipt, a bounce, a fax result.
public struct DeliveryReport: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    /// Not final: buffered, en route, delayed.
    case pending
    case delivered, undelivered, expired
    /// The peer itself does not know; final, counts as sent.
    case unknown
  }
  /// Our name for the attempt when the report carries it; else nil.
  public var wireIdentity: String?
  /// The peer's name for it when the report carries that; else nil.
  public var peerID: String?
  /// The recipient concerned, where one submission had several.
  public var recipient: Address?
  public var state: State
  /// Set when not delivered.
  public var fault: Fault?
  /// True when the address itself is bad (unknown user, unallocated number), so that it is marked.
  public var condemnsAddress: Bool
  /// When it happened according to the peer; nil if it does not say.
  public var happenedAt: Timestamp?
  /// What may be done about one that is surely not delivered; nil: it counts as sent, whatever became of it.
  public var remedy: Remedy?

  /// Given only where nothing of the dispatch can have reached its recipient: a busy line, nobody who answered.
  public struct Remedy: Hashable, Sendable, Codable {
    /// The same may be tried again; false: it would fail again, and only another channel can help.
    public var sameChannel: Bool
    /// Not before so many seconds.
    public var afterSeconds: Int
    /// The try counts towards the caps all the same: a telephone that rang is a bother even if nobody answered.
    public var counts: Bool?
    public init(sameChannel: Bool, afterSeconds: Int = 0, counts: Bool = false) {
      self.sameChannel = sameChannel
      self.afterSeconds = afterSeconds
      self.counts = counts ? true : nil
    }
  }

  /// `peerID` is written so that it also reads back from snake case.
  private enum CodingKeys: String, CodingKey {
    case wireIdentity
    case peerID = "peerId"
    case recipient, state, fault, condemnsAddress, happenedAt, remedy
  }

  public init(
    wireIdentity: String?, peerID: String?, recipient: Address?, state: State, fault: Fault? = nil,
    condemnsAddress: Bool = false, happenedAt: Timestamp? = nil, remedy: Remedy? = nil
  ) {
    self.wireIdentity = wireIdentity
    self.peerID = peerID
    self.recipient = recipient
    self.state = state
    self.fault = fault
    self.condemnsAddress = condemnsAddress
    self.happenedAt = happenedAt
    self.remedy = remedy
  }
}
