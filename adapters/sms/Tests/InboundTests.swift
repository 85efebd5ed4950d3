import Channels
import Testing

@testable import SMS

@Suite struct ReceiptTests {
  private let reader = ReceiptReader()

  private func read(
    _ text: String, esm: UInt8 = 0x04, coding: TextCoding = .gsm7, parameters: [SMPPParameter] = []
  ) -> ReceiptReading? {
    let octets = coding == .ucs2 ? UTF16Text.encode(text) : text.latin1Octets
    return reader.read(esmClass: esm, octets: octets, coding: coding, parameters: parameters)
  }

  @Test(arguments: [
    "id:9C3F00A3 sub:001 dlvrd:001 submit date:2611222106 done date:2611222107 stat:DELIVRD err:000 text:hello",
    "ID: 9C3F00A3 SUB: 001 DLVRD: 001 SUBMIT DATE: 2611222106 DONE DATE: 2611222107 STAT: DELIVRD ERR: 000 TEXT: hello",
    "id:9C3F00A3\nsub:001\ndlvrd:001\nsubmit date:2611222106\ndone date:2611222107\nstat:DELIVRD\nerr:000\ntext:hello",
    "id:9C3F00A3 submit date:2611222106 done date:2611222107 stat:DELIVRD err:000",
    "stat:DELIVRD done date:261122210700 id:9C3F00A3",
    "id:9C3F00A3, stat:DELIVRD; done_date:20261122210700",
    "id :9C3F00A3 stat :delivrd done date :2611222107",
    "id:9C3F00A3 stat:DELIVRD done date:2611222107 text:id:OTHER stat:UNDELIV err:999",
    "id:9C3F00A3\u{0} sub:001 stat:DELIVRD done date:2611222107 Text:\u{0}",
  ])
  func `a receipt is read in whatever way a vendor writes it`(text: String) throws {
    let receipt = try #require(read(text))
    #expect(receipt.rawID == "9C3F00A3")
    #expect(receipt.state == .delivered)
    #expect(receipt.doneAt == Timestamp("2026-11-22T21:07:00Z"))
  }

  @Test func `what the customer wrote is not read as the receipt`() throws {
    let receipt = try #require(
      read(
        "id:1 sub:001 dlvrd:000 submit date:2611222106 done date:2611222106 stat:UNDELIV err:012 text:id:2 stat:DELIVRD"
      ))
    #expect(receipt.rawID == "1")
    #expect(receipt.state == .undelivered)
    #expect(receipt.errorCode == "012")
    #expect(receipt.text?.text == "id:2 stat:DELIVRD")
  }

  @Test func `a receipt in UCS-2 is read, one in the payload too`() throws {
    #expect(read("id:abc stat:EXPIRED done date:2611222106", coding: .ucs2)?.state == .expired)
    let pdu = SMPPPDU(
      .deliverSM, sequence: 1,
      body: .message(SMPPMessage(source: SMPPAddress("1"), destination: SMPPAddress("2"), esmClass: 4)),
      parameters: [SMPPParameter(.messagePayload, Array("id:77 stat:REJECTD err:3".utf8))])
    guard case .receipt(let receipt, _)? = pdu.inbound(on: TextProfile(), receipts: reader) else {
      return #expect(Bool(false), "receipt")
    }
    #expect(receipt.rawID == "77")
    #expect(receipt.state == .undelivered)
  }

  @Test func `ids keep characters that GSM would turn`() {
    #expect(read("id:a_b@c$d stat:DELIVRD")?.rawID == "a_b@c$d")
  }

  @Test(arguments: [
    ("ENROUTE", DeliveryReport.State.pending), ("ACCEPTD", .pending), ("DELIVRD", .delivered), ("EXPIRED", .expired),
    ("DELETED", .undelivered), ("UNDELIV", .undelivered), ("REJECTD", .undelivered), ("UNKNOWN", .unknown),
    ("GOBBLED", .pending),
  ])
  func `only final words are final, and an unknown one decides nothing`(word: String, state: DeliveryReport.State) {
    #expect(read("id:1 stat:\(word)")?.state == state)
  }

  @Test func `an intermediate notification is never final`() {
    #expect(read("id:1 stat:DELIVRD", esm: 0x20)?.state == .pending)
    #expect(read("id:1 stat:DELIVRD", esm: 0x20)?.intermediate == true)
    #expect(read("id:1 stat:DELIVRD", esm: 0x24)?.state == .pending)
  }

  @Test func `a parameter that contradicts the text is believed, unless only the text is final`() throws {
    let failed = try #require(read("id:1 stat:DELIVRD", parameters: [SMPPParameter(.messageState, [5])]))
    #expect(failed.state == .undelivered)
    #expect(failed.agreement == .contradict)
    let delivered = try #require(read("id:1 stat:DELIVRD", parameters: [SMPPParameter(.messageState, [1])]))
    #expect(delivered.state == .delivered)
    #expect(delivered.agreement == .contradict)
    let both = try #require(
      read("id:255 stat:DELIVRD", parameters: [SMPPParameter(.receiptedMessageID, Array("FF\0".utf8))]))
    #expect(both.rawID == "255")
    #expect(both.otherID == "FF")
  }

  @Test func `a receipt without its mark is recognised, a customer's message that quotes one is not`() {
    #expect(
      read("id:1 sub:001 dlvrd:001 submit date:2611222106 done date:2611222106 stat:DELIVRD err:000 text:", esm: 0)?
        .state
        == .delivered)
    #expect(
      read("x", esm: 0, parameters: [SMPPParameter(.receiptedMessageID, [0x31]), SMPPParameter(.messageState, [2])])?
        .rawID == "1")
    #expect(read("I got id:1 stat:DELIVRD done date:2611222106, what is it?", esm: 0) == nil)
    #expect(read("id:1 stat:DELIVRD", esm: 0) == nil)
    #expect(read("hello", esm: 0) == nil)
  }

  @Test func `an unknown CMPP word is a failure of its vendor, and some condemn the number`() {
    let report = CMPPReport(
      messageID: 1, state: "MK:0001", submitTime: "2611222126", doneTime: "2611222126", destination: "13800138000")
    let receipt = reader.read(report)
    #expect(receipt.state == .undelivered)
    #expect(receipt.errorCode == "MK:0001")
    #expect(receipt.rawID == "0000000000000001")
  }

  // MARK: Ids

  @Test(arguments: [
    (MessageIDRule(), "9C3F00A3", "9c3f00a3", true), (MessageIDRule(), "000000009c3f00a2", "9C3F00A2", true),
    (MessageIDRule(), "9C3F00A3", "2621374627", false), (MessageIDRule(), "255", "ff", false),
    (MessageIDRule(), "264AC8F4-fc6f-4de5-b778-19a34a71ea34", "264ac8f4-fc6f-4de5-b778-19a34a71ea34", true),
    (MessageIDRule(), "0", "0000", true), (MessageIDRule(), " 12 ", "12\u{0}", true),
    (MessageIDRule(responses: .hexadecimal, receipts: .decimal), "9C3F00A3", "2621374627", true),
    (MessageIDRule(responses: .hexadecimal, receipts: .decimal), "10", "16", true),
    (MessageIDRule(responses: .hexadecimal, receipts: .decimal), "10", "10", false),
    (MessageIDRule(responses: .decimal, receipts: .hexadecimal), "2621374627", "000000009C3F00A3", true),
    (
      MessageIDRule(responses: .hexadecimal, receipts: .decimal), "ffffffffffffffffffff", "1208925819614629174706175",
      true
    ),
  ])
  func `ids match as the link says and never by a guess`(
    rule: MessageIDRule, response: String, receipt: String, same: Bool
  ) {
    #expect(rule.pair(response, receipt) == same)
  }
}

@Suite struct ReassemblerTests {
  private func key(_ from: String = "a", reference: UInt16 = 1, wide: Bool = false, total: UInt8 = 2)
    -> Reassembler<Int>.Key
  {
    .init(
      link: "l", from: from, to: "b",
      Concatenation(reference: reference, wide: wide, total: total, number: 1) ?? Concatenation(
        reference: 0, wide: false, total: 1, number: 1)!)
  }
  private func part(_ number: Int, _ text: String, _ coding: TextCoding = .gsm7) -> Reassembler<Int>.Part {
    .init(number: number, octets: coding.encode(text) ?? [], coding: coding, token: number)
  }

  @Test func `parts in any order make the text`() {
    var reassembler = Reassembler<Int>()
    for (index, number) in [3, 1, 2].enumerated() {
      let (outcome, _) = reassembler.add(part(number, "\(number)"), to: key(total: 3), at: .zero)
      if index < 2 {
        guard case .waiting = outcome else { return #expect(Bool(false), "waiting") }
      } else {
        guard case .complete(let whole) = outcome else { return #expect(Bool(false), "complete") }
        #expect(whole.text.text == "123")
        #expect(whole.missing.isEmpty)
      }
    }
    #expect(reassembler.waitingMessages == 0)
  }

  @Test func `a pair and an escape cut between parts are whole again`() {
    var reassembler = Reassembler<Int>()
    let emoji = TextCoding.ucs2.encode("中😀国") ?? []
    _ = reassembler.add(
      .init(number: 1, octets: [0xfe, 0xff] + emoji[..<4], coding: .ucs2, token: 1), to: key(), at: .zero)
    let (outcome, _) = reassembler.add(
      .init(number: 2, octets: [0xfe, 0xff] + emoji[4...], coding: .ucs2, token: 2), to: key(), at: .zero)
    guard case .complete(let whole) = outcome else { return #expect(Bool(false), "complete") }
    #expect(whole.text.text == "中😀国")
    #expect(whole.text.defects == 0)
    _ = reassembler.add(.init(number: 1, octets: [0x41, 0x1b], coding: .gsm7, token: 1), to: key("c"), at: .zero)
    let (second, _) = reassembler.add(
      .init(number: 2, octets: [0x65], coding: .gsm7, token: 2), to: key("c"), at: .zero)
    guard case .complete(let escaped) = second else { return #expect(Bool(false), "complete") }
    #expect(escaped.text.text == "A€")
  }

  @Test func `another sender, another width and another total are other messages`() {
    var reassembler = Reassembler<Int>()
    for other in [key("a"), key("x"), key(reference: 2), key(wide: true), key(total: 3)] {
      let (outcome, _) = reassembler.add(part(1, "1"), to: other, at: .zero)
      guard case .waiting = outcome else { return #expect(Bool(false), "waiting") }
    }
    #expect(reassembler.waitingMessages == 5)
  }

  @Test func `a missing part surfaces after the limit, marked`() {
    var reassembler = Reassembler<Int>(timeLimit: .seconds(10))
    _ = reassembler.add(part(3, "three"), to: key(total: 4), at: .seconds(1))
    _ = reassembler.add(part(1, "one"), to: key(total: 4), at: .seconds(5))
    #expect(reassembler.expire(at: .seconds(10.9)).isEmpty)
    let out = reassembler.expire(at: .seconds(11))
    #expect(out.count == 1)
    #expect(out.first?.missing == [2, 4])
    #expect(out.first?.text.text == "one…three…")
    #expect(reassembler.expire(at: .seconds(100)).isEmpty)
  }

  @Test func `the same reference hours later begins a new message`() {
    var reassembler = Reassembler<Int>(timeLimit: .seconds(1_800))
    _ = reassembler.add(part(1, "old"), to: key(), at: .zero)
    let (outcome, givenUp) = reassembler.add(part(1, "new"), to: key(), at: .seconds(60))
    guard case .waiting = outcome else { return #expect(Bool(false), "waiting") }
    #expect(givenUp.first?.text.text == "old…")
    _ = reassembler.expire(at: .seconds(7_200))
    let (later, none) = reassembler.add(part(2, "later"), to: key(), at: .seconds(7_200))
    guard case .waiting = later else { return #expect(Bool(false), "waiting") }
    #expect(none.isEmpty)
  }

  @Test func `a repeated part is a duplicate before and after its message is kept`() {
    var reassembler = Reassembler<Int>()
    _ = reassembler.add(part(1, "1"), to: key(), at: .zero)
    guard case .duplicate(of: 1) = reassembler.add(part(1, "1"), to: key(), at: .zero).outcome else {
      return #expect(Bool(false), "duplicate")
    }
    guard case .complete(let whole) = reassembler.add(part(2, "2"), to: key(), at: .zero).outcome else {
      return #expect(Bool(false), "complete")
    }
    reassembler.remember(whole, at: .zero)
    guard case .duplicate(of: nil) = reassembler.add(part(2, "2"), to: key(), at: .seconds(1)).outcome else {
      return #expect(Bool(false), "duplicate")
    }
    guard case .waiting = reassembler.add(part(2, "other"), to: key(), at: .seconds(2)).outcome else {
      return #expect(Bool(false), "waiting")
    }
  }

  @Test func `no more are waited for than the bound, the oldest surfaces`() {
    var reassembler = Reassembler<Int>(maximumMessages: 3)
    var givenUp: [Reassembler<Int>.Whole] = []
    for index in 0..<5 { givenUp += reassembler.add(part(1, "\(index)"), to: key("s\(index)"), at: .zero).givenUp }
    #expect(reassembler.waitingMessages == 3)
    #expect(givenUp.map(\.key.from) == ["s0", "s1"])
  }

  @Test(arguments: [
    ([DeliveryReport.State.delivered], 2, DeliveryReport.State.pending), ([.delivered, .delivered], 2, .delivered),
    ([.delivered, .undelivered], 2, .undelivered), ([.undelivered], 3, .undelivered),
    ([.expired, .delivered], 2, .expired),
    ([.unknown, .delivered], 2, .unknown), ([], 1, .pending),
  ])
  func `several parts have one state`(finals: [DeliveryReport.State], parts: Int, whole: DeliveryReport.State) {
    #expect(PartStates.whole(finals, parts: parts) == whole)
  }
}

@Suite struct NumberAndKeywordTests {
  @Test(arguments: [
    ("13800138000", Address.Kind.phone, "+8613800138000"), ("8613800138000", .phone, "+8613800138000"),
    ("008613800138000", .phone, "+8613800138000"), ("+86 138-0013-8000", .phone, "+8613800138000"),
    ("0086 138-0013-8000", .phone, "+8613800138000"), ("１３８００１３８０００", .phone, "+8613800138000"),
    ("013800138000", .phone, "+8613800138000"), ("02162345678", .phone, "+862162345678"),
    ("01082345678", .phone, "+861082345678"), ("075582345678", .phone, "+8675582345678"),
    ("+14155552671", .phone, "+14155552671"), ("0014155552671", .phone, "+14155552671"),
    ("447700900123", .phone, "+447700900123"), ("95588", .shortCode, "95588"), ("+8695588", .shortCode, "95588"),
    ("10086", .shortCode, "10086"), ("12345", .shortCode, "12345"), ("110", .shortCode, "110"),
    ("1065795588", .shortCode, "1065795588"), ("106909558801", .shortCode, "106909558801"),
    ("861069095588", .shortCode, "1069095588"), ("9558801", .shortCode, "9558801"),
    ("4008895588", .phone, "+864008895588"),
    ("MyBank", .shortCode, "mybank"), ("12", .phone, "12"), ("", .other, ""), ("+", .shortCode, "+"),
    ("12345678901234567890123", .phone, "12345678901234567890123"),
  ])
  func `a number gets its one form, service codes first`(raw: String, kind: Address.Kind, canonical: String) {
    let address = NumberPlan.china.address(raw)
    #expect(address.kind == kind)
    #expect(address.canonical == canonical)
    #expect(address.raw == raw)
  }

  @Test func `what the wire marks as international is so`() {
    #expect(NumberPlan.china.address("12025550123", international: true).canonical == "+12025550123")
    // Ranges nobody has assigned yet.
    for raw in ["+86 100 1000 0001", "008610010000001", "8610010000001"] {
      #expect(NumberPlan.china.address(raw).canonical == "+8610010000001")
    }
    #expect(NumberPlan.china.address("8610010000001", international: true).canonical == "+8610010000001")
    #expect(NumberPlan.china.address("8695588", international: true).canonical == "95588")
    #expect(NumberPlan.china.address("8613800138000", international: true).canonical == "+8613800138000")
    #expect(NumberPlan.china.address("4915112345678", international: true).canonical == "+4915112345678")
  }

  @Test(arguments: [
    "T", "TD", "td", " r\r\n", "R", "N", "Ｔ", "ｔｄ", "退订", "退订。", "拒收", "取消", "STOP", "stop!", "【退订】", "Stop All",
    "\u{feff}TD",
  ])
  func `a stop word is one as the whole message`(text: String) {
    #expect(KeywordTable().meaning(of: text)?.meaning == .optOut)
  }

  @Test(arguments: [
    "T+0", "T+0 什么意思", "TDX", "请退订我的信用卡", "取消转账怎么办", "Stop calling me about T", "", "   ", "R T",
    String(repeating: "T", count: 500),
  ])
  func `a stop word within a message is none`(text: String) {
    #expect(KeywordTable().meaning(of: text) == nil)
  }

  @Test func `words back in and commands are told apart`() {
    let table = KeywordTable(commands: ["ye": "balance", "余额": "balance", "T": "never"])
    #expect(table.meaning(of: "START")?.meaning == .optIn)
    #expect(table.meaning(of: "恢复")?.meaning == .optIn)
    #expect(table.meaning(of: " Ye ")?.meaning == .command(category: "balance"))
    #expect(
      table.meaning(of: "余额？")?.meaning == nil || table.meaning(of: "余额?")?.meaning == .command(category: "balance"))
    #expect(table.meaning(of: "T")?.meaning == .optOut)
  }
}
