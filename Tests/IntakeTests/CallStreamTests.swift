import Channels
import ContactModel
import Foundation
import Store
import Telephony
import Testing

@testable import Intake

/// Whatever a switch tells, and wherever its stream ends, every contact is of a call, and none outlives the switch.
@Suite(.timeLimit(.minutes(5))) struct CallStreamTests {
  private struct Undo: Error {}
  private static let limits = AMIDecoder.Limits(messageBytes: 16_384, headers: 128)

  private func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: callFixtures.appendingPathComponent("\(name).ami")))
  }

  private func take(_ updates: [TelephonyUpdate], _ house: CallHouse, _ transaction: WriteTransaction) throws {
    for update in updates {
      let payload: KeptArrival.Payload
      switch update {
      case .call(let event): payload = .call(event)
      case .presence(let presence): payload = .presence(presence)
      }
      let now = house.now
      let kept = KeptArrival(
        id: ArrivalID(at: now), channel: CallTests.channel, wireKey: nil, reference: nil, from: nil, to: nil,
        receivedAt: now, storedAt: now, late: false, payload: payload, raw: .inline([]), attachments: [])
      let following = try house.intake.following(kept)
      _ = try transaction.keep(kept, payload: try following.payload(), settled: now)
      try following.apply(to: transaction)
    }
  }

  /// The switch turns out to have been restarted: nothing of it may be left open.
  private func end(
    _ interpreter: AsteriskInterpreter, _ house: CallHouse, _ transaction: WriteTransaction
  ) throws -> [String] {
    var faults: [String] = []
    var end = interpreter
    try take(end.restarted() + end.finish(), house, transaction)
    if end.book.legCount > 0 { faults.append("\(end.book.legCount) legs") }
    for (what, sql) in [
      ("open contacts", "SELECT count(*) AS n FROM contact WHERE state <> 'closed'"),
      ("open calls", "SELECT count(*) AS n FROM call_state WHERE is_open = 1"),
      ("open legs", "SELECT count(*) AS n FROM leg WHERE to_at IS NULL"),
      (
        "contacts without a call",
        "SELECT count(*) AS n FROM contact c WHERE NOT EXISTS (SELECT 1 FROM call_state s WHERE s.contact_id = c.contact_id)"
      ),
    ] {
      let count = try transaction.one(sql).count("n")
      if count > 0 { faults.append("\(count) \(what)") }
    }
    return faults
  }

  @Test(arguments: [
    "recorded/16-restricted-user", "laboratory/attended_atxfer_local", "laboratory/command_conference",
    "laboratory/pickup_queue", "laboratory/re-1",
  ])
  func `wherever a recording ends, no contact is left without its end`(name: String) async throws {
    let house = try await CallHouse()
    let bytes = try bytes(name)
    let faults = try await house.database.write { transaction in
      var faults: [String] = []
      var decoder = AMIDecoder()
      var interpreter = AsteriskInterpreter(server: "main")
      var messages: [[TelephonyUpdate]] = []
      var ends: [AsteriskInterpreter] = []
      decoder.feed(bytes) { message in
        let updates = interpreter.interpret(message)
        guard !updates.isEmpty else { return }
        messages.append(updates)
        ends.append(interpreter)
      }
      #expect(messages.count > 3)
      for (updates, interpreter) in zip(messages, ends) {
        try take(updates, house, transaction)
        do {
          try transaction.savepoint {
            faults += try end(interpreter, house, transaction)
            throw Undo()
          }
        } catch is Undo {}
      }
      return faults
    }
    #expect(faults == [])
    await house.close()
  }

  /// `LIAISON_MUTATIONS` for more or fewer.
  @Test func `ten thousand mutated recordings leave no contact without its call or its end`() async throws {
    let rounds = ProcessInfo.processInfo.environment["LIAISON_MUTATIONS"].flatMap(Int.init) ?? 10_000
    let house = try await CallHouse()
    let sources = try [
      "recorded/16-restricted-user", "laboratory/pickup_direct", "laboratory/consult_external",
      "laboratory/command_cancel",
    ].map(bytes)
    let (applied, faults) = try await house.database.write { transaction in
      var random = Mixer(state: 20_261_124)
      var applied = 0
      var faults: [String] = []
      for round in 0..<rounds {
        var bytes = sources[round % sources.count]
        // A stretch of the recording, so that ten thousand of them are read in the time a test may take.
        let start = Int(random.next() % UInt64(bytes.count))
        bytes = Array(bytes[start..<min(bytes.count, start + 4_000)])
        for _ in 0..<(1 + random.next() % 12) where !bytes.isEmpty {
          let at = Int(random.next() % UInt64(bytes.count))
          switch random.next() % 5 {
          case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
          case 1: bytes.remove(at: at)
          case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
          case 3: bytes.removeSubrange(at..<min(bytes.count, at + 200))
          default: bytes.insert(contentsOf: bytes[max(0, at - 300)..<at], at: at)
          }
        }
        var decoder = AMIDecoder(limits: Self.limits)
        var interpreter = AsteriskInterpreter(server: "main")
        var updates: [TelephonyUpdate] = []
        decoder.feed(bytes) { updates += interpreter.interpret($0) }
        guard !updates.isEmpty else { continue }
        applied += updates.count
        do {
          try transaction.savepoint {
            try take(updates, house, transaction)
            faults += try end(interpreter, house, transaction).map { "\(round): \($0)" }
            throw Undo()
          }
        } catch is Undo {}
      }
      return (applied, faults)
    }
    #expect(applied > rounds && faults.isEmpty, "\(applied) events, \(faults.prefix(5))")
    await house.close()
  }

  @Test(arguments: callSessions)
  func `a call is kept in the words of a call encoded whole`(name: String) async throws {
    let house = try await CallHouse()
    for event in try inspectSession(name).events {
      let now = house.now
      let kept = KeptArrival(
        id: ArrivalID(at: now), channel: CallTests.channel, wireKey: nil, reference: nil, from: nil, to: nil,
        receivedAt: now, storedAt: now, late: false, payload: .call(event), raw: .inline([]), attachments: [])
      #expect(try house.intake.following(kept).payload() == kept.payload.json())
    }
    await house.close()
  }
}
