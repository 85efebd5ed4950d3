import Foundation
import Testing

@testable import WebForms

@Suite struct SubmittedBodyTests {
  static let bounds = FormBodyBounds()

  static func multipart(_ body: [UInt8], boundary: String = "XyZ") -> Result<SubmittedBody, BodyFault> {
    do throws(BodyFault) {
      return .success(try SubmittedBody.multipart(body, boundary: boundary, bounds))
    } catch {
      return .failure(error)
    }
  }

  static let sample = FormDesk.multipart([
    ("Content-Disposition: form-data; name=\"name\"", Array("王小明".utf8)),
    ("content-disposition: form-data; name=\"empty\"", []),
    (
      "Content-Disposition: form-data; name=\"papers\"; filename=\"C:\\\\x\\\\身份证 %22a%22.pdf\"\r\nContent-Type: application/pdf",
      Array("%PDF-1.7\r\n--XyY\r\n\r\n--Xy".utf8) + [0, 255, 13]
    ),
    ("Content-Disposition: form-data; name=\"papers\"; filename=\"\"\r\nContent-Type: application/octet-stream", []),
    ("Content-Disposition: form-data; name=\"papers\"; filename=\"b\"; filename*=UTF-8''%e8%ba%ab.png", [1, 2, 3]),
  ])

  @Test func `parts are read as sent`() throws {
    let body = try Self.multipart(Self.sample).get()
    #expect(body.values == ["name": ["王小明"], "empty": [""]])
    let files = try #require(body.files["papers"])
    #expect(files.map(\.name) == ["身份证 \"a\".pdf", "身.png"])
    #expect(files[0].bytes == Array("%PDF-1.7\r\n--XyY\r\n\r\n--Xy".utf8) + [0, 255, 13])
    #expect(files[0].declaredType == "application/pdf")
    #expect(files[1].bytes == [1, 2, 3])
  }

  @Test func `a preamble, an epilogue, padding and bare line feeds are borne`() throws {
    let text = "preamble\r\n--XyZ \t\nContent-Disposition: form-data; name=a\n\n1\r\n--XyZ--\r\nepilogue"
    #expect(try Self.multipart(Array(text.utf8)).get().values == ["a": ["1"]])
  }

  @Test func `every prefix that lacks the closing delimiter is refused`() {
    // The last four bytes are the two hyphens and a line break of the closing delimiter.
    for length in 0..<Self.sample.count - 2 {
      guard case .failure = Self.multipart(Array(Self.sample[..<length])) else {
        Issue.record("a prefix of \(length) bytes was taken")
        continue
      }
    }
    #expect(throws: Never.self) { try Self.multipart(Self.sample).get() }
  }

  @Test func `ten thousand mutations end in a body within bounds or a fault`() {
    var generator = SeededGenerator(state: 20_261_124)
    var taken = 0
    for _ in 0..<10_000 {
      var body = Self.sample
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let at = Int.random(in: 0..<body.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: body[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: body.remove(at: at)
        case 2: body.insert([13, 10, 45, 0, 34, 92, 59][Int.random(in: 0..<7, using: &generator)], at: at)
        case 3: body.removeSubrange(at..<min(body.count, at + Int.random(in: 0...40, using: &generator)))
        default: body.insert(contentsOf: Array("\r\n--XyZ".utf8), at: at)
        }
        if body.isEmpty { body = [45] }
      }
      if case .success(let read) = Self.multipart(body) {
        taken += 1
        let bytes = read.values.values.joined().reduce(0) { $0 + $1.utf8.count }
        let files = read.files.values.joined().reduce(0) { $0 + $1.bytes.count }
        #expect(bytes + files <= body.count)
      }
    }
    #expect(taken > 100, "the mutations are too rough to test what follows a good start")
  }

  @Test(arguments: [
    ("--XyZ\r\nContent-Type: text/plain\r\n\r\n1\r\n--XyZ--", "Content-Disposition"),
    ("--XyZ\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--XyZ--", "not form-data"),
    ("--XyZ\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XyZ--", "not form-data"),
    ("--XyZ\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n1\r\n--XyZ--", "4.7"),
    ("--XyZ\r\nno colon\r\n\r\n1\r\n--XyZ--", "colon"), ("--XyZjunk\r\n\r\n1\r\n--XyZ--", "follows a boundary"),
    ("hello", "does not occur"), ("", "does not occur"),
  ])
  func `a part that is wrong is told`(_ text: String, _ reason: String) {
    guard case .failure(.malformed(let said)) = Self.multipart(Array(text.utf8)) else {
      Issue.record("taken")
      return
    }
    #expect(said.contains(reason))
  }

  @Test func `bounds hold for parts, files, names, values and headers`() {
    func part(_ header: String, _ content: String = "1") -> (String, [UInt8]) { (header, Array(content.utf8)) }
    let field = "Content-Disposition: form-data; name=\"a\""
    let bodies = [
      FormDesk.multipart(Array(repeating: part(field), count: 121)),
      FormDesk.multipart(Array(repeating: part(field + "; filename=\"x\""), count: 11)),
      FormDesk.multipart([part("Content-Disposition: form-data; name=\"\(String(repeating: "n", count: 101))\"")]),
      FormDesk.multipart([part(field, String(repeating: "v", count: 80_001))]),
      FormDesk.multipart([part(field + "\r\nX: " + String(repeating: "h", count: 5_000))]),
      FormDesk.multipart([part(field + "; filename=\"\(String(repeating: "f", count: 401))\"")]),
    ]
    for body in bodies {
      guard case .failure(.tooLarge) = Self.multipart(body) else {
        Issue.record("taken")
        continue
      }
    }
    guard case .failure(.malformed) = Self.multipart([], boundary: ""),
      case .failure(.malformed) = Self.multipart([], boundary: String(repeating: "b", count: 71))
    else {
      Issue.record("a bad boundary was taken")
      return
    }
  }

  @Test func `invalid UTF-8 in a value is a fault, in a file it is not`() {
    let field = "Content-Disposition: form-data; name=\"a\""
    #expect(Self.multipart(FormDesk.multipart([(field, [0xff])])) == .failure(.notUTF8("the value of a")))
    guard case .success = Self.multipart(FormDesk.multipart([(field + "; filename=x", [0xff])])) else {
      Issue.record("refused")
      return
    }
  }

  @Test(arguments: [
    ("a=1&b=2&a=3", ["a": ["1", "3"], "b": ["2"]]), ("a=%E4%BD%A0+x&b", ["a": ["你 x"], "b": [""]]),
    ("&&=&a==", ["": [""], "a": ["="]]), ("a=%zz%4", ["a": ["%zz%4"]]), ("", [:]),
  ])
  func `pairs are read as the URL Standard says`(_ text: String, _ values: [String: [String]]) throws {
    #expect(try SubmittedBody.urlEncoded(Array(text.utf8), Self.bounds).values == values)
  }

  @Test(arguments: ["a=%ff", "%c3%28=1"])
  func `pairs that are no UTF-8 are a fault`(_ text: String) {
    #expect(throws: BodyFault.self) { try SubmittedBody.urlEncoded(Array(text.utf8), Self.bounds) }
  }

  @Test func `a JSON body is read into the names the page uses`() throws {
    let json = """
      {"fields": {"name": "王", "amount": 12.5, "count": 3, "flag": true, "none": null,
        "papers": [{"name": "a.txt", "content": "aGk="}]},
       "consents": {"personal_data": true, "news": false}, "reply_by": "email", "version": 2, "token": "t"}
      """
    let body = try SubmittedBody.json(Array(json.utf8), Self.bounds)
    #expect(
      body.values == [
        "name": ["王"], "amount": ["12.5"], "count": ["3"], "flag": ["true"], "_consent.personal_data": ["yes"],
        "_reply_by": ["email"], "_version": ["2"], "_token": ["t"],
      ])
    #expect(body.files["papers"]?.first?.bytes == Array("hi".utf8))
  }

  @Test(arguments: [
    "", "[]", "1", "{", "{\"fields\": []}", "{\"fields\": {\"a\": [1]}}", "{\"fields\": {\"a\": {\"content\": \"%\"}}}",
    "{\"consents\": {\"a\": \"yes\"}}", "{\"other\": 1}", "{\"version\": \"x\"}",
    String(repeating: "[", count: 100_000), "{\"fields\": " + String(repeating: "{\"a\":", count: 5_000),
  ])
  func `a JSON body that is wrong is a fault`(_ text: String) {
    #expect(throws: BodyFault.self) { try SubmittedBody.json(Array(text.utf8), Self.bounds) }
  }

  @Test(arguments: [
    ("text/html; charset=UTF-8", "text/html", "UTF-8"),
    ("multipart/form-data; boundary=\"a;b\"", "multipart/form-data", nil),
    ("Text/HTML", "text/html", nil), ("text", nil, nil), ("text/", nil, nil), ("a/b/c", nil, nil), ("", nil, nil),
  ])
  func `a media type is read`(_ text: String, _ essence: String?, _ charset: String?) {
    let type = MediaType(text)
    #expect(type?.essence == essence)
    #expect(type?.parameters["charset"] == charset)
    if text.contains("boundary") { #expect(type?.parameters["boundary"] == "a;b") }
  }
}
