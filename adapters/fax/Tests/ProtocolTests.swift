import Channels
import Testing

@testable import Fax

@Suite struct ReplyParserTests {
  private func replies(_ text: String) throws -> [Reply] {
    var parser = ReplyParser()
    return try parser.feed(Array(text.utf8))
  }

  @Test func `single and multi-line replies are told apart`() throws {
    let text =
      "220 vm server ready.\r\n211-Status of x:\r\nfax1.tif|1\r\n211 End of Status\r\n216-Waiting\r\n216 done\r\n"
    #expect(
      try replies(text) == [
        Reply(code: 220, lines: ["vm server ready."]),
        Reply(code: 211, lines: ["Status of x:", "fax1.tif|1", "End of Status"]),
        Reply(code: 216, lines: ["Waiting", "done"]),
      ])
  }

  @Test func `any split of the bytes gives the same replies`() throws {
    let bytes = Array("213-a\n213-b\r\n  more\n213 c\r\n\r\n200 ok\r\n".utf8)
    let whole = try replies(String(decoding: bytes, as: UTF8.self))
    #expect(whole.count == 2)
    for cut in 0...bytes.count {
      var parser = ReplyParser()
      #expect(try parser.feed(bytes[..<cut]) + parser.feed(bytes[cut...]) == whole)
    }
  }

  @Test func `lines outside a reply are skipped and counted`() throws {
    var parser = ReplyParser()
    let text =
      "213 Document is not valid TIFF (unspecified format error)\\\n\nMemoryLimitError: allocation of 9 bytes\r\n200 ok\r\n"
    #expect(try parser.feed(Array(text.utf8)).map(\.code) == [213, 200])
    #expect(parser.skipped == 2)
    #expect(parser.lastSkipped == "MemoryLimitError: allocation of 9 bytes")
  }

  @Test func `endless lines and replies are refused`() {
    var parser = ReplyParser()
    #expect(throws: ReplyParser.Failure.lineTooLong) { try parser.feed([UInt8](repeating: 65, count: 9_000)) }
    var other = ReplyParser()
    let lines = Array(("211-x\n" + String(repeating: "y\n", count: 5_000)).utf8)
    #expect(throws: ReplyParser.Failure.replyTooLong) { try other.feed(lines) }
  }

  @Test func `random bytes never stop it for good`() throws {
    var random = Seeded(7)
    for _ in 0..<2_000 {
      var parser = ReplyParser()
      let noise = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try parser.feed(noise)
    }
  }
}

@Suite struct CommandTests {
  @Test func `values are quoted, kept in UTF-8 and bounded`() throws {
    #expect(try Command.parameter("FROMUSER", #"汇民 "B" \ C"#).line == #"JPARM FROMUSER "汇民 \"B\" \\ C""#)
    #expect(throws: Command.Failure.valueTooLong("JOBINFO")) {
      try Command.parameter("JOBINFO", String(repeating: "x", count: 401))
    }
    #expect(throws: Command.Failure.controlCharacter("JOBINFO")) { try Command.parameter("JOBINFO", "a\r\nJKILL 1") }
    #expect(throws: (any Error).self) { try Command.path("RETR", "recvq", "../etc/hosts.hfaxd") }
  }

  @Test func `passwords do not reach a log`() throws {
    #expect(try Command.word("PASS", "s3cret").description == "PASS …")
  }

  @Test(
    arguments: [
      ("+86 10 5555-0199", "+861055550199"), ("(010) 5555 0199", "01055550199"), ("90123456", "90123456"),
      ("0800 CALL", nil), ("12", nil), ("5555,0199", nil), ("5555w1", nil), ("123456789012345678901", nil), ("", nil),
      ("１２３４５", nil), ("55#1", nil),
    ] as [(String, String?)])
  func `only digits are dialled`(text: String, number: String?) {
    #expect(FaxJob.dialable(text) == number)
  }

  @Test(arguments: [
    ("01055550199", "+861055550199"), ("+86 10 55550199", "+861055550199"), ("+86.10.55550199", "+861055550199"),
    ("55550199", "+861055550199"), ("008613800138000", "+8613800138000"), ("13800138000", "+8613800138000"),
    ("+44 20 7946 0000", "+442079460000"), ("HUIMIN BANK", "HUIMIN BANK"), ("123", "123"),
  ])
  func `one line written in many ways is one number`(raw: String, canonical: String) {
    #expect(NumberPlan(areaCode: "10").faxAddress(raw).canonical == canonical)
  }

  @Test func `the last time is ddhhmm within a minute and a week`() {
    func job(_ lifetime: Duration) -> String {
      FaxJob(number: "1", tag: "t", pages: 1, isFine: true, lifetime: lifetime).lastTime
    }
    #expect(job(.seconds(3 * 3_600)) == "000300")
    #expect(job(.seconds(1)) == "000001")
    #expect(job(.seconds(90_061)) == "010101")
    #expect(job(.seconds(400 * 86_400)) == "070000")
  }
}

@Suite struct ListFormatTests {
  @Test func `HylaFAX's default job format is read by its columns`() throws {
    let format = ListFormat("%-4j %3i %1a %6.6o %-12.12e %5P %5D %7z %.25s")
    let rows = format.rows(
      Array(
        ("6    127 P   bank 55550199      0:0   0:12   23:00 \r\n"
          + "5    127 F   bank 94123456      0:1   1:1          No local dialtone; too ma\r\n").utf8)
    ).compactMap(JobRow.init)
    #expect(rows.map(\.id.number) == [6, 5])
    #expect(rows.map(\.state) == [.pending, .failed])
    #expect(rows.map(\.external) == ["55550199", "94123456"])
    #expect(rows.map(\.pagesTotal) == [0, 1])
    #expect(rows[1].status == "No local dialtone; too ma")
    #expect(rows[1].owner == "bank")
  }

  @Test func `free text may hold the separator`() {
    let row = ListFormat("%j|%a|%s").row(Array("7|F|a|b|c".utf8))
    #expect(row["s"] == "a|b|c")
  }

  @Test func `our own format survives every value`() throws {
    let line = [
      "3", "D", "bank", "+861055550199", "2", "2", "1", "1", "1795381064", "attempt_x", "000000003", "any",
      "pages=2", "状态 | ; \"x\"",
    ].joined(separator: "\u{1f}")
    let row = try #require(JobRow(JobRow.format.row(Array(line.utf8))))
    #expect(row.state == .done)
    #expect(row.pagesSubmitted == 2)
    #expect(row.tag == "attempt_x")
    #expect(row.modem == nil)
    #expect(row.status == "状态 | ; \"x\"")
  }

  @Test func `the default format of received faxes is read by its columns`() throws {
    let format = ListFormat("%-7m %4p%1z %-8.8o %14.14s %7t %f")
    let row = try #require(
      ReceivedRow(format.row(Array("-rw-r--    1  10       +86 10 5555019   21:24 fax000000001.tif".utf8))))
    #expect(row.file == "fax000000001.tif")
    #expect(row.pages == 1)
    #expect(row.tsi == "+86 10 5555019")
    #expect(!row.isReceiving)
    let receiving = ReceivedRow(
      format.row(Array("-rw-r--    0* 10                        21:24 fax000000002.tif".utf8)))
    #expect(receiving?.isReceiving == true)
  }

  @Test func `any rows and formats are taken without a crash`() {
    var random = Seeded(3)
    let base = Array(JobRow.format.text.utf8) + Array("%-4j %3i %.25s%%%1z".utf8)
    for _ in 0..<3_000 {
      let format = ListFormat(String(decoding: random.damaged(base), as: UTF8.self))
      _ = JobRow(format.row(random.damaged(Array("3\u{1f}D\u{1f}bank\u{1f}55550199\u{1f}2\u{1f}2".utf8))))
    }
  }
}

@Suite struct EventTests {
  @Test func `a received fax is announced with file and call number`() throws {
    let event = try #require(
      TriggerEvent(
        "212455 135 RECV FAX: From +86 10 55550199 (com 000000001), 1 pages in 0:00:18, file recvq/fax000000001.tif"))
    #expect(event.kind == .documentReceived)
    #expect(event.receivedFile == "fax000000001.tif")
    #expect(event.communication == "000000001")
    #expect(event.asksForSweep)
  }

  @Test func `caller id lists the modem's values in their order`() throws {
    let event = try #require(
      TriggerEvent(
        #"212434 159 MODEM ttyIAXbank: Caller-id information: "01055550199","Li Wei","<NONE>","55550100""#))
    #expect(event.kind == .callerID)
    #expect(event.subject == .modem("ttyIAXbank"))
    #expect(event.callIDs == ["01055550199", "Li Wei", "<NONE>", "55550100"])
  }

  @Test func `a job event names its job, an unknown number is kept`() throws {
    let event = try #require(TriggerEvent("205706 199 JOB 3 (dest  pri 127 com ): Something new"))
    #expect(event.kind == nil)
    #expect(event.subject == .job(JobID(3)))
    #expect(!event.asksForSweep)
    #expect(TriggerEvent("nonsense") == nil)
  }

  @Test func `the journal tells why a reception was cut`() throws {
    let line =
      "11/24/26 15:24\tRECV\t000000002\tttyIAXcust\trecvq/fax000000002.tif\t\"\"\tfax\t\"+86.10.55550199\"\t\"HUIMIN BANK\"\t"
      + "2220072\t2\t0:00:14\t0:00:14\t\"T.30 T2 timeout, expected signal not received\"\t\"Huimin Bank\"\t\"01055550100\"\t"
      + "\"<NONE>::55550199\"\t\"\"\t\"00 44 1F 22\""
    let entry = try #require(JournalEntry(line))
    #expect(entry.kind == .receive)
    #expect(entry.file == "fax000000002.tif")
    #expect(entry.reason == "T.30 T2 timeout, expected signal not received")
    #expect(entry.caller == "01055550100")
    #expect(entry.callerName == "Huimin Bank")
    #expect(entry.did == "55550199")
  }

  @Test func `the recorded journal is read line by line`() throws {
    let entries = JournalEntry.entries(try Fixture.bytes("recordings/xferfaxlog.txt"))
    #expect(entries.count(where: { $0.kind == .send }) == 12)
    #expect(entries.count(where: { $0.kind == .receive }) == 3)
    #expect(entries.first(where: { $0.tag == "WORK-2026-000117" })?.job == JobID(3))
  }
}

@Suite struct OutcomeTests {
  private func outcome(_ status: String, sent: Int = 0, of total: Int = 1, state: JobState = .failed) -> String? {
    JobOutcome(state: state, status: status, pagesSent: sent, pagesTotal: total)?.code
  }

  @Test(arguments: [
    ("Busy signal detected; too many attempts to dial", 0, 1, "busy"),
    ("No answer from remote; too many attempts to dial", 0, 1, "no-answer"),
    ("No local dialtone; too many attempts to dial", 0, 1, "rejected"),
    ("No carrier detected; too many attempts to dial", 0, 1, "person"),
    ("No receiver protocol (T.30 T1 timeout); too many attempts to dial", 0, 1, "not-a-fax"),
    ("Failure to receive silence (synchronization failure).; too many attempts to dial", 0, 4, "cut"),
    ("Failure to receive silence (synchronization failure).; too many attempts to dial", 1, 4, "cut"),
    ("Unspecified Transmit Phase C error; too many attempts to dial", 1, 2, "cut"),
    ("No response to PPS repeated 3 times.; too many attempts to dial", 0, 1, "last-page-in-doubt"),
    ("No response to PPS repeated 3 times.; too many attempts to dial", 1, 4, "cut"),
    ("No response to EOP repeated 3 tries", 3, 4, "last-page-in-doubt"),
    ("Job aborted by request", 0, 1, "killed"), ("Job aborted by request", 2, 2, "last-page-in-doubt"),
    ("Document is not valid TIFF (unspecified format error)\\\n", 0, 0, "bad-document"),
    ("Kill time expired", 0, 0, "expired"), ("REJECT: No work found in job file", 0, 0, "bad-document"),
    ("REJECT: Requested modem x is not registered", 0, 1, "refused"), ("Something nobody has seen", 0, 1, "failed"),
  ])
  func `the text before the semicolon gives the class`(status: String, sent: Int, total: Int, code: String) {
    #expect(outcome(status, sent: sent, of: total) == code)
  }

  @Test func `done is delivered only with every page confirmed`() {
    #expect(outcome("", sent: 2, of: 2, state: .done) == "delivered")
    #expect(outcome("", sent: 0, of: 2, state: .done) == "incomplete")
    #expect(outcome("", sent: 0, of: 0, state: .done) == "incomplete")
    #expect(
      JobOutcome(state: .done, status: "", pagesSent: 1, pagesTotal: 1, pagesSubmitted: 2)
        == .incomplete(pages: 1, of: 2))
  }

  @Test func `a job that is not over has no outcome`() {
    for state in JobState.allCases where !state.isFinal { #expect(outcome("Busy", state: state) == nil) }
  }

  @Test func `what may have arrived is reported as unknown, never as undelivered`() {
    func state(_ outcome: JobOutcome) -> DeliveryReport.State {
      outcome.report(wireIdentity: "w", peerID: "p", recipient: nil, status: "s", happenedAt: nil).state
    }
    #expect(state(.lastPageInDoubt(of: 2)) == .unknown)
    #expect(state(.incomplete(pages: 1, of: 2)) == .unknown)
    #expect(state(.cut(after: 1, of: 2)) == .undelivered)
    #expect(state(.expired) == .expired)
    #expect(state(.delivered(pages: 1)) == .delivered)
  }
}
