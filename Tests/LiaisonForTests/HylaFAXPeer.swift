import Foundation
import Glibc

/// A real HylaFAX server (faxq and hfaxd) on a spool of its own, without a modem: jobs are taken, queued, killed,
/// refused, but not sent. Needs root (hfaxd changes its root directory) and the packages hylafax-server and
/// hylafax-client. Accounts: `bank` and `operator` (password s3cret, administrator password adm1n).
public final class HylaFAXPeer: Sendable {
  public let folder: String
  public let port: Int
  private let processes = ProcessList()

  private static let maker = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("shared/peers/fax/mkspool.sh").path

  /// Why it cannot be started here; nil if it can.
  public static let missing: String? = {
    for program in ["/usr/sbin/hfaxd", "/usr/sbin/faxq", maker]
    where !FileManager.default.isExecutableFile(atPath: program) {
      return "\(program) is not there"
    }
    return getuid() == 0 ? nil : "needs root"
  }()

  public struct StartFailure: Error { public var text: String }

  public init() throws {
    folder = "/tmp/liaison-hylafax-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    port = try freePort()
    let made = try run([HylaFAXPeer.maker, folder, "ttyNone", "+86.10.55550100", "HUIMIN BANK", "\(folder)/lock"])
    guard made == 0 else { throw StartFailure(text: "mkspool.sh ended with \(made)") }
    try FileManager.default.createDirectory(atPath: "\(folder)/lock", withIntermediateDirectories: true)
    try startScheduler()
    try startServer()
  }

  deinit { stop() }

  public func startServer() throws {
    try processes.start("hfaxd", ["/usr/sbin/hfaxd", "-d", "-q", folder, "-l", "127.0.0.1", "-i", String(port)])
    try waitForPort()
  }
  public func startScheduler() throws {
    try processes.start("faxq", ["/usr/sbin/faxq", "-D", "-q", folder])
    try waitFor("\(folder)/FIFO")
  }
  /// hfaxd's children, one for each session, go with it.
  public func killServer() { processes.kill("hfaxd") }

  /// Withdraws every job in sendq, as an operator would.
  public func killJobs() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/sendq").filter { $0.hasPrefix("q") }
    for file in files {
      let script = "USER operator\\r\\nPASS s3cret\\r\\nADMIN adm1n\\r\\nJKILL \(file.dropFirst())\\r\\nQUIT\\r\\n"
      let ended = try run([
        "/bin/bash", "-c",
        "exec 3<>/dev/tcp/127.0.0.1/\(port); printf '\(script)' >&3; timeout 20 cat <&3 >/dev/null",
      ])
      guard ended == 0 else { throw StartFailure(text: "JKILL of \(file)") }
    }
  }

  /// JOBINFO of every job that was submitted, in whatever queue it is.
  public func jobTags() throws -> [String] {
    try ["sendq", "doneq"].flatMap { queue in
      try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(queue)").filter { $0.hasPrefix("q") }
        .flatMap { file in
          // A job that moves on between the two is listed in the other queue.
          let text = (try? String(contentsOfFile: "\(folder)/\(queue)/\(file)", encoding: .utf8)) ?? ""
          // What a killed hfaxd leaves of a job that was never submitted has no tag, and no number to dial.
          return text.split(separator: "\n").filter { $0.hasPrefix("jobtag:") && $0.count > 7 }
            .map { String($0.dropFirst(7)) }
        }
    }
  }

  public func stop() {
    processes.killAll()
    // The folder is under /tmp and ours; what cannot be removed is left to the machine.
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// Puts a received fax into recvq as faxgetty would, with its line in the journal.
  public func receive(_ file: String, _ bytes: [UInt8], journal reason: String?) throws {
    let path = "\(folder)/recvq/\(file)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    guard chown(path, 10, 10) == 0, chmod(path, 0o644) == 0 else { throw StartFailure(text: "chown") }
    guard let reason else { return }
    let line =
      "11/24/26 15:24\tRECV\t000000001\tttyNone\trecvq/\(file)\t\"\"\tfax\t\"+86.10.55550100\"\t\"+86 10 55550199\"\t"
      + "2220072\t1\t0:00:14\t0:00:14\t\"\(reason)\"\t\"Li Wei\"\t\"01055550199\"\t\"<NONE>::55550100\"\t\"\"\t\"00\"\n"
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/log/xferfaxlog"))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data(line.utf8))
    try handle.close()
  }

  private func waitFor(_ path: String) throws {
    for _ in 0..<100 where !FileManager.default.fileExists(atPath: path) { usleep(50_000) }
    guard FileManager.default.fileExists(atPath: path) else { throw StartFailure(text: "\(path) did not appear") }
  }

  private func waitForPort() throws {
    for _ in 0..<100 {
      if HylaFAXPeer.connects(port) { return }
      usleep(50_000)
    }
    throw StartFailure(text: "hfaxd does not listen on \(port)")
  }

  private static func address(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return address
  }

  private static func connects(_ port: Int) -> Bool {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = address(port)
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}

/// Runs a program to its end; its exit code.
private func run(_ arguments: [String]) throws -> Int32 {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: arguments[0])
  process.arguments = Array(arguments.dropFirst())
  process.standardOutput = FileHandle.nullDevice
  process.standardError = FileHandle.nullDevice
  try process.run()
  process.waitUntilExit()
  return process.terminationStatus
}

/// Programs started by a test, ended by their process ids.
private final class ProcessList: @unchecked Sendable {
  // @unchecked: guarded by `lock`.
  private let lock = NSLock()
  private var running: [(name: String, pid: pid_t)] = []

  func start(_ name: String, _ arguments: [String]) throws {
    // A process group of its own: hfaxd's sessions are its children and end with it.
    var attributes = posix_spawnattr_t()
    var actions = posix_spawn_file_actions_t()
    posix_spawnattr_init(&attributes)
    posix_spawn_file_actions_init(&actions)
    defer {
      posix_spawnattr_destroy(&attributes)
      posix_spawn_file_actions_destroy(&actions)
    }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    for descriptor in Int32(0)...2 {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    // No lock or socket that this process inherited may be held by a daemon.
    let closing = (3...9).map { "exec \($0)>&-" }.joined(separator: "; ") + "; exec \"$@\""
    let all = ["/bin/sh", "-c", closing, "sh"] + arguments
    var words: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
    defer { for pointer in words + environment { free(pointer) } }
    var pid: pid_t = 0
    guard posix_spawn(&pid, all[0], &actions, &attributes, &words, &environment) == 0 else {
      throw HylaFAXPeer.StartFailure(text: arguments[0])
    }
    lock.withLock { running.append((name, pid)) }
  }

  func kill(_ name: String) {
    let pids = lock.withLock { () -> [pid_t] in
      defer { running.removeAll { $0.name == name } }
      return running.filter { $0.name == name }.map(\.pid)
    }
    for pid in pids {
      Glibc.kill(-pid, SIGKILL)
      var status: Int32 = 0
      waitpid(pid, &status, 0)
    }
  }
  func killAll() {
    for name in Set(lock.withLock { running.map(\.name) }) { kill(name) }
  }
}
