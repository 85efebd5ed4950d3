import Channels
import Testing

@testable import Fax

/// Server lines of a recorded session, by the command they answer.
private struct Script {
  private var answers: [String: [Reply]] = [:]
  private(set) var greeting: Reply?

  init(_ recording: Recording) throws {
    var parser = ReplyParser()
    var verb: String?
    for moment in recording.moments {
      switch moment.entry {
      case .line(.client, let bytes):
        let words = String(decoding: bytes, as: UTF8.self).trimmed.split(separator: " ")
        verb = words[0] == "JPARM" && words.count > 1 ? "JPARM \(words[1])" : String(words[0])
      case .line(.server, let bytes):
        for reply in try parser.feed(bytes) {
          if let verb { answers[verb, default: []].append(reply) } else { greeting = reply }
        }
      default: break
      }
    }
  }

  mutating func answer(_ command: Command) -> [Reply] {
    let words = command.line.split(separator: " ")
    let verb = words[0] == "JPARM" && words.count > 1 ? "JPARM \(words[1])" : String(words[0])
    if let recorded = answers[verb], !recorded.isEmpty {
      answers[verb] = []
      // A parameter's echo holds its value.
      guard words[0] == "JPARM", words.count > 2, words[1] != "DOCUMENT" else { return recorded }
    }
    if words[0] == "EPSV" { return [Reply(code: 229, lines: ["Entering Extended Passive Mode (|||33141|)"])] }
    let value = command.line.split(separator: " ", maxSplits: 2).last ?? ""
    return [Reply(code: words[0] == "JPARM" ? 213 : 200, lines: ["\(words.dropFirst().first ?? "") set to \(value)."])]
  }
}

@Suite struct LoginTests {
  @Test func `a recorded administrator logs in`() throws {
    var script = try Script(try Fixture.recording("receive-ok/005"))
    var login = Login(.init(user: "operator", password: "s3cret", administratorPassword: "adm1n"))
    var sent: [String] = []
    var action = login.receive(try #require(script.greeting))
    while case .send(let command) = action {
      sent.append(command.line)
      action = login.receive(try #require(script.answer(command).last))
    }
    #expect(action == .ready)
    #expect(sent == ["USER operator", "PASS s3cret", "ADMIN adm1n", "TZONE GMT"])
    #expect(login.serverVersion == "6.0.7")
  }

  @Test func `a wrong password is tried once`() {
    var login = Login(.init(user: "bank", password: "wrong"))
    _ = login.receive(Reply(code: 220, lines: ["ready"]))
    _ = login.receive(Reply(code: 331, lines: ["Password required"]))
    #expect(
      login.receive(Reply(code: 530, lines: ["Login incorrect."]))
        == .failed(Fault(.authentication, peerCode: "530", text: "Login incorrect.")))
  }

  @Test func `a warning before the greeting is passed over, a full server is a connection fault`() {
    var login = Login(.init(user: "open"))
    #expect(login.receive(Reply(code: 130, lines: ["Warning"])) == .wait)
    #expect(
      login.receive(Reply(code: 421, lines: ["Service not available"]))
        == .failed(Fault(.connection, peerCode: "421", text: "Service not available")))
  }
}

@Suite struct SubmissionSessionTests {
  private let job = FaxJob(
    number: "55550199", tag: "attempt_1", pages: 2, isFine: false, lifetime: .seconds(3_600))

  /// Plays a submission against recorded answers; gives what was sent and how it ended.
  private func play(_ name: String, job: FaxJob? = nil) throws -> (sent: [String], result: SubmissionSession.Result?) {
    var script = try Script(try Fixture.recording(name))
    var session = SubmissionSession(job ?? self.job)
    var sent: [String] = []
    var pending: [Reply] = []
    var action = session.begin()
    for _ in 0..<100 {
      switch action {
      case .send(let command):
        sent.append(command.line)
        pending += script.answer(command)
        action = session.receive(pending.removeFirst())
      case .openData: action = session.dataConnected()
      case .upload, .wait:
        let reply = pending.isEmpty ? Reply(code: 226, lines: ["Transfer complete."]) : pending.removeFirst()
        action = session.receive(reply)
      case .finish(let result): return (sent, result)
      }
    }
    return (sent, nil)
  }

  @Test func `a job is handed over in one order, its tag and its pages before JSUBM`() throws {
    let (sent, result) = try play("submit-ok/002")
    #expect(result == .submitted(JobID(3)))
    #expect(sent.prefix(5) == ["FORM TIFF", "TYPE I", "EPSV", "STOT", "JNEW"])
    #expect(sent.suffix(2) == ["JPARM DOCUMENT /tmp/doc3.tif", "JSUBM"])
    #expect(sent.contains(#"JPARM JOBINFO "attempt_1""#))
    #expect(sent.contains(#"JPARM TOLOCATION "pages=2""#))
    #expect(sent.contains("JPARM LASTTIME 000100"))
    #expect(sent.contains("JPARM MAXDIALS 1"))
    #expect(sent.contains(#"JPARM DIALSTRING "55550199""#))
    #expect(sent.contains(#"JPARM EXTERNAL "55550199""#))
  }

  @Test(arguments: ["submit-refused/001", "submit-refused/003"])
  func `a refused JSUBM is surely not sent`(name: String) throws {
    guard case .refused(let id, let fault) = try play(name).result else {
      Issue.record("not refused")
      return
    }
    #expect([13, 14].contains(id.number))
    #expect(fault.peerCode == "460")
  }

  @Test func `a connection lost after JSUBM leaves the job in doubt, before it none`() throws {
    var script = try Script(try Fixture.recording("busy/002"))
    var session = SubmissionSession(job)
    var pending: [Reply] = []
    var action = session.begin()
    let lost = Fault(.connection, text: "gone")
    var verdicts: [String: String] = [:]
    while true {
      switch action {
      case .send(let command):
        var copy = session
        let result = copy.connectionLost(lost)
        if case .inDoubt = result { verdicts[command.verb] = "doubt" } else { verdicts[command.verb] = "none" }
        if command.verb == "JSUBM" {
          #expect(result == .inDoubt(JobID(4), lost))
          #expect(verdicts.filter { $0.value == "doubt" }.map(\.key) == ["JSUBM"])
          return
        }
        pending += script.answer(command)
        action = session.receive(pending.removeFirst())
      case .openData: action = session.dataConnected()
      case .upload, .wait: action = session.receive(pending.removeFirst())
      case .finish(let result):
        Issue.record("ended early: \(result)")
        return
      }
    }
  }

  @Test func `a number the server understood differently is not submitted`() throws {
    var session = SubmissionSession(job)
    var action = session.begin()
    for _ in 0..<60 {
      switch action {
      case .send(let command):
        let reply: Reply
        switch command.verb {
        case "EPSV": reply = Reply(code: 500, lines: ["EPSV: Command not recognized."])
        case "PASV": reply = Reply(code: 227, lines: ["Entering passive mode (10,0,0,1,144,89)"])
        case "STOT": reply = Reply(code: 150, lines: ["FILE: /tmp/doc1.tif (Opening)."])
        case "JNEW": reply = Reply(code: 200, lines: ["New job created: jobid: 9 groupid: 9."])
        case "JPARM" where command.line.contains("DIALSTRING"):
          reply = Reply(code: 213, lines: [#"DIALSTRING set to "5555019"."#])
        case "JPARM": reply = Reply(code: 213, lines: ["ok"])
        default: reply = Reply(code: 200, lines: ["ok"])
        }
        action = session.receive(reply)
      case .openData(let port):
        #expect(port == 144 << 8 | 89)
        action = session.dataConnected()
      case .upload, .wait: action = session.receive(Reply(code: 226, lines: ["done"]))
      case .finish(let result):
        guard case .failed(let fault) = result else { break }
        #expect(fault.code == .protocolViolation)
        return
      }
    }
    Issue.record("it was submitted")
  }

  @Test func `refusals on the way are surely not sent`() {
    var session = SubmissionSession(job)
    _ = session.begin()
    guard case .finish(.failed(let fault)) = session.receive(Reply(code: 530, lines: ["Please login"])) else {
      Issue.record("not failed")
      return
    }
    #expect(fault.code == .authentication)
  }

  @Test(
    arguments: [
      ("Entering Extended Passive Mode (|||33141|)", 229, 33_141),
      ("Entering passive mode (127,0,0,1,186,95)", 227, 47_711),
      ("(|||0|)", 229, nil), ("(1,2,3,4,5)", 227, nil), ("(1,2,3,4,5,999)", 227, nil), (")(", 227, nil), ("", 229, nil),
    ] as [(String, Int, Int?)])
  func `only a sensible port is connected to`(text: String, code: Int, port: Int?) {
    #expect(PassiveReply.port(Reply(code: code, lines: [text])) == port)
  }
}

@Suite struct ReceiveNoticeTests {
  @Test func `the hook's form is read with its call ids in order`() throws {
    let body =
      "server=main&file=recvq%2Ffax000000001.tif&device=ttyIAXbank&communication=000000001&error=T.30+T2+timeout"
      + "&callid=01055550199&callid=Li+Wei&callid=%3CNONE%3E&callid=55550100"
    let notice = try ReceiveNotice(form: Array(body.utf8))
    #expect(
      notice
        == ReceiveNotice(
          server: "main", file: "fax000000001.tif", device: "ttyIAXbank", communication: "000000001",
          error: "T.30 T2 timeout", callIDs: ["01055550199", "Li Wei", "<NONE>", "55550100"]))
  }

  @Test(arguments: [
    "", "server=main", "server=main&file=..%2F..%2Fetc%2Fpasswd", "server=main&file=.x", "server=main&file=a%0Ab",
    "file=fax1.tif", "server=main&file=recvq%2F",
  ])
  func `anything else is refused`(body: String) {
    #expect(throws: ReceiveNotice.Failure.self) { try ReceiveNotice(form: Array(body.utf8)) }
  }
}

@Suite struct RecentFaxesTests {
  private func fingerprints(_ name: String) throws -> [PageFingerprint] {
    FaxReading(try Fixture.document(name)).pages.compactMap(\.fingerprint)
  }

  @Test func `a retry that begins at the second page is recognised by it`() throws {
    let pages = try fingerprints("loss-report-zh-g3-std-2p.tif")
    var recent = RecentFaxes()
    let start = Timestamp(seconds: 1_000_000)
    #expect(recent.note("a", sender: "+861", at: start, pages: pages).repeats == nil)
    #expect(
      recent.note("b", sender: "+861", at: start + .seconds(60), pages: [pages[1]]).repeats
        == RecentFaxes.Repeat(wireKey: "a", pages: [1]))
    #expect(recent.note("c", sender: "+862", at: start + .seconds(60), pages: pages).repeats == nil)
    #expect(recent.note("d", sender: nil, at: start + .seconds(60), pages: pages).repeats == nil)
    // He sends on where a call broke; a quarter of an hour later it is a fax of its own.
    let cut = recent.note("cut", sender: "+863", at: start, pages: [pages[0]], isCut: true)
    #expect(cut.repeats == nil && cut.continues == nil)
    let rest = recent.note("rest", sender: "+863", at: start + .seconds(120), pages: [pages[1]])
    #expect(rest.repeats == nil && rest.continues == "cut")
    #expect(recent.note("e", sender: "+861", at: start + .seconds(200_000), pages: pages).repeats == nil)
  }
}

@Suite struct RemedyTests {
  @Test(
    arguments: [
      (JobOutcome.busy, DeliveryReport.Remedy(sameChannel: true, afterSeconds: 180)),
      (.noAnswer, .init(sameChannel: true, afterSeconds: 300)), (.failed, .init(sameChannel: true, afterSeconds: 60)),
      (.cut(after: 0, of: 2), .init(sameChannel: true, afterSeconds: 60)), (.person, .init(sameChannel: false)),
      (.notAFax, .init(sameChannel: false)), (.rejected, .init(sameChannel: false)),
      (.badDocument, .init(sameChannel: false)), (.refused, .init(sameChannel: false)), (.cut(after: 1, of: 2), nil),
      (.lastPageInDoubt(of: 1), nil), (.killed, nil), (.expired, nil), (.delivered(pages: 1), nil),
      (.incomplete(pages: 1, of: 2), nil),
    ] as [(JobOutcome, DeliveryReport.Remedy?)])
  func `only what surely reached nobody is tried again`(outcome: JobOutcome, remedy: DeliveryReport.Remedy?) {
    let report = outcome.report(wireIdentity: "w", peerID: "p", recipient: nil, status: "", happenedAt: nil)
    #expect(report.remedy == remedy)
  }
}

@Suite struct DialRuleTests {
  @Test func `the first rule that fits makes the number that is dialled`() throws {
    let rules = try ["+8610=", "+86=0", "+=00"].map { try #require(DialRule($0)) }
    #expect(DialRule.apply(rules, to: "+861055550199") == "55550199")
    #expect(DialRule.apply(rules, to: "+862055550199") == "02055550199")
    #expect(DialRule.apply(rules, to: "+41445550199") == "0041445550199")
    #expect(DialRule.apply([], to: "+861055550199") == "+861055550199")
    for wrong in ["", "+86", "=0", "+86=abc", "86w=0"] { #expect(DialRule(wrong) == nil, "\(wrong)") }
  }
}
