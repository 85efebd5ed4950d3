import Channels
import ContactModel
import Foundation
import LiaisonForTests
import NIOHTTP1
import Store
import Testing

/// The running daemon with a real HylaFAX 6 beside it, without a modem: everything but the telephone.
@Suite(
  .serialized, .enabled(if: HylaFAXPeer.missing == nil, "needs root, hylafax-server and ../shared/peers/fax"),
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct FaxDaemonTests {
  private let quick = ["sweep_interval: 1s", "receive_grace: 1s"]

  @Test(.timeLimit(.minutes(2)))
  func `a received fax becomes a contact with pages, preview and suggested category, and pops`() async throws {
    let peer = try HylaFAXPeer()
    let bank = try FaxBank([("main", peer.port)], keys: quick)
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    try peer.receive("fax000000001.tif", try FaxBank.received(), journal: "")
    let daemon = try bank.start()
    let api = try await daemon.ready().api
    let token = try await bank.agentToken()
    let pop = try await bank.pop(api: api, token: token)
    #expect(pop.contains("\"channel_kind\":\"fax\""), "\(pop)")
    #expect(pop.contains("7000001") && pop.contains("\"tie_zone\":\"fuzzy\""), "\(pop)")
    #expect(pop.contains("传真，1页"), "\(pop)")

    let contact = try #require(
      try await bank.look { try $0.first("SELECT contact_id FROM contact")?.text("contact_id") })
    let (status, json) = try await FaxBank.call(.GET, "\(api)/v1/contacts/\(contact)", token: token)
    #expect(status == 200)
    let properties = try #require(json["properties"] as? [String: String])
    for (key, value) in [
      "fax.pages": "1", "fax.complete": "yes", "fax.tsi": "+86 10 55550199", "fax.caller": "01055550199",
      "fax.did": "55550100",
    ] { #expect(properties[key] == value, "\(key)") }
    let parts = try #require(json["attachments"] as? [[String: Any]])
    #expect(parts.map { $0["media_type"] as? String } == ["image/tiff", "application/pdf", "image/png"])
    for part in parts {
      let sha256 = try #require(part["sha256"] as? String)
      let found = FileManager.default.enumerator(atPath: bank.bank.directory + "/bodies")?.contains {
        ($0 as? String)?.replacing("/", with: "").contains(sha256.prefix(60)) ?? false
      }
      #expect(found == true, "no body of \(part)")
    }
    #expect(
      try await bank.look { try $0.first("SELECT received, stored FROM ledger WHERE channel = 'fax'")?.int("stored") }
        == 1)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")

    // The fax still lies in recvq: the next run knows it, and neither reads nor counts it again.
    let again = try bank.start()
    _ = try await again.ready()
    try peer.receive("fax000000002.tif", try FaxBank.document("loss-report-zh-g3-std-2p.tif"), journal: "")
    try await bank.eventually("the second fax", daemon: again) {
      try $0.one("SELECT count(*) AS n FROM contact").int("n") == 2
    }
    let counts = try await bank.look { try $0.one("SELECT received, duplicate FROM ledger WHERE channel = 'fax'") }
    #expect(try counts.int("received") == 2 && counts.int("duplicate") == 0)
    // Its category was suggested by the words on the page.
    let second = try await bank.look {
      try $0.one("SELECT category, queue, content FROM contact WHERE summary LIKE '传真，2页%'")
    }
    #expect(try second.text("category") == "declaration" && second.text("queue") == "urgent", "\(second)")
    #expect(try await again.stop() == .code(0))
    bank.bank.remove()
  }

  @Test(.timeLimit(.minutes(2)))
  func `what the hook says marks a fax, a repeat is shown in the same request, and strangers are turned away`()
    async throws
  {
    let peer = try HylaFAXPeer()
    let bank = try FaxBank([("main", peer.port)], keys: quick + ["text_pages: 0"])
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    let hook = bound.public + "/hooks/fax"
    func post(_ form: String, token: String? = FaxBank.hookToken, to url: String? = nil) async throws -> UInt {
      try await FaxBank.call(.POST, url ?? hook, token: token, form: form).status
    }
    #expect(try await post("server=main&file=a.tif", token: nil) == 401)
    #expect(try await post("server=main&file=a.tif", token: "guess") == 401)
    #expect(try await post("server=main&file=../../etc/passwd") == 422)
    #expect(try await post("server=other&file=a.tif") == 404)
    #expect(try await FaxBank.call(.GET, hook, token: FaxBank.hookToken).status == 405)
    #expect(try await post("server=main&file=fax000000009.tif") == 503)

    let tiff = try FaxBank.received()
    try peer.receive("fax000000001.tif", tiff, journal: nil)
    let cut = "T.30 T2 timeout, expected signal not received".replacing(" ", with: "+")
    #expect(try await post("server=main&file=recvq/fax000000001.tif&error=\(cut)") == 200)
    try peer.receive("fax000000002.tif", tiff, journal: nil)
    #expect(
      try await post(
        "server=main&file=recvq/fax000000002.tif&error=&callid=01055550199&callid=Li+Wei&callid=&callid=55550100",
        to: hook + "/fax") == 200)
    try await bank.eventually("both contacts", daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM contact").int("n") == 2
    }
    let rows = try await bank.look {
      try $0.query("SELECT summary, detail FROM contact ORDER BY contact_id").map {
        (summary: try $0.text("summary"), detail: try $0.text("detail"))
      }
    }
    #expect(rows[0].summary == "传真，1页，不完整")
    #expect(rows[0].detail.contains("T.30 T2 timeout"))
    #expect(rows[1].summary == "传真，1页，与先前的传真重复")
    #expect(rows[1].detail.contains("fax.repeats"))
    #expect(try await bank.look { try $0.one("SELECT count(*) AS n FROM service_request").int("n") } == 1)
    // Taken before anybody had said how it ended; the hook says so late, and again because it was not answered.
    try peer.receive("fax000000003.tif", tiff, journal: nil)
    try await bank.eventually("the third fax", daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM contact").int("n") == 3
    }
    for _ in 0..<2 {
      #expect(try await post("server=main&file=recvq/fax000000003.tif&error=\(cut)&callid=01055550199") == 200)
    }
    try await bank.eventually("the late word", daemon: daemon) {
      try $0.first("SELECT 1 AS one FROM contact WHERE summary = '传真接收中断（补充说明）'") != nil
    }
    let after = try await bank.look {
      try $0.one(
        "SELECT (SELECT count(*) FROM contact) AS contacts, (SELECT count(*) FROM service_request) AS requests")
    }
    #expect(try after.int("contacts") == 4 && after.int("requests") == 1)

    // An answer by fax goes whence he faxed, or to a number that was typed twice.
    let request = try await bank.look { try $0.one("SELECT request_id FROM service_request").text("request_id") }
    func answer(_ to: [String: String]?) async throws -> UInt {
      var body: [String: Any] = ["channel": "fax", "text": "已收到。"]
      body["to"] = to
      return try await bank.admin(.POST, "/v1/service-requests/\(request)/replies", body).status
    }
    let stray = ["kind": "fax", "value": "+861055550198"]
    #expect(try await answer(stray) == 422)
    #expect(try await answer(stray.merging(["confirm": "+861055550197"]) { $1 }) == 422)
    #expect(try await answer(stray.merging(["confirm": "+861055550198"]) { $1 }) == 201)
    #expect(try await answer(["kind": "fax", "value": "+861055550199"]) == 201)
    #expect(try await answer(nil) == 201)
    #expect(try await daemon.stop() == .code(0))
    bank.bank.remove()
  }

  @Test(.timeLimit(.minutes(2)))
  func `broken files are set aside with their reasons and the next fax comes through`() async throws {
    let peer = try HylaFAXPeer()
    let bank = try FaxBank([("main", peer.port)], keys: quick + ["text_pages: 0", "maximum_bytes: 65536"])
    try await bank.seed([])
    let folder = "adapters/fax/Tests/Fixtures/recordings/broken/"
    for (index, name) in ["truncated-ifd.tif", "magic-43-bigtiff.tif", "not-a-tiff.tif"].enumerated() {
      let bytes = [UInt8](try Data(contentsOf: FaxBank.root.appendingPathComponent(folder + name)))
      try peer.receive("fax00000000\(index + 1).tif", bytes, journal: "")
    }
    try peer.receive("fax000000004.tif", [UInt8](repeating: 0x49, count: 70_000), journal: "")
    try peer.receive("fax000000005.tif", try FaxBank.received(), journal: "")
    let daemon = try bank.start()
    _ = try await daemon.ready()
    try await bank.eventually("the good fax and four set aside", daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM contact").int("n") == 1
        && $0.one("SELECT count(*) AS n FROM quarantine").int("n") == 4
    }
    let codes = try await bank.look { try $0.query("SELECT code FROM quarantine").map { try $0.text("code") } }
    #expect(Set(codes) == ["truncated", "bad-directory", "not-a-tiff", "too-large"], "\(codes)")
    #expect(try await daemon.stop() == .code(0))
    bank.bank.remove()
  }

  // MARK: Sending

  private func plan(
    _ bank: FaxBank, to customer: String, reference: String, address: [String: Any]? = nil
  ) async throws -> (status: UInt, json: [String: Any]) {
    var body: [String: Any] = [
      "purpose": "service", "customer_no": customer, "reference": reference,
      "contents": ["fax": ["text": "尊敬的客户：您的挂失已办理。", "options": ["fax.cover": "true"]]],
    ]
    body["address"] = address
    return try await bank.admin(.POST, "/v1/proactive-jobs", body)
  }

  @Test(.timeLimit(.minutes(2)))
  func `a fax goes only to a number on the customer's record or typed twice, and never against his word`() async throws
  {
    let peer = try HylaFAXPeer()
    let bank = try FaxBank([("main", peer.port)], keys: quick + ["text_pages: 0"])
    try await bank.seed(
      [("7000001", "李伟", "+861055550199"), ("7000002", "王芳", "+861055550188")], refusing: ["7000002"])
    let daemon = try bank.start()
    _ = try await daemon.ready()
    // One digit off.
    let stray: [String: Any] = ["kind": "fax", "value": "+861055550198"]
    let refused = try await plan(bank, to: "7000001", reference: "stray", address: stray)
    #expect(refused.status == 422, "\(refused)")
    let mistyped = try await plan(
      bank, to: "7000001", reference: "mistyped", address: stray.merging(["confirm": "+861055550199"]) { $1 })
    #expect(mistyped.status == 422)
    let twice = try await plan(
      bank, to: "7000001", reference: "twice", address: stray.merging(["confirm": "+861055550198"]) { $1 })
    #expect(twice.status == 201, "\(twice)")
    let known = try await plan(bank, to: "7000001", reference: "known")
    #expect(known.status == 201)
    let against = try await plan(bank, to: "7000002", reference: "against")
    #expect(against.status == 201)
    try await bank.eventually("two jobs handed over", daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'accepted'").int("n") == 2
    }
    let numbers = try await bank.look {
      try $0.query("SELECT to_canonical FROM attempt ORDER BY to_canonical").map { try $0.text("to_canonical") }
    }
    #expect(numbers == ["+861055550198", "+861055550199"])
    #expect(try peer.jobTags().count == 2)
    try await bank.eventually("his word honoured", daemon: daemon) {
      try $0.first("SELECT 1 AS one FROM proactive_job WHERE customer_no = '7000002' AND state = 'refused'") != nil
    }
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    bank.bank.remove()
  }

  @Test(.timeLimit(.minutes(3)))
  func `hfaxd restarted and Liaison killed in mid-job: settled from the queues, nothing is sent twice`() async throws {
    let peer = try HylaFAXPeer()
    let bank = try FaxBank([("main", peer.port)], keys: quick + ["text_pages: 0", "settle_delay: 1s"])
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    // Killed with the server's answer in hand and nothing written of it; and before a byte has left.
    for (index, place) in ["submitted", "handing"].enumerated() {
      let daemon = try bank.start(environment: ["LIAISON_CRASH_AT": "\(place):1"])
      _ = try await daemon.ready()
      _ = try? await plan(bank, to: "7000001", reference: "crash-\(index)")  // it may die before it answers
      #expect(try await daemon.child.ended(within: .seconds(30)) == .signal(SIGKILL))
      peer.killServer()
      try peer.startServer()
    }
    let daemon = try bank.start()
    _ = try await daemon.ready()
    _ = try await plan(bank, to: "7000001", reference: "crash-0")
    _ = try await plan(bank, to: "7000001", reference: "crash-1")
    try await bank.eventually("both accepted", within: .seconds(120), daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'accepted'").int("n") == 2
        && $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'in_doubt'").int("n") == 0
    }
    let tags = try peer.jobTags()
    #expect(tags.count == 2 && Set(tags).count == 2, "\(tags)")
    let names = try await bank.look {
      try $0.query("SELECT wire_identity FROM attempt WHERE state = 'accepted'").map { try $0.text("wire_identity") }
    }
    #expect(Set(names) == Set(tags))
    daemon.child.send(SIGKILL)
    _ = try await daemon.child.ended(within: .seconds(10))

    // They end while Liaison is away; the next run learns it from doneq.
    try peer.killJobs()
    let after = try bank.start()
    _ = try await after.ready()
    try await bank.eventually("both reported", within: .seconds(60), daemon: after) {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'undelivered'").int("n") == 2
    }
    #expect(try peer.jobTags().count == 2)
    #expect(try await after.stop() == .code(0), "\(after.child.tail)")
    bank.bank.remove()
  }
}
