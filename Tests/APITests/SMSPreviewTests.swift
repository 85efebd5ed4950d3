import API
import Channels
import Testing

private let agent = Principal(id: "t1", roles: [.agent], agent: "1001")

@Suite struct SMSPreviewTests {
  private let token = AccessToken()
  private let resources = SMSPreviewResources(channels: [
    (
      "sms",
      { text, link, withLine in
        switch (text, link) {
        case (_, "other"?): return .noSuchLink
        case ("long", _): return .tooLong
        case ("☠", _): return .notEncodable
        default:
          return .cost(
            TextCost(
              link: link ?? "one", text: "【B】" + text + (withLine ? "R" : ""), encoding: "ucs2", units: 5, segments: 1,
              maximumSegments: 2, unitsPerSegment: 70, unitsLeft: 65, signature: .init(text: "【B】", placement: "start"),
              outsideAlphabet: ["【", "】"]))
        }
      }
    )
  ])

  @Test func `a preview tells encoding, segments, what is left and the signature, as described`() async throws {
    let routes = resources.routes
    let site = Site(
      routes: routes + [Description.serving(version: "1", routes: routes)],
      authentication: .bearer { [token] in token.digest == $0 ? TokenRecord(principal: agent) : nil })
    try await serve(site) { served in
      let conformance = try await Conformance(served)
      let headers = [("content-type", "application/json"), ("authorization", "Bearer \(token.text)")]
      for (body, status) in [
        (#"{"text":"hi"}"#, 200), (#"{"text":"hi","channel":"sms","link":"one","opt_out_line":true}"#, 200),
        (#"{"text":"hi","channel":"nosuch"}"#, 422), (#"{"text":"hi","link":"other"}"#, 422),
        (#"{"text":"long"}"#, 422), (#"{"text":"☠"}"#, 422), (#"{}"#, 422), (#"{"text":1}"#, 422),
        (#"{"text":"hi","opt_out_line":"yes"}"#, 422), (#"{"text":"hi","to":"+8613800138000"}"#, 422), ("{", 400),
      ] {
        let answer = try await served.send("POST", "/v1/sms-preview", headers: headers, body: body)
        #expect(answer.status == status, "\(body): \(answer.text)")
        #expect(conformance.faults("POST", template: "/v1/sms-preview", answer) == [], "\(body)")
      }
      let answer = try await served.send(
        "POST", "/v1/sms-preview", headers: headers, body: #"{"text":"hi","opt_out_line":true}"#)
      #expect(try answer.json["text"] == "【B】hiR")
      #expect(try answer.json["fits"] == true)
      #expect(try answer.json["units_left"] == 65)
    }
  }

  @Test func `a bank without an SMS channel says so`() async throws {
    let site = Site(
      routes: SMSPreviewResources(channels: []).routes,
      authentication: .bearer { [token] in token.digest == $0 ? TokenRecord(principal: agent) : nil })
    try await serve(site) { served in
      let answer = try await served.send(
        "POST", "/v1/sms-preview",
        headers: [("content-type", "application/json"), ("authorization", "Bearer \(token.text)")],
        body: #"{"text":"hi"}"#)
      #expect(answer.status == 409)
    }
  }
}
