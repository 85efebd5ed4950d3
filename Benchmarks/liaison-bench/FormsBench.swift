import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// From a form's POST to its pop flushed on an agent's stream, through the real daemon with fsync on every commit.
struct FormsBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forms", abstract: "Form post → pop on the agent's stream, of a running daemon.",
    discussion: "Needs a daemon: LIAISON_API, LIAISON_FORMS (base URLs), LIAISON_TOKEN and LIAISON_AGENT.")
  @Option(help: "Posts measured.") var posts = 500
  @Option(help: "Posts a second.") var rate = 50

  func run() async throws {
    let environment = ProcessInfo.processInfo.environment
    guard let api = environment["LIAISON_API"], let forms = environment["LIAISON_FORMS"],
      let token = environment["LIAISON_TOKEN"], let agent = environment["LIAISON_AGENT"]
    else { throw ValidationError("LIAISON_API, LIAISON_FORMS, LIAISON_TOKEN and LIAISON_AGENT are needed") }
    let clock = ContinuousClock()
    let (seen, entry) = AsyncStream.makeStream(of: (String, ContinuousClock.Instant).self)
    let posts = posts
    let (opened, open) = AsyncStream.makeStream(of: Void.self)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var request = HTTPClientRequest(url: "\(api)/v1/agents/\(agent)/events")
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        let response = try await HTTPClient.shared.execute(request, timeout: .minutes(10))
        open.yield()
        open.finish()
        var text = ""
        for try await part in response.body {
          let at = clock.now
          text += String(decoding: part.readableBytesView, as: UTF8.self)
          while let end = text.range(of: "\n\n") {
            let event = text[..<end.lowerBound]
            if let mark = event.range(of: "bench-") { entry.yield((String(event[mark.lowerBound...].prefix(12)), at)) }
            text.removeSubrange(..<end.upperBound)
          }
        }
      }
      for await _ in opened {}
      var sent: [String: ContinuousClock.Instant] = [:]
      var latencies: [Duration] = []
      var iterator = seen.makeAsyncIterator()
      for index in 0..<posts {
        let mark = "bench-" + String(format: "%06d", index)
        sent[mark] = clock.now
        let body = """
          {"fields":{"name":"王伟","phone":"+8610017000001","topic":"deposit","question":"\(mark) 三年期利率是多少"},\
          "consents":{"personal_data":true},"reply_by":"phone"}
          """
        var request = HTTPClientRequest(url: "\(forms)/forms/zh/consultation")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "Idempotency-Key", value: UUID().uuidString)
        request.body = .bytes(Array(body.utf8))
        let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        _ = try await answer.body.collect(upTo: 1 << 20)
        guard answer.status == .accepted else { throw ValidationError("the form answered \(answer.status)") }
        while let (mark, at) = await iterator.next() {
          guard let start = sent.removeValue(forKey: mark) else { continue }
          latencies.append(at - start)
          break
        }
        try await Task.sleep(for: .milliseconds(1_000 / max(1, rate)))
      }
      group.cancelAll()
      latencies.sort()
      func at(_ share: Double) -> Double {
        let duration = latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        return Double(duration.components.attoseconds) / 1e15 + Double(duration.components.seconds) * 1e3
      }
      print(
        String(
          format: "form post → pop flushed, %d posts, fsync before the answer: p50 %.2f ms, p99 %.2f ms, max %.2f ms",
          latencies.count, at(0.5), at(0.99), at(1)))
    }
  }
}
