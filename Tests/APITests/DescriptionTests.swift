import API
import Channels
import Foundation
import Testing

/// Holds live answers against the served description, as a client generated from it would.
struct Conformance {
  let document: JSONValue

  init(_ served: Served) async throws { document = try await served.get("/openapi.json").json }

  /// What is undocumented about an answer; empty if nothing.
  func faults(_ method: String, template: String, _ answer: Answer) -> [String] {
    guard let operation = document["paths"]?[template]?[method.lowercased()] else { return ["operation"] }
    guard let response = operation["responses"]?[String(answer.status)] else { return ["status \(answer.status)"] }
    let type = answer["content-type"]?.split(separator: ";").first.map(String.init)
    guard let content = response["content"] else { return answer.body.isEmpty ? [] : ["body of \(answer.status)"] }
    guard let type, let media = content[type] else { return ["media type \(type ?? "none") of \(answer.status)"] }
    guard type.hasSuffix("json"), let schema = media["schema"] else { return [] }
    guard let value = try? answer.json else { return ["no JSON"] }
    return check(value, schema, "#")
  }

  private func check(_ value: JSONValue, _ schema: JSONValue, _ at: String) -> [String] {
    if let reference = schema["$ref"]?.string {
      let name = String(reference.split(separator: "/").last ?? "")
      guard let named = document["components"]?["schemas"]?[name] else { return ["\(at): no \(name)"] }
      return check(value, named, at)
    }
    if let choices = schema["anyOf"]?.array {
      return choices.contains { check(value, $0, at).isEmpty } ? [] : ["\(at): none of anyOf"]
    }
    if let words = schema["enum"]?.array, !words.contains(value) { return ["\(at): not in enum"] }
    switch schema["type"]?.string {
    case "null": return value.isNull ? [] : ["\(at): not null"]
    case "boolean": return value.bool == nil ? ["\(at): no boolean"] : []
    case "integer":
      guard let integer = value.integer else { return ["\(at): no integer"] }
      return integer < schema["minimum"]?.integer ?? .min || integer > schema["maximum"]?.integer ?? .max
        ? ["\(at): range"] : []
    case "string":
      guard let text = value.string else { return ["\(at): no string"] }
      if let pattern = schema["pattern"]?.string, text.range(of: pattern, options: .regularExpression) == nil {
        return ["\(at): pattern"]
      }
      return []
    case "array":
      guard let items = value.array else { return ["\(at): no array"] }
      return items.enumerated().flatMap { check($0.element, schema["items"] ?? [:], "\(at)/\($0.offset)") }
    case "object":
      guard let object = value.object else { return ["\(at): no object"] }
      let missing = (schema["required"]?.array ?? []).compactMap(\.string).filter { object[$0] == nil }
      return missing.map { "\(at)/\($0): missing" }
        + object.members.flatMap { member in
          schema["properties"]?[member.name].map { check(member.value, $0, "\(at)/\(member.name)") } ?? []
        }
    default: return []
    }
  }
}

@Suite struct DescriptionTests {
  @Test func `live answers are what the served description says`() async throws {
    let registry = OpenMetricsRegistry()
    let routes =
      [echo]
      + operationalRoutes(metrics: registry) {
        Readiness(checks: [
          .init(name: "store", ok: true, isVital: true),
          .init(name: "fax", ok: false, isVital: false, detail: "no modem"),
        ])
      }
    let site = Site(
      routes: routes + [Description.serving(version: "1.0", routes: routes)], metrics: RequestMetrics(registry))
    try await serve(site) { served in
      let conformance = try await Conformance(served)
      #expect(conformance.document["openapi"] == "3.1.1")
      for (method, template, path, headers, body) in [
        ("GET", "/livez", "/livez", [], nil), ("GET", "/readyz", "/readyz", [], nil),
        ("GET", "/metrics", "/metrics", [], nil),
        ("GET", "/problems", "/problems", [], nil), ("GET", "/openapi.json", "/openapi.json", [], nil),
        ("GET", "/livez", "/livez?x=1", [], nil), ("GET", "/readyz", "/readyz?x=1", [("accept-language", "zh")], nil),
        ("POST", "/v1/things/{thing}", thing, json, #"{"name":"a"}"#),
        ("POST", "/v1/things/{thing}", thing + "?limit=2", json, #"{"name":"a"}"#),
        ("POST", "/v1/things/{thing}", thing, json, "{"), ("POST", "/v1/things/{thing}", thing, json, "{}"),
        ("POST", "/v1/things/{thing}", "/v1/things/x", json, "{}"),
        ("POST", "/v1/things/{thing}", thing, [("content-type", "a/b")], "{}"),
      ] as [(String, String, String, [(String, String)], String?)] {
        let answer = try await served.send(method, path, headers: headers, body: body)
        #expect(conformance.faults(method, template: template, answer) == [], "\(method) \(path)")
      }
      #expect(try await served.get("/readyz").json["status"] == "degraded")
      let metrics = try await served.get("/metrics")
      #expect(metrics.text.contains(#"liaison_http_requests_total{listener="test",operation="echo",status="422"} 1"#))
      #expect(!metrics.text.contains("thing_01"))
    }
  }

  @Test func `the check of the description can fail`() async throws {
    let liar = Route(
      "lie", .get, "/v1/lie", summary: "", tag: "t", access: .open,
      answers: [.json(.output(.required("a", .integer()), .required("b", .string())), "")]
    ) { call in call.integer("n") == 1 ? .json(["a": "x"]) : .json([:], status: 202) }
    var route = liar
    route.parameters = [.query("n", .integer())]
    try await serve(Site(routes: [route, Description.serving(version: "1", routes: [route])])) { served in
      let conformance = try await Conformance(served)
      #expect(
        conformance.faults("GET", template: "/v1/lie", try await served.get("/v1/lie?n=1")) == [
          "#/b: missing", "#/a: no integer",
        ])
      #expect(conformance.faults("GET", template: "/v1/lie", try await served.get("/v1/lie")) == ["status 202"])
      #expect(conformance.faults("GET", template: "/v1/other", try await served.get("/v1/lie")) == ["operation"])
    }
  }

  @Test func `an unready daemon says so with 503`() async throws {
    let routes = operationalRoutes(metrics: OpenMetricsRegistry()) {
      Readiness(checks: [.init(name: "store", ok: false, isVital: true, detail: "disk full")])
    }
    try await serve(Site(routes: routes)) { served in
      let answer = try await served.get("/readyz")
      #expect(try answer.status == 503 && answer.json["status"] == "unready")
      #expect(try await served.get("/livez").status == 200)
      #expect(try await served.send("HEAD", "/livez").body.isEmpty)
    }
  }
}
