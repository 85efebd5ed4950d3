import AsyncHTTPClient
import Channels
import ContactModel
import Customers
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Store
import Testing

@testable import API

/// Files handed in over HTTP, brought in as jobs.
@Suite struct ImportJobTests {
  private struct Office: Sendable {
    var served: Served
    var runner: ImportRunner

    func hand(
      _ bytes: [UInt8], as kind: String = "customers", query: String = "", type: String = "text/csv",
      by who: String = "crm"
    ) async throws -> Answer {
      var request = HTTPClientRequest(url: served.url("/v1/imports/\(kind)/jobs" + query))
      request.method = .POST
      request.headers.add(name: "Authorization", value: "Bearer \(Bank.token(who).text)")
      request.headers.add(name: "Content-Type", value: type)
      request.body = .bytes(ByteBuffer(bytes: bytes))
      return try await Answer(testClient.execute(request, timeout: .seconds(60)))
    }

    /// The job once it is over.
    func outcome(of answer: Answer) async throws -> JSONValue {
      #expect(answer.status == 202, "\(answer.text)")
      let id = try answer.json["id"]?.string ?? ""
      return try await within(.seconds(60)) {
        while true {
          let job = try await served.as("crm", "GET", "/v1/import-jobs/\(id)").json
          if !["waiting", "running"].contains(job["import_state"]?.string ?? "") { return job }
          await Task.yield()
        }
      }
    }
  }

  private static func open(_ body: @escaping @Sendable (Bank, Office) async throws -> Void) async throws {
    try await Bank.open { bank in
      let runner = try ImportRunner(
        importer: Importer(database: bank.database, now: Bank.now), database: bank.database,
        directory: try temporaryFolder().path + "/imports", now: Bank.now,
        logger: Logger(label: "imports") { _ in SwiftLogNoOpLogHandler() })
      let routes = ImportJobResources(
        database: bank.database, runner: runner, cursors: CursorSigner(secret: Array(repeating: 7, count: 32))
      ).routes
      try await serve(Branches.site(bank, also: routes), also: [runner]) { served in
        try await body(bank, Office(served: served, runner: runner))
      }
    }
  }

  @Test func `a file is taken, brought in and reported, and its refusals are listed`() async throws {
    try await Self.open { bank, office in
      let conformance = try await Conformance(office.served)
      let rows = (1...3_000).map { "J\($0),retail,客户\($0),1390\(1_000_000 + $0)" }
      let file =
        "编号,type,name,phone\n"
        + (rows + ["J1,retail,twice,", "bad no,retail,x,", "J9,none,x,"]).joined(separator: "\n")
      let made = try await office.hand(Array(file.utf8), query: "?mapping=编号=customer_no".escaped + "&file_name=a.csv")
      #expect(conformance.faults("POST", template: "/v1/imports/{kind}/jobs", made) == [])
      let job = try await office.outcome(of: made)
      #expect(job["import_state"] == "done" && job["rows"] == 3_003 && job["added"] == 3_000 && job["refused"] == 3)
      #expect(job["bytes_read"] == job["bytes"], "\(job)")
      let id = job["id"]?.string ?? ""
      let refusals = try await office.served.as("crm", "GET", "/v1/import-jobs/\(id)/refusals")
      #expect(conformance.faults("GET", template: "/v1/import-jobs/{id}/refusals", refusals) == [])
      #expect(
        try refusals.json["items"]?.array?.map { $0["fault"]?.string } == [
          "duplicate", "bad_value", "duplicate",
        ] || refusals.json["items"]?.array?.count == 3)
      #expect(try await bank.database.read { try $0.customer(CustomerNumber("J3000")!)?.name } == "客户3000")
      // The same again is over at once, and counted as done before.
      let again = try await office.outcome(
        of: office.hand(Array(file.utf8), query: "?mapping=编号=customer_no".escaped))
      #expect(again["resumed_after"] == 3_003 && again["added"] == 3_000)
      let list = try await office.served.as("crm", "GET", "/v1/import-jobs?page_size=1")
      #expect(conformance.faults("GET", template: "/v1/import-jobs", list) == [])
      #expect(try list.json["items"]?.array?.count == 1)
      #expect(try await office.served.as("crm", "DELETE", "/v1/import-jobs/\(id)").status == 409)
      #expect(try FileManager.default.contentsOfDirectory(atPath: office.runner.directory).isEmpty)
    }
  }

  @Test func `what is broken is refused by row or as a whole, and a line of ten million characters costs itself`()
    async throws
  {
    try await Self.open { bank, office in
      let long =
        "customer_no,type,name\nL1,retail,first\nL2,retail,\(String(repeating: "长", count: 10_000_000))\nL3,retail,last\n"
      let job = try await office.outcome(of: office.hand(Array(long.utf8)))
      #expect(job["added"] == 2 && job["refused"] == 1 && job["rows"] == 3, "\(job)")
      let quoted = "customer_no,type,name\nQ1,retail,\"\(String(repeating: "x\n", count: 100_000))"
      let open = try await office.outcome(of: office.hand(Array(quoted.utf8)))
      #expect(open["import_state"] == "done" && open["added"] == 0)
      for (bytes, fault) in [
        (Array("type,name\nretail,x".utf8), "missing_column customer_no"), ([0xff, 0xff, 0xff, 0x00], "not_text"),
      ] {
        let refused = try await office.outcome(of: office.hand(bytes))
        #expect(refused["import_state"] == "refused" && refused["fault"]?.string == fault, "\(refused)")
      }
      #expect(try await office.hand([], type: "application/json").status == 415)
      #expect(try await office.hand([], as: "nonsense").status == 404)
      #expect(try await office.hand([], by: "agent-1001").status == 403)
      #expect(try await office.hand([], query: "?mapping=abcde").status == 422)
      let rehearsed = try await office.outcome(
        of: office.hand(Array("customer_no,type,name\nR1,retail,x\nR2,none,x".utf8), query: "?dry_run=true"))
      #expect(rehearsed["added"] == 1 && rehearsed["refused"] == 1)
      #expect(try await bank.database.read { try $0.customer(CustomerNumber("R1")!) } == nil)
    }
  }

  @Test func `GB18030 is read across the pieces of a file`() async throws {
    try await Self.open { bank, office in
      // 客户 in GB18030 is BF CD BB A7; rows of odd length move it over every border of a piece.
      var bytes = Array("customer_no,type,name\n".utf8)
      for number in 1...40_000 { bytes += Array("G\(number),retail,".utf8) + [0xbf, 0xcd, 0xbb, 0xa7, 0x0a] }
      #expect(bytes.count > 2 * (1 << 18))
      let job = try await office.outcome(of: office.hand(bytes))
      #expect(job["added"] == 40_000 && job["refused"] == 0, "\(job)")
      #expect(try await bank.database.read { try $0.customer(CustomerNumber("G39999")!)?.name } == "客户")
    }
  }

  @Test func `JSON lines, and a program of a department brings in its own customers alone`() async throws {
    try await Self.open { bank, office in
      try await Branches.found(in: bank)
      let lines = """
        {"customer_no": "N100", "type": "retail", "name": "taken over"}
        {"customer_no": "S1", "type": "retail", "name": "own", "department": "south", "phone": ["13900000001"]}
        {"customer_no": "S2", "type": "retail", "name": "foreign", "department": "north"}
        no object
        """
      let made = try await office.hand(Array(lines.utf8), type: "application/jsonl", by: "south-crm")
      let job = try await office.outcome(of: made)
      #expect(job["added"] == 1 && job["refused"] == 3, "\(job)")
      #expect(try await office.served.as("south-crm", "GET", "/v1/import-jobs/\(job["id"]!.string!)").status == 200)
      let whole = try await office.outcome(of: office.hand(Array("customer_no,type,name\n".utf8)))
      #expect(try await office.served.as("south-crm", "GET", "/v1/import-jobs/\(whole["id"]!.string!)").status == 404)
    }
  }
}
