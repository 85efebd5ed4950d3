import API
import Channels
import ContactModel
import Customers
import Foundation
import Store

@testable import API

/// A bank of two branches under one head office: C100 is the south's with what it wrote, N100 the north's.
enum Branches {
  static let northPhone = Address(kind: .phone, canonical: "+8613911112222", raw: "13911112222")

  /// `south` and `north` are supervisors, `south-crm` a program, `south-audit` an auditor, `1003` an agent of the north.
  static func found(in bank: Bank) async throws {
    let (south, north, head) = (Code("south")!, Code("north")!, Code("head")!)
    try await bank.database.write { transaction in
      for (code, parent) in [(head, nil), (south, head), (north, head)] as [(Code, Code?)] {
        try transaction.upsertDepartment(
          code, parent: parent, nameZh: code.description, nameEn: code.description)
      }
      try transaction.upsertQueue(Code("complaints")!, nameZh: "投诉", nameEn: "Complaints", department: south)
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General", department: north)
      try transaction.upsert(
        Agent(
          id: AgentID("1003")!, name: "Agent 1003", department: north, queues: [], state: .ready, stateSince: testTime),
        at: testTime)
      for (number, name, department, phone) in [
        ("C100", "王小明", south, Bank.mobile), ("N100", "北方客户", north, northPhone),
      ] {
        _ = try transaction.upsert(
          CustomerRecord(
            customer: Customer(
              customerNo: CustomerNumber(number)!, type: Code("retail")!, name: name, department: department),
            contactPoints: [ContactPoint(address: phone)]),
          nameFolded: NormalForm.name(name), source: "core", at: testTime)
      }
      for (label, role, department) in [
        ("south", "supervisor", south), ("north", "supervisor", north), ("south-crm", "integration", south),
        ("south-audit", "auditor", south), ("south-admin", "admin", south), ("head", "supervisor", head),
      ] {
        try transaction.add(
          AccessGrant(label: label, role: AccessGrant.Role(rawValue: role)!, agentId: nil, department: department),
          tokenHash: Bank.token(label).digest.description, at: testTime)
      }
    }
  }

  static func routes(_ bank: Bank) -> [Route] {
    let cursors = CursorSigner(secret: Array(repeating: 7, count: 32))
    return CustomerResources(database: bank.database, cursors: cursors).routes
      + RecordResources(database: bank.database, cursors: cursors).routes
      + ContentResources(database: bank.database, bodies: bank.bodies).routes + bank.deskResources.routes
      + bank.operatorResources.routes
  }

  static func site(_ bank: Bank, masks: MaskPolicy = .shipped, also more: [Route] = []) -> Site {
    let routes = routes(bank) + more
    return Site(
      routes: routes + [Description.serving(version: "1.0", routes: routes)],
      authentication: .bearer(lookup: bank.tokens.record), masks: masks, clock: Bank.now)
  }
}
