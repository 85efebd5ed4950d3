import Glibc
import Synchronization

/// Keeps a second daemon from one SQLite store: an advisory lock on `<file>.lock`, which holds the owner's process id.
///
/// The lock goes with the process, however it ends; the file stays.
final class StoreLock: Sendable {
  /// Nil when released.
  private let descriptor: Mutex<Int32?>

  init(besides path: String) throws {
    let folder = directory(of: path)
    var status = stat()
    guard stat(folder, &status) == 0 else { throw systemFailure("\(folder): the folder of the store", errno) }
    let file = path + ".lock"
    let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw systemFailure("\(file): cannot be opened", errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      var bytes = [UInt8](repeating: 0, count: 32)
      let count = pread(descriptor, &bytes, 32, 0)
      close(descriptor)
      guard code == EWOULDBLOCK else { throw systemFailure("\(file): cannot be locked", code) }
      let owner = String(decoding: bytes.prefix(max(0, count)).prefix { (48...57).contains($0) }, as: UTF8.self)
      throw DatabaseError(.locked, "\(path) is in use by process \(owner.isEmpty ? "unknown" : owner)")
    }
    let text = Array("\(getpid())\n".utf8)
    guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
      let code = errno
      close(descriptor)
      throw systemFailure("\(file): cannot be written", code)
    }
    self.descriptor = Mutex(descriptor)
  }

  deinit { release() }

  /// Idempotent.
  func release() {
    descriptor.withLock { descriptor in
      if let open = descriptor {
        // A child process between its fork and its exec still has the descriptor, and with it the lock.
        flock(open, LOCK_UN)
        close(open)
      }
      descriptor = nil
    }
  }
}

/// What an error number of the system means for the store.
func systemFailure(_ what: String, _ code: Int32) -> DatabaseError {
  let kind: DatabaseError.Kind =
    switch code {
    case ENOSPC, EDQUOT, EFBIG: .full
    case EROFS: .readOnly
    default: .unreadable
    }
  return DatabaseError(kind, "\(what) (\(String(cString: strerror(code))))")
}

/// Makes the entries of a directory durable.
func syncDirectory(_ path: String) throws {
  let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { throw systemFailure("\(path): cannot be opened", errno) }
  defer { close(descriptor) }
  guard fsync(descriptor) == 0 else { throw systemFailure("\(path): cannot be synced", errno) }
}

/// The directory a path lies in; `.` for a bare name.
func directory(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
