import API
import Testing

@Suite struct JSONTests {
  @Test func `what is read is written again unchanged`() throws {
    let text = #"{"a":[1,-2,3.5,true,false,null,"客户 \"x\"\n\u0001"],"b":{"c":{}},"😀":[]}"#
    #expect(String(decoding: try JSONReader.read(Array(text.utf8)).encoded, as: UTF8.self) == text)
  }

  @Test(arguments: [
    ("", JSONReader.Failure.Code.syntax), ("{", .syntax), ("[1,]", .syntax), ("{\"a\":1,}", .syntax), ("01", .syntax),
    ("+1", .syntax), ("1.", .syntax), (".5", .syntax), ("nul", .syntax), ("[1] 2", .syntax), ("'a'", .syntax),
    ("\"a\nb\"", .syntax), ("\"\\x\"", .syntax), ("\"\\ud800\"", .encoding), ("\"\\udc00\"", .encoding),
    ("\"\\u0000\"", .nul), ("{\"a\":1,\"a\":2}", .duplicate), ("1e999", .numberRange), ("NaN", .syntax), ("-", .syntax),
  ])
  func `what is not strict JSON is refused`(text: String, code: JSONReader.Failure.Code) {
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read(Array(text.utf8)) }
    do { _ = try JSONReader.read(Array(text.utf8)) } catch { #expect(error.code == code) }
  }

  @Test func `invalid UTF-8 and too deep nesting are refused`() {
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read([0x22, 0xff, 0x22]) }
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read([0x22, 0x5c, 0x6e, 0xc3, 0x22]) }
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: JSONReader.Failure.self) { try JSONReader.read(Array(deep.utf8)) }
  }

  @Test func `no prefix of a text is taken for a text, and none crashes`() {
    let text = Array(#"{"a":[1,2.5e3,"x\u4e2d\ud83d\ude00"],"b":null}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: JSONReader.Failure.self) { try JSONReader.read(Array(text[..<length])) }
    }
  }

  @Test func `random bytes never crash the reader`() {
    var generator = SystemRandomNumberGenerator()
    let alphabet = Array(#"{}[]",:\u0123456789eE+-.truefalsn "#.utf8)
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in
        Bool.random(using: &generator) ? alphabet.randomElement(using: &generator)! : UInt8.random(in: 0...255)
      }
      if let value = try? JSONReader.read(bytes) {  // most are refused, which is what they should be
        #expect((try? JSONReader.read(value.encoded)) != nil)
      }
    }
  }

  @Test func `everything wrong with a body is told at once, with its pointer`() throws {
    let schema = Schema.input(
      .required("name", .string(minimum: 1, maximum: 5)), .required("level", .word(["a", "b"])),
      .optional("age", .integer(minimum: 0, maximum: 150)), .optional("at", .time),
      .optional("phones", .array(.string(format: .e164), maximum: 2)), .optional("note", .nullable(.string())))
    let body = try JSONReader.read(
      Array(#"{"name":"","level":"c","age":200,"at":"yesterday","phones":["+861","x"],"a/b~c":1,"note":null}"#.utf8))
    let found = schema.violations(of: body).map { ($0.place, $0.code) }
    func at(_ pointer: String, _ code: Violation.Code) -> Bool {
      found.contains { $0.0 == .body(pointer: pointer) && $0.1 == code }
    }
    #expect(at("#/name", .tooShort) && at("#/level", .notAllowed) && at("#/age", .outOfRange) && at("#/at", .format))
    #expect(at("#/phones/0", .format) && at("#/phones/1", .format) && at("#/a~1b~0c", .unknownMember))
    #expect(found.count == 7)
    #expect(schema.violations(of: []).map(\.code) == [.type])
    #expect(schema.violations(of: ["level": "a"]).map(\.code) == [.required])
  }

  @Test func `a body of ten thousand faults gets a bounded answer`() {
    let body = JSONValue.array((0..<10_000).map { _ in .integer(1) })
    #expect(Schema.array(.string()).violations(of: body).count == Schema.maximumViolations)
  }

  @Test func `identifiers are checked by prefix and digits`() {
    let schema = Schema.id("contact")
    #expect(schema.violations(of: "contact_01jdf3w6a2e9v8x7y6z5t4s3r2").isEmpty)
    for wrong in [
      "contact_81jdf3w6a2e9v8x7y6z5t4s3r2", "contact_01jdf3w6a2e9v8x7y6z5t4s3rl", "arrival_01jdf3w6a2e9v8x7y6z5t4s3r2",
      "contact_",
    ] {
      #expect(schema.violations(of: .string(wrong)).map(\.code) == [.format])
    }
  }
}
