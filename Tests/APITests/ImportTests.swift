import Channels
import ContactModel
import Customers
import Foundation
import Outbound
import PostgresForTests
import Store
import Testing

@testable import API

@Suite struct ImportTests {
  private static let actor = Actor(label: "crm", agent: nil, role: "integration")

  private static func run(
    _ bank: Bank, _ kind: Importer.Kind, _ text: String, jsonl: Bool = false, mapping: [String: String] = [:],
    rehearsal: Bool = false
  ) async throws -> ImportReport {
    try await Importer(database: bank.database, now: Bank.now).run(
      kind, Array(text.utf8), isJSONLines: jsonl, mapping: mapping, isRehearsal: rehearsal, by: actor)
  }

  @Test func `every row has its verdict, the counts add up, and a rehearsal writes nothing`() async throws {
    for url in LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil] {
      try await Bank.open(on: url) { bank in
        let file = """
          \u{FEFF}customer_no,type,name,level,phone,birth_date
          I1,retail,"王, 大明",3,13900001111;010-66668888,1980-02-03
          I2,retail,李四,x,,
          I3,no-such,赵六,,,
          I1,retail,twice,,,
          bad no,retail,x,,,
          I4,retail,,,,
          I5,retail,only three
          I6,retail,"quote ""in"" it",9,abc,
          C100,retail,王小明,2,,
          I7,retail,最后,1,,1999-13-01
          """
        let rehearsal = try await Self.run(bank, .customers, file, rehearsal: true)
        #expect(try await bank.database.read { try $0.customer(CustomerNumber("I1")!) } == nil)
        let report = try await Self.run(bank, .customers, file)
        #expect(rehearsal.progress.added == report.progress.added && rehearsal.refusals == report.refusals)
        #expect(report.progress.rowsRead == 10 && report.progress.added == 1 && report.progress.changed == 1)
        #expect(report.progress.refused == 8)
        #expect(
          report.refusals.map { "\($0.row) \($0.fault.code.rawValue) \($0.fault.place ?? "")" } == [
            "2 bad_value level", "3 unknown_reference type", "4 duplicate customer_no", "5 bad_value customer_no",
            "6 missing_value name", "7 wrong_column_count 3 ≠ 6", "8 bad_value phone", "10 bad_value birth_date",
          ])
        let known = try await bank.database.read { try $0.customerRecord(CustomerNumber("I1")!) }
        #expect(known?.customer.name == "王, 大明")
        #expect(known?.contactPoints.map(\.address.canonical) == ["+861066668888", "+8613900001111"])
        let again = try await Self.run(bank, .customers, file)
        #expect(again.resumedAfter == 10 && again.progress == report.progress)
      }
    }
  }

  @Test func `an import that was interrupted goes on after the last committed row`() async throws {
    try await Bank.open { bank in
      let file = "customer_no,type,name\n" + (1...2_500).map { "R\($0),retail,客户\($0)" }.joined(separator: "\n")
      let importer = Importer(database: bank.database, now: Bank.now)
      let source = try ImportSource(Array(file.utf8))
      let order = Importer.Order(kind: .customers, isJSONLines: false, isRehearsal: false, actor: Self.actor)
      struct Interrupted: Error {}
      let committed = Shared(0)
      await #expect(throws: Interrupted.self) {
        try await importer.run(order, of: source) { _, step in
          let done = step.report.progress.rowsRead
          if done > 1_500 { throw Interrupted() }
          committed.withLock { $0 = done }
        }
      }
      let report = try await importer.run(order, of: source)
      #expect(report.resumedAfter == committed.withLock { $0 } && report.resumedAfter > 0)
      #expect(report.progress.added == 2_500)
    }
  }

  @Test func `GB18030, other separators, mapped columns, JSON lines and the other kinds`() async throws {
    try await Bank.open { bank in
      // "客户号;类型;姓名\nG1;retail;张三\n" in GB18030.
      let gb: [UInt8] =
        [0xbf, 0xcd, 0xbb, 0xa7, 0xba, 0xc5, 0x3b, 0xc0, 0xe0, 0xd0, 0xcd, 0x3b, 0xd0, 0xd5, 0xc3, 0xfb, 0x0d, 0x0a]
        + Array("G1;retail;".utf8) + [0xd5, 0xc5, 0xc8, 0xfd, 0x0d, 0x0a]
      let report = try await Importer(database: bank.database, now: Bank.now).run(
        .customers, gb, isJSONLines: false, mapping: ["客户号": "customer_no", "类型": "type", "姓名": "name"],
        isRehearsal: false, by: Self.actor)
      #expect(report.progress.added == 1 && report.refusals == [])
      #expect(try await bank.database.read { try $0.customer(CustomerNumber("G1")!)?.name } == "张三")
      let lines = """
        {"customer_no": "J1", "type": "retail", "name": "Json", "level": 2, "phone": ["13700000000"]}
        not json
        {"customer_no": "J2", "type": {"a": 1}, "name": "x"}

        """
      let json = try await Self.run(bank, .customers, lines, jsonl: true)
      #expect(json.progress.added == 1 && json.refusals.map(\.fault.code) == [.notAnObject, .badValue])
      let accounts = try await Self.run(
        bank, .accounts, "account_no,customer_no,business_system\n6217-1,G1,core\n6217-2,NONE,core\n")
      #expect(accounts.progress.added == 1 && accounts.refusals.map(\.fault.code) == [.unknownReference])
      let points = try await Self.run(
        bank, .contactPoints, "customer_no\tkind\tvalue\tverified_at\nG1\temail\tZ@b.cn\t2023-01-01\nG1\tpigeon\tx\t\n")
      #expect(points.progress.added == 1 && points.refusals.map(\.fault.place) == ["kind"])
      let relations = try await Self.run(
        bank, .relations, "customer_no,customer_no_r,relation\nG1,C200,contact_person\nG1,G1,self\n")
      #expect(relations.progress.added == 1 && relations.progress.refused == 1)
      let groups = try await Self.run(bank, .groups, "code,customer_no\nnone,G1\n")
      #expect(groups.refusals.map(\.fault.code) == [.unknownReference])
    }
  }

  @Test func `a line of ten million characters, an open quote and a missing column harm nothing else`() async throws {
    try await Bank.open { bank in
      let long = String(repeating: "x", count: 10_000_000)
      let file =
        "customer_no,type,name\nL1,retail,\(long)\nL2,retail,ok\nL3,retail,\"never closed\nL4,retail,swallowed\n"
      let report = try await Self.run(bank, .customers, file)
      #expect(report.progress.rowsRead == 4 && report.progress.added == 2)
      #expect(report.refusals.map(\.fault.code) == [.tooLong, .openQuote])
      await #expect(throws: ImportFault(.missingColumn, "type")) {
        try await Self.run(bank, .customers, "customer_no,name\nx,y\n")
      }
      await #expect(throws: ImportFault(.notText)) {
        try await Importer(database: bank.database, now: Bank.now).run(
          .customers, [0xff, 0xff, 0xff], isJSONLines: false, isRehearsal: false, by: Self.actor)
      }
    }
  }

  @Test func `the same over the API`() async throws {
    try await Bank.open { bank in
      let routes = ImportResources(importer: Importer(database: bank.database, now: Bank.now)).routes
      let site = Site(
        routes: routes + [Description.serving(version: "1.0", routes: routes)],
        authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now)
      try await serve(site) { served in
        let conformance = try await Conformance(served)
        let content = Data("customer_no,type,name\nW1,retail,Web\n".utf8).base64EncodedString()
        for (who, kind, body, status) in [
          ("crm", "customers", ["format": "csv", "content": .string(content)], 200),
          ("crm", "customers", ["format": "csv", "content": "***"], 422),
          ("crm", "accounts", ["format": "csv", "content": .string(content)], 422),
          ("crm", "pigeons", ["format": "csv", "content": .string(content)], 404),
          ("chief", "customers", ["format": "csv", "content": .string(content)], 403),
        ] as [(String, String, JSONValue, Int)] {
          let answer = try await served.as(who, "POST", "/v1/imports/\(kind)", body: body)
          #expect(answer.status == status, "\(answer.text)")
          #expect(conformance.faults("POST", template: "/v1/imports/{kind}", answer) == [])
        }
      }
    }
  }

  @Test func `preferences are imported with proof, once, and take back nothing he said himself`() async throws {
    for url in LocalPostgres.isAvailable ? [nil, try StoreURL(LocalPostgres.running().freshURL())] : [nil] {
      try await Bank.open(on: url) { bank in
        let number = CustomerNumber("C100")!
        let evidence = ConsentEvidence(
          id: EvidenceID(at: testTime), kind: .webForm, reference: "page", capturedAt: testTime, capturedBy: "customer")
        try await bank.database.write { transaction in
          try transaction.record(
            ChannelPreference(
              channel: .email, purpose: nil, verdict: .deny, effectiveAt: testTime, source: .customer),
            id: PreferenceID(at: testTime), of: number, evidence: evidence, policyVersion: "1", actor: .liaison,
            at: testTime)
        }
        let file = """
          customer_no,channel,purpose,verdict,rank,effective_at,evidence_kind,evidence_reference
          C100,email,*,allow,,2023-11-14,paper,form 1
          C100,sms,marketing,deny,,2023-11-14,paper,form 1
          C100,sms,marketing,deny,,2023-11-14,paper,form 1
          C100,*,*,perhaps,,,paper,form 2
          C100,sms,*,deny,,2099-01-01,paper,form 2
          C100,SM S,*,deny,,,paper,form 2
          C100,sms,*,deny,,,paper,
          C999,sms,*,deny,,,paper,form 2
          """
        let report = try await Self.run(bank, .preferences, file)
        #expect(report.progress.added == 2 && report.progress.changed == 1 && report.progress.refused == 5)
        #expect(
          report.refusals.map { "\($0.row) \($0.fault.code.rawValue) \($0.fault.place ?? "")" } == [
            "4 bad_value verdict", "5 bad_value effective_at", "6 bad_value channel",
            "7 missing_value evidence_reference", "8 unknown_reference customer_no",
          ])
        let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: ZoneCatalog())
        let records = try await bank.database.read { try $0.preferences(of: number) }
        let service = profile.permissions(of: records, at: Bank.now()).filter { $0.purpose == .service }
        #expect(service.first { $0.channel == .email }?.isDenied == true)
      }
    }
  }
}
