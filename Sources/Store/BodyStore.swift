import Crypto
import Glibc

/// The name of a body: the SHA-256 of its bytes, in lower-case hexadecimal.
public struct BodyDigest: Hashable, Sendable, CustomStringConvertible {
  public let description: String

  public init(of bytes: [UInt8]) { description = hex(SHA256.hash(data: bytes)) }

  /// Nil unless it is 64 digits of lower-case hexadecimal, so a digest is always fit for a path.
  public init?(_ text: String) {
    guard text.utf8.count == 64, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
      return nil
    }
    description = text
  }
}

/// Large bodies (attachments, fax pages, raw mails) as files named by their content: `ab/cd/abcd…`.
///
/// `keep` returns when the file, its name and the folders above are durable; the row that names it is written after.
/// A crash in between leaves a file nobody names, never a row without a file. The same content is kept once. Files are
/// never changed, and read bytes are compared with their name. At most `threads` files are in work at a time; callers
/// wait. Source: DESIGN §5.
public final class BodyStore: Sendable {
  public let directory: String
  private let threads: BlockingThreads

  /// Creates the folder where it is missing and removes what a crash left half written.
  public init(directory: String, threads: Int = 2) throws {
    self.directory = directory
    self.threads = BlockingThreads(threads, name: "store-bodies")
    try makeDirectory(directory)
    try makeDirectory(directory + "/tmp")
    for name in try entries(of: directory + "/tmp") {
      guard unlink("\(directory)/tmp/\(name)") == 0 || errno == ENOENT else {
        throw systemFailure("\(directory)/tmp/\(name): cannot be removed", errno)
      }
    }
  }

  @discardableResult
  public func keep(_ bytes: [UInt8]) async throws -> BodyDigest {
    try await threads.run { [directory] in try keepBody(bytes, in: directory) }
  }

  /// Throws `.unreadable` when it is not there, `.corrupt` when its bytes are not those of its name.
  public func read(_ digest: BodyDigest) async throws -> [UInt8] {
    try await threads.run { [directory] in try readBody(digest, in: directory) }
  }

  /// Whether there is a file of that name; its bytes are not looked at.
  public func contains(_ digest: BodyDigest) async throws -> Bool {
    try await threads.run { [directory] in access(path(of: digest, in: directory), R_OK) == 0 }
  }
}

extension StoreURL {
  /// Where the bodies lie unless configured otherwise: beside a SQLite file. Nil for PostgreSQL.
  public var bodyDirectory: String? {
    switch place {
    case .sqlite(let path): path + ".bodies"
    case .postgres: nil
    }
  }
}

// MARK: Files, blocking

func path(of digest: BodyDigest, in directory: String) -> String {
  let name = digest.description
  return "\(directory)/\(name.prefix(2))/\(name.dropFirst(2).prefix(2))/\(name)"
}

@discardableResult
func keepBody(_ bytes: [UInt8], in directory: String) throws -> BodyDigest {
  let digest = BodyDigest(of: bytes)
  let final = path(of: digest, in: directory)
  let folder = Store.directory(of: final)
  var status = stat()
  if stat(final, &status) == 0, Int(status.st_size) == bytes.count {
    // Whoever wrote it may not have come to this yet.
    try syncDirectory(folder)
    return digest
  }
  try makeDirectory(Store.directory(of: folder))
  try makeDirectory(folder)
  try writeDurably(bytes, to: final, by: "\(directory)/tmp/\(digest).\(UInt64.random(in: 0 ... .max))")
  return digest
}

func readBody(_ digest: BodyDigest, in directory: String) throws -> [UInt8] {
  let file = path(of: digest, in: directory)
  let bytes = try readFile(file)
  guard BodyDigest(of: bytes) == digest else {
    throw DatabaseError(.corrupt, "\(file): its bytes are not those it was kept with")
  }
  return bytes
}

/// Every body there, without reading it.
func bodies(in directory: String) throws -> [BodyDigest] {
  guard access(directory, F_OK) == 0 else { return [] }
  var found: [BodyDigest] = []
  for first in try entries(of: directory) where first.utf8.count == 2 {
    for second in try entries(of: "\(directory)/\(first)") where second.utf8.count == 2 {
      found += try entries(of: "\(directory)/\(first)/\(second)").compactMap { BodyDigest($0) }
    }
  }
  return found
}

/// Temporary file, fsync, rename, fsync of the folder.
func writeDurably(_ bytes: [UInt8], to final: String, by temporary: String) throws {
  let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
  guard descriptor >= 0 else { throw systemFailure("\(temporary): cannot be created", errno) }
  var failure: DatabaseError?
  var offset = 0
  while offset < bytes.count, failure == nil {
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + offset, bytes.count - offset) }
    if count >= 0 {
      offset += count
    } else if errno != EINTR {
      failure = systemFailure("\(temporary): cannot be written", errno)
    }
  }
  if failure == nil, fsync(descriptor) != 0 { failure = systemFailure("\(temporary): cannot be synced", errno) }
  if close(descriptor) != 0, failure == nil { failure = systemFailure("\(temporary): cannot be closed", errno) }
  if failure == nil, rename(temporary, final) != 0 { failure = systemFailure("\(final): cannot be named", errno) }
  if let failure {
    unlink(temporary)
    throw failure
  }
  try syncDirectory(directory(of: final))
}

func readFile(_ path: String) throws -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw systemFailure("\(path): cannot be opened", errno) }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { throw systemFailure("\(path): cannot be read", errno) }
  var failure: DatabaseError?
  let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
    while count < buffer.count {
      let got = Glibc.read(descriptor, buffer.baseAddress! + count, buffer.count - count)
      if got > 0 {
        count += got
      } else if got == 0 {
        break
      } else if errno != EINTR {
        failure = systemFailure("\(path): cannot be read", errno)
        break
      }
    }
  }
  if let failure { throw failure }
  return bytes
}

/// One level; durable. Fine if it is there.
func makeDirectory(_ path: String) throws {
  if mkdir(path, 0o750) == 0 {
    try syncDirectory(directory(of: path))
  } else if errno != EEXIST {
    throw systemFailure("\(path): cannot be created", errno)
  }
}

func entries(of path: String) throws -> [String] {
  guard let stream = opendir(path) else { throw systemFailure("\(path): cannot be listed", errno) }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}
