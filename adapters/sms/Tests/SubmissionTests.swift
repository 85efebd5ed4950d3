import Channels
import Demo
import Testing

@testable import SMS

/// Short messages out, through the whole adapter.
@Suite(.timeLimit(.minutes(1))) struct SubmissionTests {
  @Test func `a text is submitted, and its receipt comes back to the attempt`() async throws {
    try await withSMSC(.init(reportsAfter: .milliseconds(20), mixesBases: true)) { smsc, port in
      let link = smppLink(port: port, ids: MessageIDRule(responses: .hexadecimal, receipts: .decimal))
      try await withAdapter([link]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch("您的验证码为123456")
        guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "accepted")
        }
        #expect(receipt.peerID == "one/2621374627")
        #expect(receipt.parts == 1)
        #expect(receipt.partIDs.isEmpty)
        await intake.wait { !$0.isEmpty }
        let report = try #require(intake.reports.first)
        #expect(report.state == .delivered)
        #expect(report.wireIdentity == dispatch.wireIdentity)
        #expect(report.peerID == receipt.peerID)
        #expect(report.recipient?.canonical == "+8613800138000")
        #expect(intake.arrivals.first?.wireKey?.hasPrefix("one/receipt/2621374627/") == true)
        let sent = try #require(smsc.submitted.first)
        #expect(sent.message.source.digits == "95588")
        #expect(TextCoding.ucs2.decode(sent.message.octets).text == "您的验证码为123456")
      }
    }
  }

  @Test func `a long text has one state, delivered when all its parts are`() async throws {
    try await withSMSC(.init(reportsAfter: .milliseconds(20))) { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch(String(repeating: "a", count: 400))
        guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "accepted")
        }
        #expect(receipt.parts == 3)
        #expect(receipt.partIDs.count == 3)
        #expect(receipt.peerID == receipt.partIDs.first)
        await intake.wait { $0.count == 3 }
        #expect(Set(intake.reports.map(\.peerID)) == [receipt.peerID])
        #expect(intake.reports.map(\.state).sorted { $0.rawValue < $1.rawValue } == [.delivered, .pending, .pending])
        #expect(smsc.submitted.allSatisfy { $0.message.esmClass == 0x40 })
      }
    }
  }

  @Test func `a link cut with 50 unanswered submits leaves 50 in doubt and sends nothing twice`() async throws {
    try await withSMSC(.init(answers: false, reportsAfter: nil)) { smsc, port in
      try await withAdapter([smppLink(port: port, window: 100), smppLink("two", port: port, weight: 0)]) {
        adapter, intake in
        try await adapter.waitUntil(.up)
        let outcomes = await withTaskGroup(of: Submission.self) { group in
          for index in 0..<50 {
            group.addTask { await adapter.submit(makeDispatch("m\(index)", options: ["sms.link": "one"])) }
          }
          await smsc.waitForSubmits(50)
          smsc.cut()
          var out: [Submission] = []
          for await outcome in group { out.append(outcome) }
          return out
        }
        let inDoubt = outcomes.filter { if case .inDoubt(let fault) = $0 { fault.code == .connection } else { false } }
        #expect(inDoubt.count == 50)
        try await adapter.waitUntil(.up)
        #expect(smsc.count == 50)
        guard case .inDoubt = await adapter.inquire(about: makeDispatch("never sent")) else {
          return #expect(Bool(false), "in doubt")
        }
      }
    }
  }

  @Test func `an answer that comes after its time settles the doubt`() async throws {
    try await withSMSC(.init(answersAfter: .milliseconds(600), reportsAfter: nil)) { smsc, port in
      let settings = LinkSettings(window: 5, responseTimeout: .milliseconds(200), drainTimeout: .seconds(1))
      try await withAdapter([smppLink(port: port, settings: settings)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch("late")
        guard case .inDoubt(let fault) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "in doubt")
        }
        #expect(fault.code == .timeout)
        let deadline = ContinuousClock.now + .seconds(5)
        var found = await adapter.inquire(about: dispatch)
        while case .inDoubt = found, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(20))
          found = await adapter.inquire(about: dispatch)
        }
        guard case .accepted(let receipt) = found else { return #expect(Bool(false), "accepted") }
        #expect(receipt.peerID == "one/2621374627")
        #expect(smsc.count == 1)
      }
    }
  }

  @Test func `a rejected dispatch goes to the next link, one in doubt does not`() async throws {
    try await withSMSC(.init(refusesWith: .submitFailed)) { refusing, first in
      try await withSMSC(.init(reportsAfter: nil)) { taking, second in
        try await withAdapter([smppLink("one", port: first, weight: 10), smppLink("two", port: second, weight: 1)]) {
          adapter, _ in
          try await adapter.waitUntil(.up)
          guard case .accepted(let receipt) = await adapter.submit(makeDispatch("x")) else {
            return #expect(Bool(false), "accepted")
          }
          #expect(receipt.peerID?.hasPrefix("two/") == true)
          refusing.behave(.init(refusesWith: .invalidDestination))
          var rejected = 0
          for _ in 0..<10 {
            if case .rejected(let fault) = await adapter.submit(makeDispatch("x")) {
              #expect(fault.code == .badAddress)
              rejected += 1
            }
          }
          #expect(rejected >= 8, "a bad number is not tried elsewhere")
        }
      }
    }
  }

  @Test func `traffic is shared by weight, and goes to the other link when one is down`() async throws {
    try await withSMSC(.init(reportsAfter: nil)) { first, firstPort in
      try await withSMSC(.init(reportsAfter: nil)) { second, secondPort in
        try await withAdapter([
          smppLink("one", port: firstPort, weight: 3), smppLink("two", port: secondPort, weight: 1),
        ]) { adapter, _ in
          try await adapter.waitUntil(.up)
          for index in 0..<40 { _ = await adapter.submit(makeDispatch("\(index)")) }
          #expect(first.count == 30)
          #expect(second.count == 10)
          await first.stop()
          try await adapter.waitUntil(.degraded)
          for index in 0..<5 {
            guard case .accepted = await adapter.submit(makeDispatch("\(index)")) else {
              return #expect(Bool(false), "accepted")
            }
          }
          #expect(second.count == 15)
        }
      }
    }
  }

  @Test func `a throttling SMSC costs time and nothing else`() async throws {
    try await withSMSC(.init(submitsPerSecond: 10, reportsAfter: nil)) { smsc, port in
      let settings = LinkSettings(window: 20, throttlePause: .milliseconds(200), throttlePauseMaximum: .seconds(1))
      try await withAdapter([smppLink(port: port, settings: settings)]) { adapter, _ in
        try await adapter.waitUntil(.up)
        let accepted = await withTaskGroup(of: Bool.self) { group in
          for index in 0..<25 {
            group.addTask { if case .accepted = await adapter.submit(makeDispatch("\(index)")) { true } else { false } }
          }
          return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(accepted == 25)
        #expect(smsc.count == 25)
      }
    }
  }

  @Test func `transmitter and receiver binds make one link`() async throws {
    try await withSMSC(.init(reportsAfter: nil)) { smsc, port in
      try await withAdapter([smppLink(port: port, binds: [.transmitter, .receiver])]) { adapter, intake in
        try await adapter.waitUntil(.up)
        guard case .accepted = await adapter.submit(makeDispatch("x")) else { return #expect(Bool(false), "accepted") }
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "YE") == .ok)
        #expect(intake.texts == ["YE"])
      }
    }
  }

  @Test func `a refused login is told and not repeated in a storm`() async throws {
    try await withSMSC(.init(password: "other")) { _, port in
      try await withAdapter([smppLink(port: port)]) { adapter, _ in
        try await adapter.waitUntil(.down)
        let deadline = ContinuousClock.now + .seconds(5)
        while await adapter.health.text?.contains("ESME_RINVPASWD") != true, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(await adapter.health.text?.contains("ESME_RINVPASWD") == true)
        guard case .deferred(let fault, _) = await adapter.submit(makeDispatch("x")) else {
          return #expect(Bool(false), "deferred")
        }
        #expect(fault.code == .connection)
      }
    }
  }

  @Test func `what cannot be sent is rejected before it leaves`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, _ in
        try await adapter.waitUntil(.up)
        for (dispatch, code) in [
          (makeDispatch("x", to: "abc"), Fault.Code.badAddress), (makeDispatch("x", to: "+"), .badAddress),
          (makeDispatch(String(repeating: "a", count: 2_000)), .tooLarge),
          (makeDispatch("x", expires: Timestamp(seconds: 1)), .expired),
        ] {
          guard case .rejected(let fault) = await adapter.submit(dispatch) else {
            return #expect(Bool(false), "rejected")
          }
          #expect(fault.code == code)
        }
        #expect(smsc.count == 0)
      }
    }
  }

  // MARK: In

  @Test func `a submission of an earlier run is known by the reference of its receipt`() async throws {
    try await withSMSC(.init(answers: false, reportsAfter: nil)) { smsc, port in
      let short = makeDispatch("您的验证码为123456")
      let long = makeDispatch(String(repeating: "a", count: 400), to: "+8613800138001")
      try await withAdapter([smppLink(port: port)]) { adapter, _ in
        try await adapter.waitUntil(.up)
        async let first = adapter.submit(short)
        async let second = adapter.submit(long)
        await smsc.waitForSubmits(4)
        smsc.cut()
        for outcome in await [first, second] {
          guard case .inDoubt = outcome else { return #expect(Bool(false), "in doubt, not \(outcome)") }
        }
      }
      // Another process: it knows nothing but what the store tells it.
      try await withAdapter([smppLink("other", port: port), smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        for dispatch in [short, long] {
          guard case .inDoubt = await adapter.inquire(about: dispatch) else {
            return #expect(Bool(false), "in doubt")
          }
        }
        for submitted in smsc.submitted {
          let reference = try #require(submitted.parameters[.userMessageReference])
          let text = "id:\(submitted.id) stat:DELIVRD err:000 text:"
          let receipt = SMPPMessage(
            source: submitted.message.destination, destination: submitted.message.source, esmClass: 0x04,
            octets: Array(text.utf8))
          // Twice the same is the same.
          for _ in 0..<2 { #expect(await smsc.deliver(receipt, parameters: [reference]) == .ok) }
        }
        await intake.wait { $0.count >= 8 }
        let reports = intake.reports
        #expect(reports.filter { $0.wireIdentity == short.wireIdentity }.map(\.state) == [.delivered, .delivered])
        // One state for its three parts, and it is the last that makes it.
        #expect(
          reports.filter { $0.wireIdentity == long.wireIdentity }.map(\.state)
            == [.pending, .pending, .pending, .pending, .delivered, .delivered])
        #expect(smsc.count == 4)
      }
    }
  }
}
