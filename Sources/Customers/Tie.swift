import Channels
import ContactModel
import Foundation

/// What one inbound contact says about its sender.
public struct TieEvidence: Sendable, Hashable {
  /// As the wire delivered it; nil for forms, whose addresses are claims.
  public var from: Address?
  public var claims: [Claim]
  public init(from: Address?, claims: [Claim]) {
    self.from = from
    self.claims = claims
  }
}

/// What the bank knows about those it may be from, read before `tie` is asked.
public struct TieFacts: Sendable, Hashable {
  public struct Holder: Sendable, Hashable {
    public var customer: Customer
    /// Normal form of the whole number; nil if not recorded.
    public var identityNo: String?
    /// ISO date; nil if not recorded.
    public var birthDate: String?
    /// Normal forms of the numbers of all accounts in force.
    public var accounts: [String]
    /// The canonical addresses of the evidence that this customer holds.
    public var addresses: Set<Address>
    public init(
      customer: Customer, identityNo: String?, birthDate: String?, accounts: [String], addresses: Set<Address>
    ) {
      self.customer = customer
      self.identityNo = identityNo
      self.birthDate = birthDate
      self.accounts = accounts
      self.addresses = addresses
    }
  }
  /// How many customers the bank has; at least 1.
  public var customers: Int
  /// Everybody an address, a number or a customer number of the evidence points to.
  public var holders: [Holder]
  /// How many customers hold each address of the evidence, also beyond those listed.
  public var holderCounts: [Address: Int]
  /// How many customers bear each claimed name in normal form.
  public var nameCounts: [String: Int]
  public init(customers: Int, holders: [Holder], holderCounts: [Address: Int], nameCounts: [String: Int]) {
    self.customers = customers
    self.holders = holders
    self.holderCounts = holderCounts
    self.nameCounts = nameCounts
  }
}

/// Who an inbound contact is from: satisfied, fuzzy (a person confirms) or unsatisfied.
///
/// For every candidate the agreeing and disagreeing facts are weighed in bits and added to the prior −log₂ N; the best
/// is tied by rule only if it has at least `hi` bits, stands 7 bits above the next, contradicts no claimed fact and
/// agrees in two *kinds*: an address and a number that is his (customer number, part of an identity or account
/// number), or two numbers. An address alone is evidence, not proof, however rare: it is presumed (fuzzy).
/// A value that more than 20 customers hold weighs nothing. Pure: the facts and `now` are arguments.
/// Source: specs/identity.md §1.4, §1.5.
public func tie(
  _ evidence: TieEvidence, of contact: ContactID?, given facts: TieFacts, decision: DecisionID, at now: Timestamp
) -> IdentityDecision {
  let prior = -log2(Double(max(1, facts.customers)))
  let scored = facts.holders
    .map { holder in Scored(holder: holder, terms: terms(for: holder, evidence, facts), prior: prior) }
    .sorted { ($0.score, $1.holder.customer.customerNo) > ($1.score, $0.holder.customer.customerNo) }
  let best = scored.first
  let second = scored.dropFirst().first

  var caps: [String] = []
  if let best {
    if let second, best.score - second.score < TieWeights.margin { caps.append("second_candidate_within_7_bits") }
    if best.terms.contains(where: { $0.level == .disagree }) { caps.append("claimed_fact_disagrees") }
    if !best.hasTwoKinds { caps.append("one_kind_of_evidence") }
    if best.holder.customer.deleted { caps.append("customer_deleted") }
  }
  let zone: IdentityZone
  if let best, best.score >= TieWeights.hi, caps.isEmpty {
    zone = .satisfied
  } else if let best, best.score >= TieWeights.lo {
    zone = .fuzzy
  } else {
    zone = .unsatisfied
  }
  let shown = zone == .unsatisfied ? [] : scored.prefix { $0.score >= TieWeights.lo && scored[0].score - $0.score <= 9 }
  let presumed = zone == .satisfied || (zone == .fuzzy && shown.count == 1) ? best?.holder.customer.customerNo : nil
  return IdentityDecision(
    decisionId: decision, at: now, act: .tie, contactId: contact, zone: zone, customerNo: presumed,
    scoreBits: best?.score ?? prior, hi: TieWeights.hi, lo: TieWeights.lo, priorBits: prior,
    weightVersion: TieWeights.version, normVersion: NormalForm.version,
    candidates: shown.prefix(8).map {
      .init(customerNo: $0.holder.customer.customerNo, score: $0.score, reason: reason($0.terms))
    },
    terms: best?.terms ?? [], missing: missing(evidence), caps: caps, decidedBy: .rule,
    reason: sentence(zone, presumed, shown.count, best))
}

/// Bits and thresholds. A new set is a new version; decisions cite the one they used. Source: specs/identity.md §1.4.
enum TieWeights {
  static let version = "tie-1"
  static let hi = 10.0
  static let lo = -3.0
  static let margin = 7.0
  /// A value held by more customers than this identifies nobody.
  static let genericHolders = 20
  /// An identifier's bits hold log₂ N, which the prior takes away again; so nothing is clipped below that of the largest bank.
  static let clip = -12.0...34.0

  /// Taken from an agreement that rests on what a device says of itself, or on what was read from a picture, so that
  /// both give way to what the network delivered, and the second to the first.
  static func discount(_ source: Claim.Source) -> Double {
    switch source {
    case .wire, .keyed, .field, .text, .agent: return 0
    case .device: return 3
    case .recognised: return 7
    }
  }

  /// ε: how many *other* customers an address of this kind turns up with.
  static func strayHolders(_ kind: Address.Kind) -> Double {
    switch kind {
    case .phone: return 0.045
    case .email: return 0.10
    case .fax: return 0.12
    case .shortCode, .other: return 0.25
    }
  }
}

private struct Scored {
  let holder: TieFacts.Holder
  let terms: [IdentityDecision.Term]
  let score: Double
  init(holder: TieFacts.Holder, terms: [IdentityDecision.Term], prior: Double) {
    self.holder = holder
    self.terms = terms
    score = terms.reduce(prior) { $0 + $1.bits }
  }
  /// The number is counted once however often it is quoted; the name alone is no second kind.
  var hasTwoKinds: Bool {
    let agreeing = Set(terms.filter { $0.level == .agree && $0.bits > 0 && $0.source != .recognised }.map(\.field))
    let numbers = agreeing.intersection(["customer_no", "identity_no", "account_no", "birth_date"])
    return numbers.count >= 2 || (!numbers.isEmpty && !agreeing.isDisjoint(with: ["phone", "email", "fax", "address"]))
  }
}

private func terms(
  for holder: TieFacts.Holder, _ evidence: TieEvidence, _ facts: TieFacts
) -> [IdentityDecision.Term] {
  var out: [IdentityDecision.Term] = []
  let population = Double(max(1, facts.customers))
  func add(
    _ field: String, _ level: IdentityDecision.Term.Level, _ source: Claim.Source, _ holders: Int, _ bits: Double
  ) {
    // Of one field the first agreement and the first contradiction count, so that nothing is weighed twice and no
    // contradiction hides behind an agreement.
    guard !out.contains(where: { $0.field == field && $0.level == level }) else { return }
    // What a machine was told or has misread contradicts nothing.
    let discount = TieWeights.discount(source)
    if discount > 0, level == .disagree { return }
    let bits = bits > 0 ? max(0, bits - discount) : bits
    let clipped = min(max(bits, TieWeights.clip.lowerBound), TieWeights.clip.upperBound)
    out.append(.init(field: field, level: level, source: source, holders: holders, bits: clipped))
  }

  for (address, source) in addresses(of: evidence) where holder.addresses.contains(address) {
    let holders = max(1, facts.holderCounts[address] ?? 1)
    let stray = TieWeights.strayHolders(address.kind)
    let bits = holders > TieWeights.genericHolders ? 0 : log2(0.9 * population / (stray * Double(holders)))
    add(field(of: address), .agree, source, holders, bits)
  }
  for claim in evidence.claims {
    switch claim.fact {
    case .customerNo:
      if claim.value == holder.customer.customerNo.description {
        add("customer_no", .agree, claim.source, 1, log2(0.9 * population / 0.002))
      } else {
        add("customer_no", .disagree, claim.source, 0, -7)
      }
    case .identityNo:
      guard let mine = holder.identityNo, let said = NormalForm.number(claim.value) else { continue }
      if mine == said {
        add("identity_no", .agree, claim.source, 1, log2(0.9 * population / 0.001))
      } else {
        add("identity_no", .disagree, claim.source, 0, -7)
      }
    case .identityNoTail:
      guard let mine = holder.identityNo, let said = NormalForm.number(claim.value), said.count >= 4 else { continue }
      let agrees = mine.hasSuffix(said)
      add("identity_no", agrees ? .agree : .disagree, claim.source, 0, agrees ? (said.count >= 6 ? 15 : 13) : -4.5)
    case .accountNo:
      guard !holder.accounts.isEmpty, let said = NormalForm.number(claim.value) else { continue }
      if holder.accounts.contains(said) {
        add("account_no", .agree, claim.source, 1, log2(0.9 * population / 0.002))
      } else {
        add("account_no", .disagree, claim.source, 0, -7)
      }
    case .accountNoTail:
      guard !holder.accounts.isEmpty, let said = NormalForm.number(claim.value), said.count >= 4 else { continue }
      let agrees = holder.accounts.contains { $0.hasSuffix(said) }
      let chance = Double(holder.accounts.count) * pow(10, -Double(min(said.count, 6)))
      add("account_no", agrees ? .agree : .disagree, claim.source, 0, agrees ? log2(0.97 / chance) : -3.5)
    case .birthDate:
      guard let mine = holder.birthDate else { continue }
      add("birth_date", mine == claim.value ? .agree : .disagree, claim.source, 0, mine == claim.value ? 13.8 : -4)
    case .name, .company:
      let said = NormalForm.name(claim.value)
      let mine = NormalForm.name(holder.customer.name)
      let bearers = max(1, facts.nameCounts[said] ?? 1)
      if said == mine {
        add("name", .agree, claim.source, bearers, log2(0.92 * population / Double(bearers + 1)))
      } else {
        add("name", .disagree, claim.source, 0, said.first == mine.first ? -3 : -6.5)
      }
    case .phone, .email:
      continue  // weighed above, as addresses
    }
  }
  return out
}

/// The wire's address first, then the claimed ones, each once. A form's reply address is one that was claimed in it.
public func addresses(of evidence: TieEvidence) -> [(Address, Claim.Source)] {
  var out: [(Address, Claim.Source)] = []
  func add(_ address: Address, _ source: Claim.Source) {
    let key = Address(kind: address.kind, canonical: address.canonical, raw: address.canonical)
    if !out.contains(where: { $0.0 == key }) { out.append((key, source)) }
  }
  if let from = evidence.from {
    let claimed = evidence.claims.first { claim in
      (claim.fact == .phone || claim.fact == .email) && claim.value == from.canonical && claim.source != .wire
    }
    add(from, claimed?.source ?? .wire)
  }
  for claim in evidence.claims {
    switch claim.fact {
    case .phone: add(Address(kind: .phone, canonical: claim.value, raw: claim.value), claim.source)
    case .email: add(Address(kind: .email, canonical: claim.value.lowercased(), raw: claim.value), claim.source)
    default: continue
    }
  }
  return out
}

private func field(of address: Address) -> String {
  switch address.kind {
  case .phone: return "phone"
  case .email: return "email"
  case .fax: return "fax"
  case .shortCode, .other: return "address"
  }
}

private func missing(_ evidence: TieEvidence) -> [String] {
  let given = Set(evidence.claims.map(\.fact))
  var out: [String] = []
  if !given.contains(.customerNo) { out.append("customer_no") }
  if given.isDisjoint(with: [.identityNo, .identityNoTail]) { out.append("identity_no") }
  if given.isDisjoint(with: [.accountNo, .accountNoTail]) { out.append("account_no") }
  return out
}

private func reason(_ terms: [IdentityDecision.Term]) -> String {
  terms.map { term in
    let sign = term.bits < 0 ? "−" : "+"
    let bits = String(format: "%.1f", abs(term.bits))
    let shared = term.holders > 1 ? " (\(term.holders))" : ""
    return "\(term.field) \(term.level == .agree ? "=" : "≠")\(shared) \(sign)\(bits)"
  }.joined(separator: " · ")
}

private func sentence(_ zone: IdentityZone, _ customer: CustomerNumber?, _ candidates: Int, _ best: Scored?) -> String {
  switch zone {
  case .satisfied: return "tied by rule to \(customer?.description ?? ""): \(reason(best?.terms ?? []))"
  case .fuzzy where candidates == 1:
    return "presumed \(customer?.description ?? ""), to be confirmed: \(reason(best?.terms ?? []))"
  case .fuzzy: return "\(candidates) candidates, to be confirmed by a person"
  case .unsatisfied: return best == nil ? "no customer holds what was given" : "what was given fits nobody well enough"
  }
}
