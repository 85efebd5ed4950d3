import Channels
import ContactModel
import Store

extension Connection {
  /// Reads what `tie` needs: everybody an address, an account or a number of the evidence points to.
  ///
  /// Exact keys only, each an index. A key held by more than 64 customers proposes nobody; names never propose.
  /// Source: specs/identity.md §2 "Blocking online".
  public func tieFacts(for evidence: TieEvidence) throws -> TieFacts {
    let mostHolders = 64
    var found: [CustomerNumber] = []
    var held: [CustomerNumber: Set<Address>] = [:]
    var counts: [Address: Int] = [:]
    func propose(_ numbers: [CustomerNumber]) {
      guard numbers.count <= mostHolders else { return }
      for number in numbers where !found.contains(number) { found.append(number) }
    }

    for (address, _) in addresses(of: evidence) {
      let holders = try holders(of: address, limit: mostHolders + 1)
      counts[address] = holders.count
      for holder in holders { held[holder, default: []].insert(address) }
      propose(holders)
    }
    var names: [String: Int] = [:]
    for claim in evidence.claims {
      switch claim.fact {
      case .customerNo:
        if let number = CustomerNumber(claim.value), try customer(number) != nil { propose([number]) }
      case .accountNo:
        if let number = NormalForm.number(claim.value) {
          propose(try holders(ofAccount: number, limit: mostHolders + 1))
        }
      case .identityNo:
        if let number = NormalForm.number(claim.value) {
          propose(try holders(ofIdentity: number, limit: mostHolders + 1))
        }
      case .name, .company:
        let folded = NormalForm.name(claim.value)
        names[folded] = try bearers(ofName: folded, limit: 1_000)
      case .identityNoTail, .accountNoTail, .birthDate, .phone, .email:
        continue
      }
    }

    let holders = try found.compactMap { number -> TieFacts.Holder? in
      guard let record = try customerRecord(number) else { return nil }
      return TieFacts.Holder(
        customer: record.customer, identityNo: record.identityNo.flatMap(NormalForm.number),
        birthDate: record.birthDate, accounts: record.accounts.compactMap(NormalForm.number),
        addresses: held[number] ?? [])
    }
    return TieFacts(
      customers: try approximateCustomerCount(), holders: holders, holderCounts: counts, nameCounts: names)
  }
}
