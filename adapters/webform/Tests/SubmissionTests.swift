import Channels
import Foundation
import Testing

@testable import WebForms

@Suite struct SubmissionTests {
  @Test func `a page filled in gives a reference number and an arrival`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      let answer = await desk.post(
        FormDesk.good + [("_token", token), ("topic", "blame"), ("_reply_by", "phone"), ("identity_tail", "123x")],
        ["User-Agent": "Test/1"])
      #expect(answer.status == 202)
      let arrival = try #require(desk.arrivals.first)
      let message = try #require(desk.messages.first)
      let reference = try #require(answer.reference)
      #expect(ReferenceNumber(reference) != nil)
      #expect(arrival.channel == ContactChannel(kind: .webform, name: "forms"))
      #expect(arrival.from == Address(kind: .phone, canonical: "+8613800138000", raw: "138 0013 8000"))
      #expect(arrival.receivedAt == desk.now)
      #expect(arrival.wireKey?.hasPrefix("note:token.") == true)
      #expect(String(decoding: arrival.raw, as: UTF8.self).hasPrefix("POST /forms/en/note HTTP/1.1\r\n"))
      #expect(message.subject == "A note")
      #expect(
        message.text == "Name: 王小明\nTelephone: 138 0013 8000\nIdentity: 123X\nTopic: Blame\nWords: \n您好\n第二行 <b>&")
      #expect(message.language == "en")
      #expect(message.categoryCode == "complaint")
      #expect(
        message.claims == [
          Claim(.name, "王小明", source: .field), Claim(.phone, "+8613800138000", source: .field),
          Claim(.identityNoTail, "123X", source: .field),
        ])
      #expect(
        message.consents == [
          .init(purpose: "personal_data", granted: true, noticeVersion: "7"),
          .init(purpose: "news", granted: false, noticeVersion: "2"),
        ])
      let properties = Dictionary(uniqueKeysWithValues: message.properties.map { ($0.key, $0.value) })
      #expect(properties["form"] == "note" && properties["form_version"] == "1" && properties["reply_by"] == "phone")
      #expect(properties["client_address"] == "192.0.2.1" && properties["user_agent"] == "Test/1")
      #expect(properties["filled_in_ms"] == "20000" && properties["field.topic"] == "blame")
      #expect(await desk.adapter.health.lastArrivalAt == desk.now)
    }
  }

  @Test func `a double click is one request with one reference number, also as multipart`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      let first = await desk.post(FormDesk.good + [("_token", token)])
      let parts = (FormDesk.good + [("_token", token)]).map {
        ("Content-Disposition: form-data; name=\"\($0.0)\"", Array($0.1.utf8))
      }
      for boundary in ["one", "two"] {
        let again = await desk.send(
          "POST", "forms/en/note", ["Content-Type": "multipart/form-data; boundary=\(boundary)"],
          body: FormDesk.multipart(parts, boundary: boundary))
        #expect(again.status == 202)
        #expect(again.reference == first.reference)
      }
      #expect(first.reference != nil && desk.arrivals.count == 1)
    }
  }

  @Test func `who goes back, changes a word and sends again loses nothing`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      let first = await desk.post(FormDesk.good + [("_token", token)])
      var changed = FormDesk.good
      changed[2].1 += "!"
      let second = await desk.post(changed + [("_token", token)])
      #expect(desk.arrivals.count == 2)
      #expect(first.reference != second.reference)
    }
  }

  @Test func `wrong fields are told with everything typed kept`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token("forms/zh/note")
      let answer = await desk.post(
        [("name", "<b>\"王\""), ("phone", "abc"), ("topic", "blame"), ("words", ""), ("_token", token)],
        to: "forms/zh/note")
      #expect(answer.status == 422 && desk.arrivals.isEmpty)
      #expect(answer.text.contains("value=\"&lt;b&gt;&quot;王&quot;\"") && answer.text.contains("value=\"abc\""))
      #expect(answer.text.contains("value=\"blame\" selected") && answer.text.contains("请填写有效的电话号码"))
      #expect(answer.text.contains("href=\"#f-words\"") && answer.text.contains("href=\"#f-_consent.personal_data\""))
      #expect(answer.text.contains(token), "the same token, so that the corrected form is the same submission")
      #expect(desk.refusals.map(\.code) == [.malformed])
    }
  }

  @Test func `files are sniffed, bounded and kept whole`() async throws {
    try await FormDesk().open { desk in
      func post(_ files: [(String, [UInt8])]) async -> FormResponse {
        let token = await desk.token()
        let fields = (FormDesk.good + [("_token", token)]).map {
          ("Content-Disposition: form-data; name=\"\($0.0)\"", Array($0.1.utf8))
        }
        let parts = files.map {
          ("Content-Disposition: form-data; name=\"papers\"; filename=\"\($0.0)\"\r\nContent-Type: image/png", $0.1)
        }
        return await desk.send(
          "POST", "forms/en/note", ["Content-Type": "multipart/form-data; boundary=XyZ"],
          body: FormDesk.multipart(fields + parts))
      }
      let pdf = Array("%PDF-1.7 x".utf8)
      #expect(await post([("../../a.pdf", pdf), ("b.txt", Array("hi".utf8))]).status == 202)
      #expect(
        desk.messages[0].attachments == [
          .init(name: "a.pdf", mediaType: "application/pdf", bytes: pdf),
          .init(name: "b.txt", mediaType: "text/plain", bytes: Array("hi".utf8)),
        ])
      let executable = await post([("a.png", Array("MZ\u{0}\u{0}".utf8))])
      #expect(executable.status == 422 && executable.text.contains("choose your files again"))
      #expect(await post([("a.pdf", pdf + [UInt8](repeating: 32, count: 1_000))]).status == 422)
      #expect(await post([("a", pdf), ("b", pdf), ("c", pdf)]).status == 422)
      #expect(await post([("a.pdf", [])]).status == 422)
      #expect(desk.arrivals.count == 1)
    }
  }

  @Test func `machines and forgers are told precisely and keep nothing`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      func code(_ extra: [(String, String)]) async -> (Int, String) {
        let answer = await desk.post(FormDesk.good + extra)
        return (answer.status, answer.text.between("name=\"_token\" value=\"", "\"") ?? "")
      }
      #expect(await code([("_token", token), ("website_url", "http://spam")]) == (422, token))
      let forged = await code([("_token", (token.hasPrefix("A") ? "B" : "A") + token.dropFirst())])
      #expect(forged.0 == 422 && forged.1 != token && forged.1.utf8.count == 72)
      #expect(await code([]).0 == 422)
      let other = SubmissionToken(version: 1, at: desk.now).text(form: "other", key: FormDesk.key)
      #expect(await code([("_token", other)]).0 == 422)
      let future = SubmissionToken(version: 1, at: desk.now + .seconds(3_600)).text(form: "note", key: FormDesk.key)
      #expect(await code([("_token", future)]).0 == 422)
      let quick = SubmissionToken(version: 1, at: desk.now).text(form: "note", key: FormDesk.key)
      #expect(await code([("_token", quick)]) == (422, quick))
      desk.pass(.seconds(2))
      #expect(await code([("_token", quick)]).0 == 202, "a quick person presses once more")
      desk.pass(.seconds(24 * 3_600))
      let expired = await code([("_token", token)])
      #expect(expired.0 == 422)
      desk.pass(.seconds(3))
      #expect(await code([("_token", expired.1)]).0 == 202, "the new page's token works")
      #expect(desk.arrivals.count == 2)
      #expect(desk.refusals.map(\.code) == Array(repeating: .notPermitted, count: 7))
    }
  }

  @Test func `a version that was current when the page was made is taken and recorded`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      desk.serve([FormDesk.small(), FormDesk.small(version: 2)])
      #expect(await desk.post(FormDesk.good + [("_token", token)]).status == 202)
      let newer = await desk.token()
      #expect(await desk.post(FormDesk.good + [("_token", newer)]).status == 202)
      let versions = desk.messages.map { $0.properties.first { $0.key == "form_version" }?.value }
      #expect(versions == ["1", "2"])
      desk.serve([FormDesk.small(version: 3)])
      let late = await desk.post(FormDesk.good + [("_token", newer)])
      #expect(late.status == 422 && late.text.contains("The form has changed") && late.text.contains("王小明"))
      desk.serve([])
      #expect(await desk.get("forms/en/note").status == 404)
      #expect(await desk.adapter.health.state == .degraded)
    }
  }

  @Test func `what accept says is what the wire is told`() async throws {
    try await FormDesk().open { desk in
      let token = await desk.token()
      let post = FormDesk.good + [("_token", token)]
      desk.answerNext(.busy(retryAfter: .milliseconds(2_500)))
      let busy = await desk.post(post)
      #expect(busy.status == 503 && busy.header("retry-after") == "3" && busy.text.contains("王小明"))
      for (code, status) in [(Refusal.Code.tooLarge, 413), (.rateExceeded, 429), (.malformed, 422), (.loop, 422)] {
        desk.answerNext(.refused(Refusal(code: code, text: "because")))
        #expect(await desk.post(post).status == status)
      }
      #expect(await desk.post(post).status == 202)
    }
  }

  @Test func `outside run a post is told to come back, and pages are served`() async {
    let desk = FormDesk()
    let token = await desk.token()
    let answer = await desk.post(FormDesk.good + [("_token", token)])
    #expect(answer.status == 503 && answer.header("retry-after") != nil)
    #expect(await desk.get("forms/en/note").status == 200)
  }
}

@Suite struct JSONClientTests {
  static let good = """
    {"fields": {"name": "王", "words": "x"}, "consents": {"personal_data": true}}
    """

  @Test func `a client with its own key is answered in JSON, the same for a repeat`() async throws {
    try await FormDesk().open { desk in
      let first = await desk.post(json: Self.good, ["Idempotency-Key": "\"8e03978e-40d5\""])
      #expect(first.status == 202 && first.header("content-type") == "application/json")
      let reference = try #require(first.text.between("\"reference\":\"", "\""))
      #expect(ReferenceNumber(reference) != nil)
      let again = await desk.post(json: Self.good, to: "forms/zh/note", ["Idempotency-Key": "8e03978e-40d5"])
      #expect(again.text == first.text)
      #expect(desk.arrivals.count == 1)
      #expect(desk.arrivals[0].wireKey?.hasPrefix("note:key.8e03978e-40d5:") == true)
      // Somebody else's guess at the key with other words is no way to the first one's reference number.
      let other = Self.good.replacing("\"x\"", with: "\"y\"")
      #expect(await desk.post(json: other, ["Idempotency-Key": "8e03978e-40d5"]).text != first.text)
    }
  }

  @Test func `a client can take definition and token from us`() async throws {
    try await FormDesk().open { desk in
      let answer = await desk.get("forms/en/note", ["Accept": "application/json"])
      #expect(answer.text.contains("\"label\":\"Name\"") && answer.text.contains("\"reply_channels\":[\"phone\""))
      let token = try #require(answer.text.between("\"token\":\"", "\""))
      desk.pass(.seconds(5))
      let json = Self.good.dropLast() + ", \"token\": \"\(token)\", \"version\": 1}"
      #expect(await desk.post(json: String(json)).status == 202)
    }
  }

  @Test(arguments: [
    ("{\"fields\": {\"name\": \"\"}}", 422, "invalid"), ("{\"fields\": {\"nmae\": \"x\"}}", 422, "unknown_field"),
    ("{", 400, "malformed"), ("{\"fields\": {}, \"version\": 9}", 422, "invalid"), ("[]", 400, "malformed"),
    ("{\"fields\": {\"papers\": \"x\"}}", 422, "format"),
  ])
  func `what is wrong is a problem with pointers`(_ json: String, _ status: Int, _ word: String) async throws {
    try await FormDesk().open { desk in
      let answer = await desk.post(json: json, ["Idempotency-Key": "k"])
      #expect(answer.status == status && answer.text.contains(word))
      #expect(answer.header("content-type") == "application/problem+json")
      #expect(desk.refusals.map(\.code) == [.malformed])
    }
  }

  @Test func `neither token nor key is a problem of its own`() async throws {
    try await FormDesk().open { desk in
      let answer = await desk.post(json: Self.good)
      #expect(answer.status == 400 && answer.text.contains("urn:liaison:problem:forms:key-missing"))
      #expect(await desk.post(json: Self.good, ["Idempotency-Key": "a b"]).status == 400)
      #expect(await desk.post(json: Self.good, ["Idempotency-Key": String(repeating: "k", count: 200)]).status == 400)
    }
  }
}

@Suite struct ListenerTests {
  @Test func `bodies that cannot be taken get a precise answer`() async throws {
    try await FormDesk([FormDesk.small()], { $0.maximumBodyBytes = 1_024 }).open { desk in
      let form = "application/x-www-form-urlencoded"
      for (type, body, cut, status) in [
        (form, [UInt8](repeating: 97, count: 1_025), false, 413), (form, [], true, 413),
        ("text/plain", [97], false, 415),
        ("", [], false, 415), (form + "; charset=gbk", [97], false, 415), (form, Array("a=%ff".utf8), false, 400),
        (form, [0x61, 0x3d, 0xff], false, 400), ("multipart/form-data", [97], false, 400),
        ("multipart/form-data; boundary=x", Array("--x\r\n".utf8), false, 400),
        ("application/json", [0xff], false, 400),
      ] as [(String, [UInt8], Bool, Int)] {
        let answer = await desk.send("POST", "forms/en/note", ["Content-Type": type], body: body, cut: cut)
        #expect(answer.status == status, "\(type) \(body.count)")
        #expect(!answer.body.isEmpty)
      }
      #expect(
        await desk.send("POST", "forms/en/note", ["Content-Type": form, "Content-Encoding": "gzip"], body: [1]).status
          == 415)
      #expect(desk.refusals.count == 11 && desk.arrivals.isEmpty)
    }
  }

  @Test func `any garbage gets an answer`() async throws {
    try await FormDesk().open { desk in
      var generator = SeededGenerator(state: 7)
      let types = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "application/json", "x", ""]
      for _ in 0..<2_000 {
        let body = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        let type = types.randomElement(using: &generator) ?? ""
        let path =
          ["forms", "forms/en/note", "forms/status", "", "forms/note/embed.js", "forms/\u{0}/../x"]
          .randomElement(using: &generator) ?? ""
        let method = ["GET", "POST", "OPTIONS", "HEAD", "BREW"].randomElement(using: &generator) ?? ""
        let answer = await desk.send(method, path, ["Content-Type": type, "Accept-Language": type], body: body)
        #expect((200..<600).contains(answer.status))
      }
    }
  }

  @Test func `the rate of one client is limited, another's is not`() async throws {
    try await FormDesk([FormDesk.small()], { $0.postRate = RatePolicy(burst: 3, interval: .seconds(10)) }).open {
      desk in
      let token = await desk.token()
      let post = FormDesk.good + [("_token", token)]
      for _ in 0..<3 { #expect(await desk.post(post).status == 202) }
      let over = await desk.post(post)
      #expect(over.status == 429 && over.header("retry-after") == "10")
      #expect(await desk.post(post, from: "192.0.2.2").status == 202)
      desk.pass(.seconds(10))
      #expect(await desk.post(post).status == 202)
      #expect(desk.refusals.map(\.code) == [.rateExceeded])
    }
  }

  @Test func `only allowed origins may post and embed`() async throws {
    try await FormDesk().open { desk in
      let post = FormDesk.good + [("_token", await desk.token())]
      #expect(await desk.post(post, ["Origin": "https://evil.example"]).status == 403)
      #expect(await desk.post(post, ["Origin": "null"]).status == 403)
      #expect(await desk.post(post, ["Origin": "https://forms.bank.example"]).status == 202)
      let allowed = await desk.post(post, ["Origin": FormDesk.origin])
      #expect(allowed.status == 202 && allowed.header("access-control-allow-origin") == FormDesk.origin)
      let ask = ["Access-Control-Request-Method": "POST", "Origin": FormDesk.origin]
      let yes = await desk.send("OPTIONS", "forms/en/note", ask)
      #expect(yes.status == 204 && yes.header("access-control-allow-origin") == FormDesk.origin)
      #expect(yes.header("access-control-allow-headers")?.contains("Idempotency-Key") == true)
      let no = await desk.send("OPTIONS", "forms/en/note", ask.merging(["Origin": "https://evil.example"]) { $1 })
      #expect(no.status == 403 && no.header("access-control-allow-origin") == nil)
      #expect(await desk.send("OPTIONS", "forms/en/note").header("allow") == "GET, HEAD, POST, OPTIONS")
    }
  }

  @Test func `pages bear their security headers`() async {
    let page = await FormDesk().get("forms/en/note")
    let policy = page.header("content-security-policy") ?? ""
    #expect(
      policy.contains("default-src 'none'") && !policy.contains("script-src") && policy.contains("form-action 'self'"))
    #expect(policy.contains("frame-ancestors 'self' https://www.bank.example"))
    #expect(page.header("x-content-type-options") == "nosniff" && page.header("cache-control") == "no-store")
    #expect(page.header("referrer-policy") == "same-origin" && page.header("content-language") == "en")
    let framed = await FormDesk().get("forms/en/note", query: "a=1&embed=1")
    #expect(framed.header("content-security-policy")?.contains("script-src 'self'") == true)
    #expect(framed.text.contains("frame.js") && !framed.text.contains("<footer"))
    let alone = FormDesk([FormDesk.small()]) { $0.allowedOrigins = [] }
    #expect(await alone.get("forms/en/note").header("x-frame-options") == "SAMEORIGIN")
  }

  @Test func `paths choose the language, else the header does`() async {
    let desk = FormDesk()
    #expect(await desk.get("forms/note", ["Accept-Language": "en-GB"]).text.contains("lang=\"en\""))
    #expect(await desk.get("forms/note").text.contains("<html lang=\"zh-Hans\">"))
    #expect(await desk.get("forms/zh/note", ["Accept-Language": "en"]).text.contains("<html lang=\"zh-Hans\">"))
    #expect(await desk.get("forms").text.contains("href=\"/forms/zh/note\""))
    #expect(await desk.get("forms/en").text.contains("href=\"/forms/en/note\""))
    #expect(await desk.get("forms/style.css").header("content-type")?.hasPrefix("text/css") == true)
    #expect(await desk.get("forms/note/embed.js").text.contains("/forms"))
    #expect(await desk.send("HEAD", "forms/en/note").body.isEmpty)
    for path in ["", "other", "forms/en/nothing", "forms/note/other.js", "forms/a/b/c", "forms/nothing/embed.js"] {
      #expect(await desk.get(path).status == 404, "\(path)")
    }
    let wrong = await desk.send("DELETE", "forms/en/note")
    #expect(wrong.status == 405 && wrong.header("allow") == "GET, HEAD, POST, OPTIONS")
    #expect(await desk.send("POST", "forms/style.css").status == 405)
  }
}

@Suite struct StatusPageTests {
  static let reference = ReferenceNumber(for: ArrivalID(at: Timestamp(seconds: 1)), key: FormDesk.key).description

  private func ask(_ desk: FormDesk, _ reference: String, _ contact: String) async -> FormResponse {
    await desk.post([("reference", reference), ("contact", contact)], to: "forms/en/status")
  }

  @Test func `reference and contact point show the state`() async {
    let desk = FormDesk()
    desk.tell("In work <b>", for: Self.reference, "+8613800138000")
    let answer = await ask(desk, Self.reference.lowercased(), "138 0013 8000")
    #expect(answer.status == 200 && answer.text.contains("In work &lt;b&gt;"))
    #expect(desk.inquiries.first?.contact.canonical == "+8613800138000")
    #expect(desk.waitedUntil == [desk.now + .milliseconds(400)])
  }

  @Test func `a guesser sees the same for an unknown number and for another's contact point`() async {
    let desk = FormDesk()
    desk.tell("In work", for: Self.reference, "+8613800138000")
    let unknown = ReferenceNumber(for: ArrivalID(at: Timestamp(seconds: 2)), key: FormDesk.key).description
    let wrongContact = await ask(desk, Self.reference, "a@b.cn")
    let wrongNumber = await ask(desk, unknown, "a@b.cn")
    #expect(wrongContact.status == wrongNumber.status && wrongContact.headers == wrongNumber.headers)
    #expect(wrongContact.text == wrongNumber.text.replacing(unknown, with: Self.reference))
    #expect(desk.waitedUntil.count == 2 && desk.inquiries.count == 2)
  }

  @Test func `a slip is told without asking anybody`() async {
    let desk = FormDesk()
    let answer = await ask(desk, "7K3M-Q9XW-2PX", "none")
    #expect(answer.status == 422 && desk.inquiries.isEmpty)
    #expect(answer.text.contains("aria-describedby=\"f-reference-error\""))
    #expect(answer.text.contains("aria-describedby=\"f-contact-error\""))
  }

  @Test func `guesses are limited per client and per number`() async {
    let desk = FormDesk([FormDesk.small()]) { $0.statusRate = RatePolicy(burst: 3, interval: .seconds(60)) }
    var statuses: [Int] = []
    for _ in 0..<4 { statuses.append(await ask(desk, Self.reference, "a@b.cn").status) }
    for client in 1...2 {
      let post = FormDesk.encoded([("reference", Self.reference), ("contact", "c\(client)@b.cn")])
      statuses.append(
        await desk.send(
          "POST", "forms/status", ["Content-Type": "application/x-www-form-urlencoded"], body: post,
          from: "198.51.100.\(client)"
        ).status)
    }
    #expect(statuses == [200, 200, 200, 429, 429, 429])
    #expect(desk.inquiries.count == 3)
  }

  @Test func `a program asks in JSON`() async {
    let desk = FormDesk()
    desk.tell("In work", for: Self.reference, "a@b.cn")
    let json = "{\"fields\": {\"reference\": \"\(Self.reference)\", \"contact\": \"A@b.cn\"}}"
    let answer = await desk.post(json: json, to: "forms/en/status")
    #expect(answer.status == 200 && answer.text == "{\"reference\":\"\(Self.reference)\",\"state\":\"In work\"}")
    let none = await desk.post(json: json.replacing("A@b.cn", with: "c@b.cn"), to: "forms/en/status")
    #expect(none.status == 404)
    #expect(await desk.post(json: "{\"fields\": {}}", to: "forms/en/status").status == 422)
  }
}
