import Channels

/// The three zones of the deviation method 偏差法. Source: DOMAIN, specs/identity.md §1.
public enum IdentityZone: String, Hashable, Sendable, Codable, CaseIterable {
  /// 满足区: tied by rule.
  case satisfied
  /// 模糊区: a person confirms.
  case fuzzy
  /// 不满足区: nobody known.
  case unsatisfied
}

/// How sure the tie of a contact to a customer is. A tie opens the screen; it is no authentication.
public struct IdentityTie: Hashable, Sendable, Codable {
  public var zone: IdentityZone
  /// The decision that set it; every later one is an event of the contact.
  public var decision: DecisionID
  /// The agent who confirmed or corrected it; nil while only the rule has spoken.
  public var confirmedBy: AgentID?
  public init(zone: IdentityZone, decision: DecisionID, confirmedBy: AgentID? = nil) {
    self.zone = zone
    self.decision = decision
    self.confirmedBy = confirmedBy
  }
}

/// Who a contact is from, or whether two records are one customer: inputs, weights, verdict and author.
///
/// Append-only; a later decision supersedes, `inverse` says how to undo it. The bits of `terms` and `priorBits` sum
/// to `scoreBits` of the best candidate. Values are named by reference, never copied. Source: specs/identity.md §1.6.
public struct IdentityDecision: Hashable, Sendable, Codable {
  public enum Act: String, Hashable, Sendable, Codable, CaseIterable { case merge, tie }
  public enum Author: String, Hashable, Sendable, Codable, CaseIterable { case rule, user }

  public var decisionId: DecisionID
  public var at: Timestamp
  public var act: Act
  public var contactId: ContactID?
  public var zone: IdentityZone
  /// The customer tied or presumed; nil when nobody is.
  public var customerNo: CustomerNumber?
  public var scoreBits: Double
  /// At or above: satisfied, if nothing forbids it.
  public var hi: Double
  /// Below: unsatisfied.
  public var lo: Double
  public var priorBits: Double
  public var weightVersion: String
  public var normVersion: String
  /// Best first, at most 8.
  public var candidates: [Candidate]
  /// Of the best candidate.
  public var terms: [Term]
  /// Facts that would have helped and were not given.
  public var missing: [String]
  public var vetoes: [String]
  public var caps: [String]
  public var decidedBy: Author
  public var user: AgentID?
  public var role: String?
  public var reason: String
  /// The customer this contact was tied to before; what undoing restores.
  public var inverse: CustomerNumber?
  public var undoneBy: DecisionID?

  public init(
    decisionId: DecisionID, at: Timestamp, act: Act, contactId: ContactID?, zone: IdentityZone,
    customerNo: CustomerNumber?, scoreBits: Double, hi: Double, lo: Double, priorBits: Double, weightVersion: String,
    normVersion: String, candidates: [Candidate], terms: [Term], missing: [String], vetoes: [String] = [],
    caps: [String] = [], decidedBy: Author, user: AgentID? = nil, role: String? = nil, reason: String,
    inverse: CustomerNumber? = nil, undoneBy: DecisionID? = nil
  ) {
    self.decisionId = decisionId
    self.at = at
    self.act = act
    self.contactId = contactId
    self.zone = zone
    self.customerNo = customerNo
    self.scoreBits = scoreBits
    self.hi = hi
    self.lo = lo
    self.priorBits = priorBits
    self.weightVersion = weightVersion
    self.normVersion = normVersion
    self.candidates = candidates
    self.terms = terms
    self.missing = missing
    self.vetoes = vetoes
    self.caps = caps
    self.decidedBy = decidedBy
    self.user = user
    self.role = role
    self.reason = reason
    self.inverse = inverse
    self.undoneBy = undoneBy
  }

  public struct Candidate: Hashable, Sendable, Codable {
    public var customerNo: CustomerNumber
    public var score: Double
    /// One line for people: what agreed and what did not.
    public var reason: String
    public init(customerNo: CustomerNumber, score: Double, reason: String) {
      self.customerNo = customerNo
      self.score = score
      self.reason = reason
    }
  }

  public struct Term: Hashable, Sendable, Codable {
    public enum Level: String, Hashable, Sendable, Codable, CaseIterable { case agree, disagree }
    public var field: String
    public var level: Level
    /// Where the statement came from: `wire`, `keyed`, `field`, `text`, `agent`.
    public var source: Claim.Source
    /// How many customers hold the value.
    public var holders: Int
    public var bits: Double
    public init(field: String, level: Level, source: Claim.Source, holders: Int, bits: Double) {
      self.field = field
      self.level = level
      self.source = source
      self.holders = holders
      self.bits = bits
    }
  }
}
