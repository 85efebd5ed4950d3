import Channels
import Demo
import Foundation
import NIOSSL
import Telephony
import Testing

/// The manager interface over TLS, with authorities and certificates made up for the test.
@Suite(
  .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl"), "needs /usr/bin/openssl"),
  .timeLimit(.minutes(1)))
struct TLSTests {
  /// An authority and a server certificate of it.
  private struct Authority {
    let folder: URL
    var roots: String { folder.appending(path: "ca.pem").path }

    init(_ name: String, server names: String) throws {
      folder = FileManager.default.temporaryDirectory.appending(path: "liaison-ami-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let script = """
        set -e; cd '\(folder.path)'
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -subj '/CN=\(name)' -keyout ca.key -out ca.pem
        openssl req $key -subj /CN=pbx -keyout key.pem -out request.pem
        printf 'subjectAltName=\(names)' > names
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem
        """
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", script]
      process.standardError = FileHandle.nullDevice
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      try #require(process.terminationStatus == 0)
    }

    var server: NIOSSLContext {
      get throws {
        try NIOSSLContext(
          configuration: .makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(folder.appending(path: "cert.pem").path).map {
              .certificate($0)
            }, privateKey: .privateKey(try NIOSSLPrivateKey(file: folder.appending(path: "key.pem").path, format: .pem))
          ))
      }
    }
  }

  private func health(
    of host: String = "127.0.0.1", standIn: AsteriskStandIn, tls: TelephonyConfiguration.TLS?,
    until isThere: @escaping @Sendable (Health) -> Bool
  ) async -> Health {
    let (ports, port) = AsyncStream<Int>.makeStream()
    return await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await standIn.run { port.yield($0) } }
      let number = await ports.first { _ in true } ?? 0
      let adapter = TelephonyAdapter(
        configuration: TelephonyConfiguration(
          servers: [
            .init(
              name: "main", host: host, port: number, tls: tls, credentials: .init(username: "liaison", secret: "demo"))
          ], reconnectDelay: .milliseconds(20)))
      group.addTask { try await adapter.run { _ in .stored(ArrivalID(at: Timestamp(seconds: 1))) } }
      var health = await adapter.health
      while !Task.isCancelled, !isThere(health) {
        // Cancelled by the test's time limit.
        do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
        health = await adapter.health
      }
      adapter.beginDrain()
      group.cancelAll()
      return health
    }
  }

  private static let isRefused: @Sendable (Health) -> Bool = {
    $0.state != .up && $0.text?.contains("not connected yet") == false && $0.text?.contains("logging in") == false
  }

  @Test func `a switch whose certificate is of a trusted authority and of its address is served`() async throws {
    let authority = try Authority("Bank", server: "IP:127.0.0.1")
    let health = await health(
      standIn: AsteriskStandIn(programme: .recordings([]), tls: try authority.server),
      tls: .init(trustRoots: authority.roots)
    ) { $0.state == .up }
    #expect(health.state == .up)
  }

  @Test func `one of an unknown authority is not, nor one of another address`() async throws {
    let (ours, theirs) = (try Authority("Bank", server: "IP:127.0.0.1"), try Authority("Else", server: "IP:127.0.0.1"))
    let unknown = await health(
      standIn: AsteriskStandIn(programme: .recordings([]), tls: try theirs.server), tls: .init(trustRoots: ours.roots),
      until: Self.isRefused)
    #expect(unknown.text?.lowercased().contains("certificate") == true, "\(unknown.text ?? "")")
    let other = try Authority("Bank", server: "IP:192.0.2.1,DNS:pbx.example")
    let elsewhere = await health(
      standIn: AsteriskStandIn(programme: .recordings([]), tls: try other.server), tls: .init(trustRoots: other.roots),
      until: Self.isRefused)
    #expect(elsewhere.state == .down)
  }

  @Test func `in a laboratory any certificate will do, and only where that is said`() async throws {
    let authority = try Authority("Else", server: "IP:192.0.2.1")
    let health = await health(
      standIn: AsteriskStandIn(programme: .recordings([]), tls: try authority.server), tls: .init(verifies: false)
    ) { $0.state == .up }
    #expect(health.state == .up)
  }

  @Test func `a switch without TLS gets no secret of a client that wants it`() async throws {
    let standIn = AsteriskStandIn(programme: .recordings([]))
    let health = await health(
      standIn: standIn, tls: .init(verifies: false), until: Self.isRefused)
    #expect(health.state == .down && standIn.actions.isEmpty)
  }
}
