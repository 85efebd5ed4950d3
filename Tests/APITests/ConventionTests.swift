import API
import Channels
import CoreMetrics
import Testing

@Suite struct ConventionTests {
  @Test(arguments: [
    (nil, Language.english), ("zh-CN", .chinese), ("zh-Hant-TW,en;q=0.8", .chinese), ("en,zh;q=0.9", .english),
    ("fr, zh;q=0.1", .chinese), ("zh;q=0, en;q=0.1", .english), ("*", .english), ("zh;q=abc", .english), ("", .english),
  ])
  func `the language is the best of ours`(field: String?, language: Language) {
    #expect(Language(accepting: field) == language)
  }

  @Test func `a cursor gives its keys back to its own query only`() throws {
    let signer = CursorSigner(secret: [UInt8](repeating: 7, count: 32))
    let cursor = signer.cursor(after: ["2026-01-01T00:00:00.000Z", 12], query: "listContacts?channel=sms")
    #expect(try signer.keys(in: cursor, query: "listContacts?channel=sms") == ["2026-01-01T00:00:00.000Z", 12])
    #expect(throws: Problem(.invalidCursor)) { try signer.keys(in: cursor, query: "listContacts?channel=fax") }
    let other = CursorSigner(secret: [UInt8](repeating: 8, count: 32))
    #expect(throws: Problem(.invalidCursor)) { try other.keys(in: cursor, query: "listContacts?channel=sms") }
    for index in cursor.indices {
      var forged = cursor
      forged.replaceSubrange(index...index, with: cursor[index] == "A" ? "B" : "A")
      // The last digit of base 64 may carry unused bits: a forged one that decodes to the same bytes is the same.
      let keys = try? signer.keys(in: forged, query: "listContacts?channel=sms")
      #expect(keys == nil || keys == ["2026-01-01T00:00:00.000Z", 12])
      if index < cursor.index(cursor.endIndex, offsetBy: -2) { #expect(keys == nil) }
    }
    for wrong in ["", "x", "====", String(repeating: "A", count: 5_000)] {
      #expect(throws: Problem(.invalidCursor)) { try signer.keys(in: wrong, query: "") }
    }
  }

  @Test func `If-Match compares strongly and If-None-Match weakly`() throws {
    let tag = EntityTag(version: 3)
    #expect(EntityTag.condition(nil) == nil)
    #expect(EntityTag.condition("*") == .anyVersion)
    #expect(EntityTag.condition("\"v2\", \"v3\"") == .versions([2, 3]))
    #expect(EntityTag.condition("W/\"v3\"") == .versions([]))
    #expect(EntityTag.condition("\"v\", v3, \"v99999999999999999999\"") == .versions([]))
    try EntityTag.condition("\"v3\"")?.require(3)
    #expect(throws: Problem.self) { try EntityTag.condition("\"v2\"")?.require(3) }
    #expect(tag.isNamed(in: "W/\"v3\"") && tag.isNamed(in: "\"v1\", \"v3\"") && !tag.isNamed(in: "\"v4\""))
  }

  @Test func `a bucket empties, refuses, and refills with time`() {
    let limiter = RateLimiter(.init(quota: 3, window: .seconds(30)))
    for left in [2, 1, 0] {
      let verdict = limiter.take("a", at: testTime)
      #expect(verdict.allowed && verdict.remaining == left)
    }
    let refused = limiter.take("a", at: testTime)
    #expect(!refused.allowed && refused.reset == .seconds(10))
    #expect(limiter.take("b", at: testTime).allowed)
    #expect(!limiter.take("a", at: testTime + .seconds(9)).allowed)
    #expect(limiter.take("a", at: testTime + .seconds(10)).allowed)
    // A clock set back gives nothing away.
    #expect(!limiter.take("a", at: testTime).allowed)
  }

  @Test func `the table of buckets is bounded and known clients keep theirs`() {
    let limiter = RateLimiter(.init(quota: 2, window: .seconds(60)), maximumClients: 10)
    for client in 0..<10 { _ = limiter.take("c\(client)", at: testTime) }
    #expect(limiter.take("new1", at: testTime).allowed)
    #expect(limiter.take("new2", at: testTime).allowed)
    #expect(!limiter.take("new3", at: testTime).allowed)
    #expect(limiter.take("c4", at: testTime).allowed)
  }

  @Test func `a trace is continued, or begun when its header is invalid`() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let trace = TraceContext(traceparent: parent, tracestate: "a=b")
    #expect(trace.traceID == "4bf92f3577b34da6a3ce929d0e0e4736" && trace.parentID == "00f067aa0ba902b7")
    #expect(
      trace.sampled && trace.state == "a=b" && trace.traceparent.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-"))
    for wrong in [
      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      parent + "-x", "", "00", String(repeating: "0", count: 55),
    ] {
      let fresh = TraceContext(traceparent: wrong, tracestate: "a=b")
      #expect(fresh.parentID == nil && fresh.state == nil && fresh.traceID.utf8.count == 32)
    }
    #expect(
      TraceContext(
        traceparent: "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", tracestate: nil
      ).parentID != nil)
  }

  @Test func `every problem has its own address and texts in both languages`() {
    #expect(Set(ProblemType.allCases.map(\.uri)).count == ProblemType.allCases.count)
    for type in ProblemType.allCases {
      #expect((400...599).contains(type.status))
      for language in Language.allCases { #expect(!type.title[language].isEmpty) }
      #expect(type.title.chinese.unicodeScalars.contains { $0.value > 0x4e00 })
    }
  }

  @Test func `metrics are exposed as OpenMetrics, escaped and bounded`() {
    let registry = OpenMetricsRegistry()
    registry.describe("liaison_arrivals", "What\narrived")
    registry.makeCounter(label: "liaison_arrivals_total", dimensions: [("channel", "a\"b\\c\nd")]).increment(by: 3)
    registry.makeMeter(label: "liaison.queue.open", dimensions: []).set(2.5)
    registry.makeTimer(label: "liaison_commit_seconds", dimensions: [("lane", "live")]).recordNanoseconds(3_000_000)
    let text = registry.exposition()
    #expect(text.contains("# TYPE liaison_arrivals counter\n# HELP liaison_arrivals What\\narrived\n"))
    #expect(text.contains("liaison_arrivals_total{channel=\"a\\\"b\\\\c\\nd\"} 3\n"))
    #expect(text.contains("# TYPE liaison_queue_open gauge\nliaison_queue_open 2.5\n"))
    #expect(text.contains("liaison_commit_seconds_bucket{lane=\"live\",le=\"0.0025\"} 0\n"))
    #expect(text.contains("liaison_commit_seconds_bucket{lane=\"live\",le=\"0.005\"} 1\n"))
    #expect(text.contains("liaison_commit_seconds_bucket{lane=\"live\",le=\"+Inf\"} 1\n"))
    #expect(
      text.contains("liaison_commit_seconds_sum{lane=\"live\"} 0.003\nliaison_commit_seconds_count{lane=\"live\"} 1\n"))
    #expect(text.hasSuffix("# EOF\n"))
    for n in 0..<(OpenMetricsRegistry.maximumSeries + 50) {
      registry.makeCounter(label: "wild", dimensions: [("n", "\(n)")]).increment(by: 1)
    }
    let bounded = registry.exposition()
    #expect(
      bounded.split(separator: "\n").filter { $0.hasPrefix("wild_total") }.count == OpenMetricsRegistry.maximumSeries)
    #expect(bounded.contains("liaison_metric_series_dropped_total 50\n"))
  }
}
