import Channels
import ContactModel
import Customers
import Testing

private let now = Timestamp(seconds: 1_790_000_000)
private let mobile = Address(kind: .phone, canonical: "+8610017000001", raw: "+8610017000001")
private let mailbox = Address(kind: .email, canonical: "c1@mail.example", raw: "c1@mail.example")

private func holder(
  _ number: String, name: String = "王伟", identity: String? = "990199198001011234",
  accounts: [String] = ["6299100000001234"],
  birth: String? = "1980-01-01", holding: Set<Address> = [mobile], deleted: Bool = false
) -> TieFacts.Holder {
  TieFacts.Holder(
    customer: Customer(customerNo: CustomerNumber(number)!, type: Code("retail")!, name: name, deleted: deleted),
    identityNo: identity, birthDate: birth, accounts: accounts, addresses: holding)
}

private func facts(
  _ holders: [TieFacts.Holder], customers: Int = 100_000, shared: Int? = nil, names: [String: Int] = [:]
) -> TieFacts {
  var counts: [Address: Int] = [:]
  for address in Set(holders.flatMap(\.addresses)) {
    counts[address] = shared ?? holders.count { $0.addresses.contains(address) }
  }
  return TieFacts(customers: customers, holders: holders, holderCounts: counts, nameCounts: names)
}

private func phoneClaim(_ more: [Claim] = []) -> TieEvidence {
  TieEvidence(from: mobile, claims: [Claim(.phone, mobile.canonical, source: .field)] + more)
}

private func decide(_ evidence: TieEvidence, _ facts: TieFacts) -> IdentityDecision {
  tie(evidence, of: nil, given: facts, decision: DecisionID(at: now), at: now)
}

struct ZoneCase: CustomTestStringConvertible, Sendable {
  var testDescription: String
  var claims: [Claim]
  var zone: IdentityZone
  var customer: String?
  init(_ name: String, _ claims: [Claim], _ zone: IdentityZone, _ customer: String?) {
    testDescription = name
    self.claims = claims
    self.zone = zone
    self.customer = customer
  }
}

/// What is claimed beside a telephone number that customer 1 alone holds.
private let zones: [ZoneCase] = [
  ZoneCase("nothing else", [], .fuzzy, "1"),
  ZoneCase("his name", [Claim(.name, "王 伟", source: .field)], .fuzzy, "1"),
  ZoneCase("another's name", [Claim(.name, "李静", source: .field)], .fuzzy, "1"),
  ZoneCase("his customer number", [Claim(.customerNo, "1", source: .field)], .satisfied, "1"),
  ZoneCase("the end of his identity number", [Claim(.identityNoTail, "1234", source: .field)], .satisfied, "1"),
  ZoneCase("the end of his account number", [Claim(.accountNoTail, "001234", source: .field)], .satisfied, "1"),
  ZoneCase("his whole account number", [Claim(.accountNo, "6299 1000 0000 1234", source: .field)], .satisfied, "1"),
  ZoneCase("his day of birth", [Claim(.birthDate, "1980-01-01", source: .field)], .satisfied, "1"),
  ZoneCase("an end too short to weigh", [Claim(.identityNoTail, "234", source: .field)], .fuzzy, "1"),
  ZoneCase(
    "his customer number and a wrong account",
    [Claim(.customerNo, "1", source: .field), Claim(.accountNoTail, "9999", source: .field)], .fuzzy, "1"),
  ZoneCase(
    "his customer number and a wrong name",
    [Claim(.customerNo, "1", source: .field), Claim(.name, "李静", source: .field)], .fuzzy, "1"),
  ZoneCase(
    "the end of his account and a wrong identity number",
    [Claim(.accountNoTail, "1234", source: .field), Claim(.identityNo, "990199197001019999", source: .field)], .fuzzy,
    "1"),
]

@Suite struct TieTests {
  @Test(arguments: zones) func `what is claimed beside a number that one customer holds sets the zone`(
    _ example: ZoneCase
  ) {
    let decision = decide(phoneClaim(example.claims), facts([holder("1")]))
    #expect(decision.zone == example.zone, "\(decision.reason)")
    #expect(decision.customerNo?.description == example.customer)
  }

  @Test func `what a device says of itself contradicts nothing, and what was read from a picture proves nothing`() {
    let other = holder("2", name: "李静", holding: [])
    let named = phoneClaim([Claim(.name, "Li Wei", source: .device)])
    #expect(decide(named, facts([holder("1")])).terms.allSatisfy { $0.level == .agree })
    // His own number on the page: still to be confirmed. Another's: he is shown too, behind the one who called.
    let own = decide(phoneClaim([Claim(.customerNo, "1", source: .recognised)]), facts([holder("1")]))
    #expect(own.zone == .fuzzy && own.customerNo?.description == "1")
    let both = decide(phoneClaim([Claim(.customerNo, "2", source: .recognised)]), facts([holder("1"), other]))
    #expect(both.zone == .fuzzy && both.customerNo == nil)
    #expect(both.candidates.map(\.customerNo.description) == ["1", "2"])
    // Alone it proposes, and what it misreads proposes nobody.
    let alone = TieEvidence(from: nil, claims: [Claim(.customerNo, "2", source: .recognised)])
    #expect(decide(alone, facts([other])).zone == .fuzzy)
    // A number given to one customer alone, and his telephone: that is he.
    #expect(decide(phoneClaim([Claim(.customerNo, "1", source: .wire)]), facts([holder("1")])).zone == .satisfied)
  }

  @Test(arguments: [1, 1_000, 100_000, 10_000_000])
  func `an address and a customer number satisfy in a bank of any size`(
    customers: Int
  ) {
    let evidence = phoneClaim([Claim(.customerNo, "1", source: .field)])
    #expect(decide(evidence, facts([holder("1")], customers: customers)).zone == .satisfied)
    #expect(decide(phoneClaim(), facts([holder("1")], customers: customers)).zone == .fuzzy)
  }

  @Test func `a fact that disagrees is never outweighed, whatever order the claims come in`() {
    let agreeing = [
      Claim(.customerNo, "1", source: .field), Claim(.birthDate, "1980-01-01", source: .field),
      Claim(.identityNo, "990199198001011234", source: .field), Claim(.name, "王伟", source: .field),
    ]
    let wrong = [
      Claim(.accountNoTail, "9999", source: .field), Claim(.accountNo, "1", source: .field),
      Claim(.identityNoTail, "9999", source: .field), Claim(.birthDate, "1990-01-01", source: .field),
      Claim(.name, "李静", source: .field), Claim(.customerNo, "2", source: .field),
    ]
    for claim in wrong {
      for claims in [agreeing + [claim], [claim] + agreeing] {
        let decision = decide(phoneClaim(claims), facts([holder("1")]))
        #expect(decision.zone != .satisfied, "\(claim) in \(claims.map(\.fact.rawValue)): \(decision.reason)")
      }
    }
  }

  @Test func `two holders of one number are both shown and nobody is presumed`() {
    let decision = decide(phoneClaim(), facts([holder("1"), holder("2", name: "李静")]))
    #expect(decision.zone == .fuzzy)
    #expect(decision.customerNo == nil)
    #expect(decision.candidates.map(\.customerNo.description) == ["1", "2"])
    #expect(decision.caps.contains("second_candidate_within_7_bits"))
  }

  @Test func `of two holders the one whose customer number is given is tied`() {
    let decision = decide(
      phoneClaim([Claim(.customerNo, "2", source: .field)]), facts([holder("1"), holder("2", name: "李静")]))
    #expect(decision.zone == .satisfied)
    #expect(decision.customerNo?.description == "2")
  }

  @Test func `a number that more than twenty customers hold says nothing`() {
    let holders = (1...21).map { holder("\($0)", name: "客户\($0)") }
    let decision = decide(phoneClaim(), facts(holders))
    #expect(decision.zone == .unsatisfied)
    #expect(decision.customerNo == nil && decision.candidates.isEmpty)
    #expect(decide(phoneClaim(), facts(Array(holders.prefix(20)))).customerNo == nil)
  }

  @Test func `a customer number alone, without an address of his, is no satisfied tie`() {
    let evidence = TieEvidence(from: nil, claims: [Claim(.customerNo, "1", source: .field)])
    #expect(decide(evidence, facts([holder("1", holding: [])])).zone != .satisfied)
  }

  @Test func `the same address delivered and claimed, and two addresses, count as one kind`() {
    let evidence = TieEvidence(
      from: mobile,
      claims: [
        Claim(.phone, mobile.canonical, source: .field), Claim(.email, mailbox.canonical, source: .field),
        Claim(.email, mailbox.canonical, source: .field),
      ])
    let decision = decide(evidence, facts([holder("1", holding: [mobile, mailbox])]))
    #expect(decision.zone == .fuzzy)
    #expect(decision.terms.map(\.field) == ["phone", "email"])
  }

  @Test func `nobody who holds anything of it is nobody`() {
    let decision = decide(phoneClaim([Claim(.name, "王伟", source: .field)]), facts([]))
    #expect(decision.zone == .unsatisfied)
    #expect(decision.customerNo == nil && decision.terms.isEmpty)
    #expect(decision.missing == ["customer_no", "identity_no", "account_no"])
  }

  @Test func `a deleted customer is not tied by rule`() {
    let evidence = phoneClaim([Claim(.customerNo, "1", source: .field)])
    #expect(decide(evidence, facts([holder("1", deleted: true)])).zone == .fuzzy)
  }

  @Test(arguments: zones) func `prior and terms sum to the score, and the record says by which rules`(
    _ example: ZoneCase
  ) {
    let decision = decide(phoneClaim(example.claims), facts([holder("1"), holder("2", name: "李静")]))
    let sum = decision.terms.reduce(decision.priorBits) { $0 + $1.bits }
    #expect(abs(sum - decision.scoreBits) < 1e-9)
    #expect(decision.terms.allSatisfy { $0.bits >= -12 })
    #expect(Set(decision.terms.map(\.field)).count == decision.terms.count)
    #expect(!decision.weightVersion.isEmpty && decision.normVersion == NormalForm.version)
    #expect(decision.decidedBy == .rule && !decision.reason.isEmpty)
  }

  @Test func `numbers and names are compared in their normal form`() {
    #expect(NormalForm.number("６２９９-1000 0000 1234") == "6299100000001234")
    #expect(NormalForm.number("—") == nil)
    #expect(NormalForm.name("阿依古丽·买买提") == NormalForm.name("阿依古丽 买买提"))
    #expect(NormalForm.name("Keller, Anna") == NormalForm.name("anna  KELLER"))
  }
}
