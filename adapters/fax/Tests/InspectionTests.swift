import Testing

@testable import Fax

@Suite struct InspectionTests {
  @Test func `every recorded story is read without unexplained lines`() throws {
    #expect(Fixture.stories.count >= 30)
    for name in Fixture.stories {
      let session = try Fixture.inspection(name)
      #expect(session.serverVersion == "6.0.7", "\(name)")
      #expect(session.user != nil)
      #expect(
        !session.errors.contains { $0.code == "unreadable-recording" || $0.code == "line-outside-reply" }, "\(name)")
    }
  }

  @Test(arguments: [
    ("busy/003", 4, "busy"), ("no-answer/003", 9, "no-answer"), ("rejected-number/003", 5, "rejected"),
    ("submit-ok/004", 3, "delivered"), ("submit-refused/002", 13, "expired"), ("submit-refused/004", 14, "refused"),
    ("submit-refused/006", 15, "bad-document"), ("kill-pending/005", 6, "killed"),
    ("cover-and-text/003", 7, "delivered"),
  ])
  func `jobs end as the recordings say`(name: String, id: Int, outcome: String) throws {
    let job = try #require(try Fixture.inspection(name).jobs.first { $0.job == id })
    #expect(job.outcome == outcome)
  }

  @Test func `event 126 of a failed job settles nothing`() throws {
    let job = try #require(try Fixture.inspection("busy/001").jobs.first)
    #expect(job.events.contains(126))
    #expect(job.outcome == nil)
    #expect(job.settledAs == nil)
  }

  @Test func `a submission shows its document, tag and number`() throws {
    let session = try Fixture.inspection("submit-ok/002")
    let job = try #require(session.jobs.first)
    #expect(job.tag == "WORK-2026-000117")
    #expect(job.number == "55550199")
    #expect(job.submitted == true)
    #expect(job.parameters["TOUSER"] == "Wang Xiaoming")
    #expect(session.transfers.first?.document?.pages == 2)
  }

  @Test func `a refused submission says so`() throws {
    let session = try Fixture.inspection("submit-refused/001")
    #expect(session.jobs.first?.submitted == false)
    #expect(session.errors.map(\.code) == ["refused-460"])
  }

  @Test func `a received fax is shown from events, queue and file`() throws {
    let events = try #require(try Fixture.inspection("receive-ok/001").received.first)
    #expect(events.caller == "01055550199")
    #expect(events.did == "55550100")
    #expect(events.tsi == "+86 10 55550199")
    let session = try Fixture.inspection("receive-ok/004")
    #expect(session.received.first?.callerName == "Li Wei")
    let documents = session.transfers.compactMap(\.document)
    #expect(documents.count == 3)
    #expect(documents[0].tsi == "+86 10 55550199")
    // MODE Z carries the same file, compressed.
    #expect(session.transfers[1].compressed)
    #expect(documents[1].bytes == 8_204)
  }

  @Test func `a command that is never answered is named`() throws {
    let session = try Fixture.inspection("receive-ok/005")
    #expect(session.administrator)
    #expect(session.errors.contains { $0.code == "no-reply" && $0.command == "CHOWN recvq/fax000000001.tif bank" })
    #expect(try Fixture.inspection("recvq-delete/002").deleted == ["recvq/fax000000001.tif"])
  }

  @Test func `passwords are not printed`() throws {
    let recording = Recording(Array(#"0.1 C> "PASS s3cret\r\n""#.utf8))
    let session = SessionInspection(file: "x", recording: recording) { _ in nil }
    #expect(session.errors.first?.command == "PASS …")
  }

  @Test func `every prefix of a recording is read`() throws {
    for name in ["receive-ok/004", "busy/001", "submit-ok/002"] {
      let whole = try Fixture.bytes("recordings/protocol/\(name).rec")
      for length in stride(from: 0, to: whole.count, by: 11) {
        _ = SessionInspection(file: name, recording: Recording(Array(whole.prefix(length)))) { _ in nil }
      }
    }
  }

  @Test func `ten thousand damaged recordings are read`() throws {
    var random = Seeded(99)
    let files = try ["busy/001", "busy/003", "receive-ok/002", "submit-refused/002", "kill-pending/004"].map {
      try Fixture.bytes("recordings/protocol/\($0).rec")
    }
    for round in 0..<10_000 {
      let recording = Recording(random.damaged(files[round % files.count]))
      _ = SessionInspection(file: "x", recording: recording) { _ in nil }
    }
  }
}
