import Foundation
import Synchronization

/// A program as a child of a test: its lines are read as they come, its end is waited for, never slept for.
///
/// One thread per child starts it, reads what it prints (both outputs) and reaps it; the thread ends with the child. The
/// child is killed when this process ends first, where util-linux's `setpriv` is there to ask for that.
public final class ChildProcess: Sendable {
  public enum Exit: Hashable, Sendable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)
    public var description: String {
      switch self {
      case .code(let code): "exit code \(code)"
      case .signal(let signal): "signal \(signal)"
      }
    }
  }
  public struct Failure: Error, CustomStringConvertible {
    public var description: String
    public init(description: String) { self.description = description }
  }

  private struct State {
    var pid: pid_t = 0
    var lines: [String] = []
    var exit: Exit?
    var watchers: [Int: AsyncStream<Void>.Continuation] = [:]
    var nextWatcher = 0
  }
  private let state = Mutex(State())
  private let name: String

  /// Starts `command`, whose first word is a path.
  public init(_ command: [String], environment: [String: String] = [:]) throws {
    name = (command[0] as NSString).lastPathComponent
    let setpriv = "/usr/bin/setpriv"
    let isThere = FileManager.default.isExecutableFile(atPath: setpriv)
    let words = (isThere ? [setpriv, "--pdeathsig", "KILL"] : []) + command
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let started = Mutex<Int32?>(nil)
    let semaphore = DispatchSemaphore(value: 0)
    let thread = Thread { [self] in
      let (code, pid, output) = launching.withLock { _ in launch(words, variables) }
      state.withLock { $0.pid = pid }
      started.withLock { $0 = code }
      semaphore.signal()
      guard code == 0 else { return }
      read(output)
      close(output)
      var status: Int32 = 0
      while waitpid(pid, &status, 0) < 0, errno == EINTR {}
      let signal = status & 0x7f
      change { $0.exit = signal == 0 ? .code(status >> 8 & 0xff) : .signal(signal) }
    }
    thread.name = "child"
    thread.start()
    semaphore.wait()
    if let code = started.withLock({ $0 }), code != 0 {
      throw Failure(description: "\(command[0]) cannot be started: \(String(cString: strerror(code)))")
    }
  }

  public var pid: pid_t { state.withLock { $0.pid } }
  /// Everything printed so far.
  public var lines: [String] { state.withLock { $0.lines } }
  public var exit: Exit? { state.withLock { $0.exit } }

  /// Does nothing once the child has ended.
  public func send(_ signal: Int32) {
    state.withLock { state in
      if state.exit == nil, state.pid > 0 { kill(state.pid, signal) }
    }
  }

  /// The end of the child; throws when it does not come in time.
  public func ended(within limit: Duration) async throws -> Exit {
    try await first(within: limit, "its end") { state in state.exit }
  }

  /// The first line that holds `text`; throws when the child ends or the time is over before.
  public func line(containing text: String, within limit: Duration) async throws -> String {
    let found: String? = try await first(within: limit, "a line with \(text)") { state -> String?? in
      if let line = state.lines.first(where: { $0.contains(text) }) { return .some(line) }
      return state.exit == nil ? nil : .some(nil)
    }
    guard let found else {
      throw Failure(description: "\(name) ended with \(exit.map { "\($0)" } ?? "nothing"):\n\(tail)")
    }
    return found
  }

  /// The last of what it printed, for the message of a failure.
  public var tail: String { lines.suffix(20).joined(separator: "\n") }

  private func first<Value: Sendable>(
    within limit: Duration, _ what: String, _ pick: @escaping @Sendable (borrowing State) -> Value?
  ) async throws -> Value {
    let (changes, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLock { state in
      state.nextWatcher += 1
      state.watchers[state.nextWatcher] = continuation
      return state.nextWatcher
    }
    defer { state.withLock { $0.watchers[number] = nil } }
    continuation.yield()
    return try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask { [self] in
        for await _ in changes {
          if let value = state.withLock({ pick($0) }) { return value }
        }
        throw CancellationError()
      }
      group.addTask { [self] in
        try await Task.sleep(for: limit)
        throw Failure(description: "\(name): \(what) did not come within \(limit):\n\(tail)")
      }
      defer { group.cancelAll() }
      return try await group.next()!  // two tasks were added
    }
  }

  private func change(_ body: (inout State) -> Void) {
    let watchers = state.withLock { state in
      body(&state)
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.yield() }
  }

  private func read(_ descriptor: Int32) {
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      rest += buffer[..<count]
      var parts = rest.split(separator: 10, omittingEmptySubsequences: false)
      rest = Array(parts.removeLast())
      let lines = parts.map { String(decoding: $0, as: UTF8.self) }
      if !lines.isEmpty {
        change { state in
          state.lines += lines
          if state.lines.count > 4_000 { state.lines.removeFirst(state.lines.count - 2_000) }
        }
      }
    }
    if !rest.isEmpty { change { $0.lines.append(String(decoding: rest, as: UTF8.self)) } }
  }
}

/// One child at a time is made: another must not inherit the pipe before it is marked as ours alone.
private let launching = Mutex(())

/// The error number (0: none), the child, and where its output is read.
private func launch(_ words: [String], _ variables: [String: String]) -> (Int32, pid_t, Int32) {
  var ends: [Int32] = [-1, -1]
  guard pipe(&ends) == 0 else { return (errno, 0, -1) }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  defer { close(ends[1]) }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
  // The signals this thread keeps to itself are none of the child's: a server must hear SIGTERM.
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var none = sigset_t()
  sigemptyset(&none)
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
  var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
  defer { for text in arguments + environment { free(text) } }
  var pid: pid_t = 0
  let code = posix_spawn(&pid, words[0], &actions, &attributes, &arguments, &environment)
  if code != 0 { close(ends[0]) }
  return (code, pid, ends[0])
}
