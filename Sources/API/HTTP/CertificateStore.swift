import Foundation
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import Synchronization

/// Files from which a listener's TLS is made.
public struct CertificateFiles: Sendable, Hashable {
  public enum ClientCertificates: String, Sendable, Hashable, CaseIterable { case none, optional, required }
  /// PEM, leaf first.
  public var chain: String
  /// PEM.
  public var key: String
  /// PEM: authorities of client certificates; needed unless `none`.
  public var clientAuthorities: String?
  public var clientCertificates: ClientCertificates

  public init(
    chain: String, key: String, clientAuthorities: String? = nil, clientCertificates: ClientCertificates = .none
  ) {
    self.chain = chain
    self.key = key
    self.clientAuthorities = clientAuthorities
    self.clientCertificates = clientCertificates
  }
}

/// The certificate with which new connections are answered, read again when its files change.
///
/// Connections that are open keep theirs. Files that cannot be read, or do not fit together, while they are being
/// replaced leave the old certificate in force: this is logged and tried again, a listener never goes dark for it.
public final class CertificateStore: Service {
  private let files: CertificateFiles
  private let interval: Duration
  private let logger: Logger
  private let state: Mutex<(context: NIOSSLContext, fingerprint: [UInt8])>

  /// Throws if the files cannot be used: at start this is an error of configuration.
  public init(_ files: CertificateFiles, checkedEvery interval: Duration = .seconds(10), logger: Logger) throws {
    self.files = files
    self.interval = interval
    self.logger = logger
    state = Mutex(try Self.load(files))
  }

  public var context: NIOSSLContext { state.withLock { $0.context } }

  /// Compares the files' content every interval until shut down.
  public func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        do { try await Task.sleep(for: self.interval) } catch { return }
        self.reload()
      }
    }
  }

  /// Reads the files now; true if the certificate changed.
  @discardableResult
  public func reload() -> Bool {
    do {
      guard try Self.fingerprint(files) != state.withLock({ $0.fingerprint }) else { return false }
      let fresh = try Self.load(files)
      state.withLock { $0 = fresh }
      logger.notice("TLS certificate re-read", metadata: ["tls.chain": "\(files.chain)"])
      return true
    } catch {
      logger.error(
        "TLS certificate cannot be read; the old one stays in force",
        metadata: ["tls.chain": "\(files.chain)", "error": "\(error)"])
      return false
    }
  }

  private static func fingerprint(_ files: CertificateFiles) throws -> [UInt8] {
    try [files.chain, files.key, files.clientAuthorities].compactMap { $0 }
      .flatMap { Array(try Data(contentsOf: URL(fileURLWithPath: $0))) }
  }

  private static func load(_ files: CertificateFiles) throws -> (NIOSSLContext, [UInt8]) {
    do {
      return try loadUnwrapped(files)
    } catch let error as CertificateError {
      throw error
    } catch {
      throw CertificateError.unusable(chain: files.chain, key: files.key, reason: "\(error)")
    }
  }

  private static func loadUnwrapped(_ files: CertificateFiles) throws -> (NIOSSLContext, [UInt8]) {
    let content = try fingerprint(files)
    let chain = try NIOSSLCertificate.fromPEMFile(files.chain)
    let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
    guard !chain.isEmpty else { throw CertificateError.noCertificate(files.chain) }
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    tls.minimumTLSVersion = .tlsv12
    // A dead peer sends no close_notify; a drain does not wait for it.
    tls.shutdownTimeout = .milliseconds(300)
    switch files.clientCertificates {
    case .none: break
    case .optional: tls.certificateVerification = .optionalVerification
    case .required: tls.certificateVerification = .noHostnameVerification
    }
    if files.clientCertificates != .none {
      guard let authorities = files.clientAuthorities else { throw CertificateError.noAuthorities }
      tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authorities))
    }
    // BoringSSL compares key and leaf here, and refuses a pair that does not fit.
    return (try NIOSSLContext(configuration: tls), content)
  }
}

public enum CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
  case noCertificate(String)
  case unusable(chain: String, key: String, reason: String)
  case noAuthorities

  public var description: String {
    switch self {
    case .noCertificate(let path): "no certificate in \(path)"
    case .unusable(let chain, let key, let reason):
      "the certificate in \(chain) cannot be used with the key in \(key): \(reason)"
    case .noAuthorities: "client certificates are asked for, but no authorities' file is named"
    }
  }
}
