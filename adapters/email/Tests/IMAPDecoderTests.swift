import Testing

@testable import Email

@Suite struct IMAPDecoderTests {
  private let stream = Array(
    "* 12 FETCH (UID 7 BODY[] {11}\r\nSubject: x\n FLAGS (\\Seen))\r\n* SEARCH 3 5 7\r\nL1 OK done\r\n+ idling\r\n".utf8
  )

  @Test func `responses with literals come out whole, whatever the packets`() throws {
    for size in 1...stream.count {
      var decoder = IMAPDecoder(maximumLiteral: 100)
      var responses: [IMAPResponse] = []
      var index = 0
      while index < stream.count {
        decoder.append(stream[index..<min(index + size, stream.count)])
        index += size
        while let response = try decoder.next() { responses.append(response) }
      }
      #expect(
        responses.map(\.line) == [
          "* 12 FETCH (UID 7 BODY[] {} FLAGS (\\Seen))", "* SEARCH 3 5 7", "L1 OK done", "+ idling",
        ])
      #expect(responses[0].literals == [Array("Subject: x\n".utf8)])
      #expect(responses[0].number(after: "UID") == 7)
      #expect(responses[2].tag == "L1")
    }
  }
  @Test func `a literal or a line beyond its bound is an error, not memory`() {
    var decoder = IMAPDecoder(maximumLiteral: 100)
    decoder.append(Array("* 1 FETCH (BODY[] {101}\r\n".utf8))
    #expect(throws: IMAPDecoder.Failure.literalTooLarge) { _ = try decoder.next() }
    var other = IMAPDecoder(maximumLiteral: 100)
    other.append([UInt8](repeating: 0x61, count: 70_000))
    #expect(throws: IMAPDecoder.Failure.lineTooLong) { _ = try other.next() }
  }
  @Test func `no garbage makes the decoder fail otherwise`() {
    var generator = SplitMix(state: 7)
    for _ in 0..<2_000 {
      var decoder = IMAPDecoder(maximumLiteral: 64)
      var bytes = stream
      for _ in 0..<4 {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      decoder.append(bytes)
      do { while try decoder.next() != nil {} } catch { continue }
    }
  }
}
