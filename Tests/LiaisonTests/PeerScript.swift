import Foundation
import LiaisonForTests
import NIOCore
import NIOPosix

/// Real peers of the short messages, started and stopped by the scripts beside the adapter's tests.
enum PeerScript {
  static let folder = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("adapters/sms/Tests/Peers").path
  static let jasmin = ProcessInfo.processInfo.environment["LIAISON_JASMIN_VENV"] ?? "/var/tmp/liaison-peers/jasmin"
  static let hasJasmin =
    FileManager.default.fileExists(atPath: jasmin + "/bin/jasmind.py")
    && FileManager.default.fileExists(atPath: "/usr/bin/redis-server")
    && FileManager.default.fileExists(atPath: "/usr/lib/rabbitmq")
  static let driver = "/usr/lib/kannel/test/drive_smpp"

  /// Threads of a test block signals, and what they start inherits that: it could not be stopped.
  static let unblocked = [
    "/usr/bin/python3", "-c",
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_SETMASK, []); os.execv(sys.argv[1], sys.argv[1:])",
  ]

  static func run(_ command: [String], within limit: Duration = .seconds(40)) async throws {
    let child = try ChildProcess(unblocked + command)
    let exit = try await child.ended(within: limit)
    guard exit == .code(0) else { throw ChildProcess.Failure(description: "\(command[1]): \(exit)\n\(child.tail)") }
  }

  /// A base from which all `offsets` were free ports a moment ago.
  static func freeBase(_ offsets: [Int]) async throws -> Int {
    for _ in 0..<50 {
      let base = Int.random(in: 21...38) * 1_000 + Int.random(in: 0..<10)
      var isFree = true
      for offset in offsets {
        do {
          let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: base + offset).get()
          try await server.close()
        } catch {
          isFree = false
        }
      }
      if isFree { return base }
    }
    throw ChildProcess.Failure(description: "no free ports")
  }
}
