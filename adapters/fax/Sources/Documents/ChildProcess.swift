import Channels
import Glibc

/// Runs one program on one document, bounded in time, memory, processor time, file size and output.
///
/// Ghostscript and tesseract read what strangers sent; they run apart from Liaison, at low priority, without its
/// environment, and are ended with all their children when they exceed a bound. Blocking: call it on a thread of its
/// own.
/// Source: setrlimit(2) through the shell's `ulimit`, which is inherited across exec.
struct ChildProcess: Sendable {
  struct Limits: Hashable, Sendable {
    var wall = Duration.seconds(60)
    var processorSeconds = 60
    var memoryMegabytes = 1_536
    var fileMegabytes = 256
    var outputBytes = 8 << 20
  }
  struct Result: Sendable {
    var status: Int32
    var output: [UInt8]
    var errors: String
  }
  enum Failure: Error, Hashable, Sendable {
    case cannotStart(Int32)
    case timedOut
    case tooMuchOutput
    case ended(signal: Int32)
  }

  var program: String
  var arguments: [String]
  var environment: [String: String] = [:]
  var limits = Limits()

  func run(input: [UInt8] = []) throws(Failure) -> Result {
    let bounds =
      "ulimit -t \(limits.processorSeconds); ulimit -v \(limits.memoryMegabytes * 1_024); "
      + "ulimit -f \(limits.fileMegabytes * 2_048); ulimit -c 0; exec nice -n 10 \"$@\""
    let words = ["/bin/sh", "-c", bounds, "sh", program] + arguments
    var values = [
      "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_THREAD_LIMIT": "1", "HOME": "/nonexistent",
    ]
    values.merge(environment) { $1 }

    // Sockets instead of pipes: writing to a reader that is gone is then an error, not SIGPIPE.
    var input_ = [Int32](repeating: -1, count: 2)
    var output = [Int32](repeating: -1, count: 2)
    var errors = [Int32](repeating: -1, count: 2)
    defer { for descriptor in input_ + output + errors where descriptor >= 0 { close(descriptor) } }
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &input_) == 0, socketpair(AF_UNIX, kind, 0, &output) == 0,
      socketpair(AF_UNIX, kind, 0, &errors) == 0
    else { throw .cannotStart(errno) }

    let pid = try spawn(words, values.map { "\($0)=\($1)" }, input_[1], output[1], errors[1])
    for index in [input_[1], output[1], errors[1]] { close(index) }
    (input_[1], output[1], errors[1]) = (-1, -1, -1)
    var exchange = Exchange(pid: pid, input: input, descriptors: (input_[0], output[0], errors[0]), limits: limits)
    defer { (input_[0]) = exchange.inputDescriptor }
    return try exchange.run()
  }

  private func spawn(
    _ words: [String], _ environment: [String], _ input: Int32, _ output: Int32, _ errors: Int32
  ) throws(Failure) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, errors, 2)
    ChildProcess.keepDescriptors()
    // A group of its own, so that its children end with it; default signals, none blocked.
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
    posix_spawnattr_setpgroup(&attributes, 0)
    var all = sigset_t()
    sigemptyset(&all)
    posix_spawnattr_setsigmask(&attributes, &all)
    sigaddset(&all, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &all)
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { for pointer in arguments + variables { free(pointer) } }
    var pid: pid_t = 0
    let result = posix_spawn(&pid, words[0], &actions, &attributes, &arguments, &variables)
    guard result == 0 else { throw .cannotStart(result) }
    return pid
  }
}

extension ChildProcess {
  /// Marks everything this process has open as its own alone.
  ///
  /// Not every socket is made so: a listener in a child's hands would outlive a daemon that is killed, and the next could
  /// not start. What another thread opens meanwhile may slip through; the next call has it.
  private static func keepDescriptors() {
    guard let folder = opendir("/proc/self/fd") else { return }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }
  }
}

/// Feeds and drains a running child until it ends or exceeds its bounds.
private struct Exchange {
  let pid: pid_t
  let input: [UInt8]
  var inputDescriptor: Int32
  let outputDescriptor: Int32
  let errorDescriptor: Int32
  let limits: ChildProcess.Limits
  private var written = 0
  private var output: [UInt8] = []
  private var errors: [UInt8] = []

  init(pid: pid_t, input: [UInt8], descriptors: (Int32, Int32, Int32), limits: ChildProcess.Limits) {
    self.pid = pid
    self.input = input
    (inputDescriptor, outputDescriptor, errorDescriptor) = descriptors
    self.limits = limits
  }

  mutating func run() throws(ChildProcess.Failure) -> ChildProcess.Result {
    let deadline = ContinuousClock.now + limits.wall
    for descriptor in [inputDescriptor, outputDescriptor, errorDescriptor] {
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }
    if input.isEmpty { closeInput() }
    var outputOpen = true
    var errorsOpen = true
    var status: Int32 = 0
    var exited = false
    while outputOpen || errorsOpen || !exited {
      guard ContinuousClock.now < deadline else { throw end(.timedOut) }
      var entries = [
        pollfd(fd: outputOpen ? outputDescriptor : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: errorsOpen ? errorDescriptor : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: inputDescriptor, events: Int16(POLLOUT), revents: 0),
      ]
      // Wakes every 50 ms to look whether the child has ended.
      poll(&entries, 3, 50)
      if entries[2].revents != 0 { feed() }
      if entries[0].revents != 0 { outputOpen = Exchange.drain(outputDescriptor, &output) }
      if entries[1].revents != 0 { errorsOpen = Exchange.drain(errorDescriptor, &errors) }
      guard output.count <= limits.outputBytes, errors.count <= limits.outputBytes else { throw end(.tooMuchOutput) }
      if !exited, waitpid(pid, &status, WNOHANG) == pid { exited = true }
      // What holds the pipes open after the child's end is a grandchild: not waited for.
      if exited, entries[0].revents == 0, entries[1].revents == 0 { break }
    }
    let text = String(decoding: errors.prefix(4_096), as: UTF8.self)
    let signal = status & 0x7f
    guard signal == 0 else { throw .ended(signal: signal) }
    return ChildProcess.Result(status: status >> 8 & 0xff, output: output, errors: text)
  }

  private func end(_ failure: ChildProcess.Failure) -> ChildProcess.Failure {
    kill(-pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    return failure
  }

  private mutating func feed() {
    let sent = input[written...].withUnsafeBytes {
      Glibc.send(inputDescriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
    }
    if sent > 0 { written += sent }
    if written == input.count || (sent < 0 && errno != EAGAIN && errno != EINTR) { closeInput() }
  }

  private mutating func closeInput() {
    if inputDescriptor >= 0 { close(inputDescriptor) }
    inputDescriptor = -1
  }

  /// False at the end of the file.
  private static func drain(_ descriptor: Int32, _ bytes: inout [UInt8]) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = read(descriptor, &chunk, chunk.count)
    if count > 0 { bytes.append(contentsOf: chunk[..<count]) }
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))
  }
}

/// A folder for one document's conversion, removed with all that is in it when this value goes.
final class ScratchFolder {
  let path: String

  init() throws(Fault) {
    var template = Array("/tmp/liaison-fax-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Fault(.internalError, text: "no temporary folder: error \(errno)")
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    if let folder = opendir(path) {
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { unlink("\(path)/\(name)") }
      }
      closedir(folder)
    }
    rmdir(path)
  }

  func write(_ bytes: [UInt8], as name: String) throws(Fault) -> String {
    let file = "\(path)/\(name)"
    guard let stream = fopen(file, "wx") else { throw Fault(.internalError, text: "cannot write: error \(errno)") }
    let written = fwrite(bytes, 1, bytes.count, stream)
    guard fclose(stream) == 0, written == bytes.count else {
      throw Fault(.internalError, text: "cannot write the document: error \(errno)")
    }
    return file
  }

  /// Nil if there is no such file or it is larger than `limit`.
  func read(_ name: String, limit: Int) -> [UInt8]? {
    guard let stream = fopen("\(path)/\(name)", "r") else { return nil }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&chunk, 1, chunk.count, stream)
      guard count > 0 else { return bytes }
      bytes.append(contentsOf: chunk[..<count])
      guard bytes.count <= limit else { return nil }
    }
  }
}
