import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import SMS

/// How many messages a real Kannel takes by sendsms and submits by SMPP to the same SMSC, counted to the last submit.
///
/// Durability: none. Kannel runs without a store, as it is shipped; what it answered 202 to is lost on kill -9, and with
/// a store it does not fsync either (specs/sms.md).
struct KannelBench {
  let messages: Int
  let window: Int

  func run(_ number: Int) async throws {
    let smsc = StandInSMSC(.init(reportsAfter: nil))
    let port = try await smsc.start()
    let folder = NSTemporaryDirectory() + "liaison-kannel-\(UUID().uuidString.prefix(8))"
    let base = Int.random(in: 21...38) * 1_000
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("adapters/sms/Tests/Peers/start-kannel.sh").path
    try await Self.run([
      script, folder, "--base", "\(base)", "--smsc", "smpp:127.0.0.1:\(port):u:p", "--smsc-extra",
      "max-pending-submits = \(window)", "--loglevel", "4",
    ])
    let url = "http://127.0.0.1:\(base + 13)/cgi-bin/sendsms?username=tester&password=foobar&from=95588"
    let (messages, window) = (messages, window)
    let counter = Counter()
    let start = ContinuousClock.now
    let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<min(window, 64) {
        group.addTask {
          var accepted = 0
          while counter.next() <= messages {
            let request = HTTPClientRequest(url: url + "&to=13800138000&text=Your+balance+is+100.00+CNY")
            let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
            _ = try await answer.body.collect(upTo: 4_096)
            if answer.status == .accepted { accepted += 1 }
          }
          return accepted
        }
      }
      return try await group.reduce(0, +)
    }
    await smsc.waitForSubmits(accepted)
    let time = ContinuousClock.now - start
    print(
      "run \(number) kannel:   \(accepted) of \(messages) accepted and submitted, "
        + "\(Int64(accepted) * 1_000_000 / max(1, time.wholeMicroseconds))/s, durability none")
    try await Self.run([script, "stop", folder])
    await smsc.stop()
    try FileManager.default.removeItem(atPath: folder)
  }

  private static func run(_ command: [String]) async throws {
    let child = try ChildProcess(["/bin/bash"] + command)
    let exit = try await child.ended(within: .seconds(40))
    guard exit == .code(0) else { throw ChildProcess.Failure(description: "\(command[0]): \(exit)\n\(child.tail)") }
  }
}
