import Channels
import Foundation
import Testing

@testable import SMS

@Suite struct CodecTests {
  /// Every frame of every recording, with its wire.
  private static let frames: [(wire: Inspection.Wire, frame: [UInt8])] = {
    var out: [(Inspection.Wire, [UInt8])] = []
    for name in Fixtures.recordings {
      guard let text = try? Fixtures.text("recordings/" + name) else { continue }
      let wire: Inspection.Wire = name.contains("cmpp") ? .cmpp : .smpp
      var splitters: [Recording.Side: FrameSplitter] = [:]
      for entry in Recording(text).entries {
        guard case .segment(let side, let octets) = entry.event else { continue }
        var splitter = splitters[side] ?? FrameSplitter(minimum: wire == .smpp ? 16 : 12)
        splitter.append(octets)
        while let frame = try? splitter.next() { out.append((wire, frame)) }
        splitters[side] = splitter
      }
    }
    return out
  }()

  @Test func `every recorded PDU is written again as it was`() throws {
    #expect(Self.frames.count > 300)
    for (wire, frame) in Self.frames {
      switch wire {
      case .smpp:
        let pdu = SMPPPDU(frame: frame)
        // smscsim writes a service_type longer than the field; we would not.
        if case .message(let message) = pdu.body, message.serviceType.utf8.count > 5 { continue }
        if pdu.defects.isEmpty { #expect(pdu.encoded == frame, "\(pdu.command.name)") }
      case .cmpp:
        let version: CMPPPDU.Version = CMPPPDU(frame: frame, version: .v30).defects.isEmpty ? .v30 : .v20
        let pdu = CMPPPDU(frame: frame, version: version)
        #expect(pdu.defects.isEmpty)
        let candidates = CMPPPDU.Version.allCases.map { pdu.encoded(version: $0) }
        #expect(candidates.contains(frame), "\(pdu.command.name)")
      }
    }
  }

  @Test func `every prefix of every PDU is read without harm`() {
    for (wire, frame) in Self.frames {
      for length in 0..<frame.count {
        let prefix = Array(frame[..<length])
        switch wire {
        case .smpp:
          let pdu = SMPPPDU(frame: prefix)
          _ = pdu.inbound(on: TextProfile(), receipts: ReceiptReader())
          _ = pdu.encoded
        case .cmpp:
          for version in CMPPPDU.Version.allCases {
            let pdu = CMPPPDU(frame: prefix, version: version)
            _ = pdu.inbound(receipts: ReceiptReader())
            _ = pdu.encoded(version: version)
          }
        }
      }
    }
  }

  @Test func `ten thousand mutations are read without harm`() {
    var generator = SeededGenerator(seed: 3)
    let numbers = NumberPlan.china
    let keywords = KeywordTable()
    for _ in 0..<10_000 {
      guard let (wire, original) = Self.frames.randomElement(using: &generator) else { return }
      var frame = original
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        guard !frame.isEmpty else { break }
        let place = Int.random(in: 0..<frame.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: frame[place] = UInt8.random(in: 0...255, using: &generator)
        case 1: frame.remove(at: place)
        case 2: frame.insert(UInt8.random(in: 0...255, using: &generator), at: place)
        default: frame[place] ^= 1 << UInt8.random(in: 0...7, using: &generator)
        }
      }
      var splitter = FrameSplitter(minimum: wire == .smpp ? 16 : 12)
      splitter.append(frame)
      while let framed = try? splitter.next() { #expect(framed.count <= frame.count) }
      let reading: InboundReading?
      switch wire {
      case .smpp: reading = SMPPPDU(frame: frame).inbound(on: TextProfile(), receipts: ReceiptReader())
      case .cmpp: reading = CMPPPDU(frame: frame, version: .v20).inbound(receipts: ReceiptReader())
      }
      if case .message(let short)? = reading {
        _ = numbers.address(short.from)
        _ = keywords.meaning(of: short.coding.decode(short.octets).text)
      }
    }
  }

  // MARK: Framing

  @Test(arguments: [1, 2, 7, 16, 33]) func `a stream cut anywhere gives the same PDUs`(size: Int) throws {
    let frames = Self.frames.filter { $0.wire == .smpp }.map(\.frame)
    var splitter = FrameSplitter(minimum: 16)
    var out: [[UInt8]] = []
    let stream = frames.flatMap { $0 }
    var index = 0
    while index < stream.count {
      splitter.append(stream[index..<min(index + size, stream.count)])
      index += size
      while let frame = try splitter.next() { out.append(frame) }
    }
    #expect(out == frames)
  }

  @Test(arguments: [UInt32(0), 12, 15, 65_537, 0x7fff_ffff, 0xffff_ffff])
  func `an absurd length is refused before anything is kept for it`(length: UInt32) {
    var splitter = FrameSplitter(minimum: 16)
    var head: [UInt8] = []
    head.append(integer: length)
    splitter.append(head)
    #expect(throws: FrameSplitter.BadLength(length: length)) { try splitter.next() }
  }

  // MARK: SMPP

  @Test func `unknown, empty and repeated parameters are kept`() {
    let parameters = [
      SMPPParameter(.init(rawValue: 0x1403), Array("vendor".utf8)), SMPPParameter(.init(rawValue: 0x3fff), []),
      SMPPParameter(.userMessageReference, [0x12, 0x34]), SMPPParameter(.userMessageReference, [0x56, 0x78]),
    ]
    let pdu = SMPPPDU(
      .submitSM, sequence: 1,
      body: .message(SMPPMessage(source: SMPPAddress("1"), destination: SMPPAddress("2"), octets: [0x41])),
      parameters: parameters)
    let back = SMPPPDU(frame: pdu.encoded)
    #expect(back == pdu)
    #expect(back.parameters[.userMessageReference]?.integer == 0x5678)
  }

  @Test func `a broken tail does not cost the message, a broken field is named`() {
    let sound = SMPPPDU(
      .deliverSM, sequence: 9,
      body: .message(SMPPMessage(source: SMPPAddress("1"), destination: SMPPAddress("2"), octets: [0x41, 0x42]))
    ).encoded
    let cutTail = SMPPPDU(frame: sound + [0x04, 0x24, 0x00, 0x09, 0x41])
    #expect(cutTail.defects == ["optional parameters: cut short, left over 0424000941"])
    guard case .message(let message) = cutTail.body else { return #expect(Bool(false), "message") }
    #expect(message.octets == [0x41, 0x42])
    var tooLong = sound
    tooLong[tooLong.count - 3] = 200
    let read = SMPPPDU(frame: tooLong)
    #expect(read.defects == ["sm_length: 200, but 2 octets follow"])
    guard case .unreadable(let reason)? = read.inbound(on: TextProfile(), receipts: ReceiptReader()) else {
      return #expect(Bool(false), "unreadable")
    }
    #expect(reason.code == "bad-length")
    let unterminated = SMPPPDU(frame: Array(sound[..<20]))
    #expect(unterminated.defects == ["source_addr: missing or unterminated"])
  }

  @Test func `responses without body, without NUL and with 64 octets of id are read`() {
    let empty = SMPPPDU(frame: [0, 0, 0, 16, 0x80, 0, 0, 4, 0, 0, 0, 0x58, 0, 0, 0, 6])
    #expect(empty.body == .empty)
    #expect(empty.status == .throttled)
    let open = SMPPPDU(frame: [0, 0, 0, 18, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 6, 0x61, 0x62])
    #expect(open.body == .messageID("ab"))
    let long = SMPPPDU(.submitSM.response, sequence: 1, body: .messageID(String(repeating: "f", count: 64)))
    #expect(SMPPPDU(frame: long.encoded) == long)
  }

  @Test func `a short relative validity is written as the specification wants it`() {
    #expect(SMPPDialect.relativeTime(.seconds(86_400)) == "000001000000000R")
    #expect(SMPPDialect.relativeTime(.seconds(3_725)) == "000000010205000R")
    #expect(SMPPDialect.relativeTime(.seconds(40 * 86_400)) == "000030000000000R")
  }

  // MARK: CMPP

  @Test func `the login proof is the recorded one, its leading zeros too`() {
    // 41-cmpp20 and 40-cmpp30 use the secret of the recordings; the rule is checked against the layout of the digest.
    let proof = CMPPAuthenticator.client(source: "900001", secret: "secret", timestamp: 101_000_000)
    #expect(proof.count == 16)
    #expect(proof != CMPPAuthenticator.client(source: "900001", secret: "secret", timestamp: 1_010_000_000))
  }

  @Test(arguments: [(60, 21), (71, 32)]) func `a report is read by its length`(length: Int, number: Int) {
    let report = CMPPReport(
      messageID: 0xbb55_a640_1234_0007, state: "DELIVRD", submitTime: "2611222126", doneTime: "2611222126",
      destination: "13800138000")
    let content = report.encoded(version: number == 32 ? .v30 : .v20)
    #expect(content.count == length)
    #expect(CMPPReport(content) == report)
    #expect(CMPPReport(Array(content.prefix(30))) == nil)
  }

  @Test func `a 2.0 answer on a 3.0 link is read by its length`() {
    let answer = CMPPPDU(.submit.response, sequence: 7, body: .result(messageID: 5, result: 8))
    #expect(CMPPPDU(frame: answer.encoded(version: .v20), version: .v30) == answer)
    var deliver = CMPPDeliver()
    deliver.messageID = 9
    deliver.source = "13900000000"
    deliver.content = [0x54, 0x44]
    let pdu = CMPPPDU(.deliver, sequence: 1, body: .deliver(deliver))
    for written in CMPPPDU.Version.allCases {
      for expected in CMPPPDU.Version.allCases {
        #expect(CMPPPDU(frame: pdu.encoded(version: written), version: expected) == pdu)
      }
    }
  }
}
