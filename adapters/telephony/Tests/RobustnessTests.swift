import Channels
import Telephony
import Testing

@Suite struct RobustnessTests {
  @Test(arguments: ["recorded/16-restricted-user", "laboratory/attended_atxfer_local", "laboratory/re-1"])
  func `every prefix of a recording is taken, and no call outlives the switch`(name: String) throws {
    let bytes = try Fixtures.bytes("\(name).ami")
    var decoder = AMIDecoder()
    var interpreter = AsteriskInterpreter(server: "s")
    var known: Set<String> = []
    var open: Set<String> = []
    for byte in bytes {
      var changed = false
      decoder.feed(CollectionOfOne(byte)) { message in
        for update in interpreter.interpret(message) { note(update, &known, &open) }
        changed = true
      }
      guard changed else { continue }
      // The stream ends here, and the switch turns out to have been restarted.
      var end = interpreter
      var left = open
      for update in end.restarted() + end.finish() { note(update, &known, &left) }
      #expect(left.isEmpty)
      #expect(end.book.legCount == 0)
    }
    #expect(!known.isEmpty)
  }

  @Test func `ten thousand mutated recordings harm nothing`() throws {
    let sources = try ["recorded/16-restricted-user", "laboratory/pickup_direct", "laboratory/consult_external"]
      .map { try Fixtures.bytes("\($0).ami") }
    var random = SplitMix(state: 20_261_124)
    var messages = 0
    for round in 0..<10_000 {
      var bytes = sources[round % sources.count]
      // A stretch of the recording, so that ten thousand of them are read in the time a test may take.
      let start = Int(random.next() % UInt64(bytes.count))
      bytes = Array(bytes[start..<min(bytes.count, start + 4_000)])
      for _ in 0..<(1 + random.next() % 12) {
        let at = Int(random.next() % UInt64(max(1, bytes.count)))
        guard at < bytes.count else { continue }
        switch random.next() % 5 {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
        case 3: bytes.removeSubrange(at..<min(bytes.count, at + 200))
        default: bytes.insert(contentsOf: bytes[max(0, at - 300)..<at], at: at)
        }
      }
      var decoder = AMIDecoder(limits: .init(messageBytes: 16_384, headers: 128))
      var interpreter = AsteriskInterpreter(server: "s")
      var known: Set<String> = []
      var open: Set<String> = []
      decoder.feed(bytes) { message in
        for update in interpreter.interpret(message) { note(update, &known, &open) }
      }
      for update in interpreter.restarted() + interpreter.finish() { note(update, &known, &open) }
      messages += decoder.messages
      #expect(open.isEmpty)
      #expect(interpreter.book.legCount == 0 && interpreter.book.liveCalls.isEmpty)
    }
    #expect(messages > 20_000)
  }

  @Test func `a call offered without end keeps a bounded state`() {
    var events = [incoming("1.1")]
    for round in 0..<2_000 {
      let id = "2.\(round)"
      let agent = channel("PJSIP/1001-\(String(round + 0x100000, radix: 16))", id, in: "1.1", state: 0)
      let dest = channel(
        "PJSIP/1001-\(String(round + 0x100000, radix: 16))", id, in: "1.1", state: 0, prefix: "Dest")
      let caller = channel("PJSIP/trunk-00000001", "1.1", in: "1.1")
      events.append(("Newchannel", agent))
      events.append(("DialBegin", caller + dest))
      events.append(("DialEnd", caller + dest + [("DialStatus", "NOANSWER")]))
      events.append(("Hangup", agent + [("Cause", "19")]))
    }
    var inspection = TelephonyInspection()
    inspection.add(session(events))
    #expect(inspection.states.first?.offers.count == 200)
    #expect((inspection.states.first?.legs.count ?? 0) <= 200)
    #expect(inspection.liveLegs == 1)
  }

  private func note(_ update: TelephonyUpdate, _ known: inout Set<String>, _ open: inout Set<String>) {
    guard case .call(let event) = update else { return }
    known.insert(event.call.callID)
    if event.call.ended == nil { open.insert(event.call.callID) } else { open.remove(event.call.callID) }
  }
}

private struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
