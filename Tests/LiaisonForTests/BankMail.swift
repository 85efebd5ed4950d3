import Foundation

/// Postfix and Dovecot on the loopback, stopped when the test lets go of them.
public final class BankMail: Sendable {
  public let directory = FileManager.default.temporaryDirectory.appendingPathComponent("bank-mail-\(UUID().uuidString)")
  public let base: Int
  private let options: [String]

  private static let script = "../shared/peers/email/bank-mail.sh"
  /// Whether everything is there to start one: the script, both servers, and root.
  public static let isAvailable =
    FileManager.default.fileExists(atPath: script)
    && FileManager.default.isExecutableFile(atPath: "/usr/sbin/postfix")
    && FileManager.default.isExecutableFile(atPath: "/usr/sbin/dovecot") && geteuid() == 0

  public init(_ options: String...) throws {
    base = try Self.freeRange()
    self.options = options
    try start()
  }
  deinit {
    // Whatever is left is of no use to anybody.
    try? crash()
    try? FileManager.default.removeItem(at: directory)
  }
  public func start() throws { try run(["start", directory.path, "\(base)"] + options) }
  public func stop() throws { try run(["stop", directory.path]) }
  /// The mailbox server dies at once, Postfix is stopped.
  public func crash() throws {
    let file = directory.appendingPathComponent("run/master.pid")
    let text = try String(contentsOf: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    if let process = pid_t(text) { kill(process, SIGKILL) }
    try FileManager.default.removeItem(at: file)
    try stop()
  }

  public var smtp: Int { base }
  public var submission: Int { base + 1 }
  public var imap: Int { base + 3 }
  public var imaps: Int { base + 4 }
  public var pop3: Int { base + 5 }
  public var caFile: String { directory.appendingPathComponent("tls/ca.pem").path }

  public func files(user: String, folder: String = "") -> [String] {
    let mail = directory.appendingPathComponent("mail/\(user)/\(folder)")
    return ["new", "cur"].flatMap {
      (try? FileManager.default.contentsOfDirectory(atPath: mail.appendingPathComponent($0).path)) ?? []
    }
  }

  /// The mails in a user's inbox, as they lie there.
  public func messages(user: String) -> [String] {
    let mail = directory.appendingPathComponent("mail/\(user)")
    return ["new", "cur"].flatMap { folder in
      // A folder that is not there yet has nothing in it; a mail may be moved while we look.
      ((try? FileManager.default.contentsOfDirectory(atPath: mail.appendingPathComponent(folder).path)) ?? [])
        .compactMap { try? String(contentsOf: mail.appendingPathComponent("\(folder)/\($0)"), encoding: .utf8) }
    }
  }

  /// Not by Foundation's Process: that waits until every descendant has gone, and these are daemons.
  private func run(_ arguments: [String]) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 0...2 { posix_spawn_file_actions_addopen(&actions, Int32(descriptor), "/dev/null", O_RDWR, 0) }
    let words = (["/bin/bash", Self.script] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process = pid_t()
    guard posix_spawn(&process, "/bin/bash", &actions, nil, words, environ) == 0 else { throw POSIXError(.EIO) }
    var status: Int32 = 0
    waitpid(process, &status, 0)
    guard status == 0 else { throw POSIXError(.EIO) }
  }

  /// Eight ports in a row that are free now.
  private static func freeRange() throws -> Int {
    for _ in 0..<50 {
      let base = Int.random(in: 20_000..<55_000)
      if (0..<8).allSatisfy({ isFree(base + $0) }) { return base }
    }
    throw POSIXError(.EADDRINUSE)
  }
  private static func isFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
