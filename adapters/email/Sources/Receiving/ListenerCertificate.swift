import Glibc
import Logging
import NIOSSL
import Synchronization

/// The listener's certificate, read again when its files have changed: no restart for a renewal.
///
/// Looked at with each STARTTLS; what cannot be read then leaves the one in force, and says so once a change.
final class ListenerCertificate: Sendable {
  private struct State {
    var context: NIOSSLContext
    var stamp: [Int64]
  }
  private let certificateFile: String
  private let keyFile: String
  private let logger: Logger
  private let state: Mutex<State>

  /// Throws if it cannot be read now.
  init(certificateFile: String, keyFile: String, logger: Logger) throws {
    self.certificateFile = certificateFile
    self.keyFile = keyFile
    self.logger = logger
    let stamp = Self.stamp(certificateFile) + Self.stamp(keyFile)
    state = Mutex(State(context: try Self.read(certificateFile, keyFile), stamp: stamp))
  }

  /// The one in force for a connection that is secured now.
  var context: NIOSSLContext {
    state.withLock { state in
      let stamp = Self.stamp(certificateFile) + Self.stamp(keyFile)
      guard stamp != state.stamp else { return state.context }
      state.stamp = stamp
      do {
        state.context = try Self.read(certificateFile, keyFile)
        logger.notice("The mail listener's certificate was read again.")
      } catch {
        // Half written perhaps: its next change is looked at again.
        logger.warning(
          "The mail listener's new certificate cannot be read; the old one serves.",
          metadata: ["fault.text": "\(error)"])
      }
      return state.context
    }
  }

  private static func read(_ certificateFile: String, _ keyFile: String) throws -> NIOSSLContext {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(certificateFile).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: keyFile, format: .pem)))
    configuration.minimumTLSVersion = .tlsv12
    return try NIOSSLContext(configuration: configuration)
  }

  /// Changes when the file does.
  private static func stamp(_ file: String) -> [Int64] {
    var facts = stat()
    guard stat(file, &facts) == 0 else { return [] }
    return [Int64(facts.st_ino), Int64(facts.st_size), Int64(facts.st_mtim.tv_sec), Int64(facts.st_mtim.tv_nsec)]
  }
}
