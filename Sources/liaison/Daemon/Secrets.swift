import Crypto
import Foundation

/// The daemon's own secret, from which the keys of reference numbers, submission tokens and cursors are derived.
///
/// 32 random bytes as hexadecimal in a file of mode 0600, made at the first start. Losing it makes reference numbers
/// unfindable for new look-ups by number and open form pages stale; it belongs into the backup.
struct Secrets: Sendable {
  private let root: SymmetricKey

  /// Reads the file, or makes it. Throws a sentence an operator can act on.
  init(file: String) throws {
    if let text = try Self.existing(file) {
      guard let bytes = Self.bytes(text), bytes.count == 32 else {
        throw DaemonError.configuration("\(file) is no secret of this daemon: it must be 64 hexadecimal digits")
      }
      root = SymmetricKey(data: bytes)
      return
    }
    let key = SymmetricKey(size: .bits256)
    let text = key.withUnsafeBytes { $0.map { String(format: "%02x", $0) }.joined() } + "\n"
    // Whole or not at all: a file half written by a process that was killed would be refused at every later start.
    let draft = file + ".new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Self.cannotWrite(file, errno) }
    defer { close(descriptor) }
    let written = text.withCString { write(descriptor, $0, text.utf8.count) }
    guard written == text.utf8.count, fsync(descriptor) == 0, rename(draft, file) == 0 else {
      throw Self.cannotWrite(file, errno)
    }
    let parent = (file as NSString).deletingLastPathComponent
    let folder = open(parent.isEmpty ? "." : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw Self.cannotWrite(file, errno) }
    defer { close(folder) }
    guard fsync(folder) == 0 else { throw Self.cannotWrite(file, errno) }
    root = key
  }

  /// 32 bytes for one purpose, unrelated to those for any other (RFC 5869).
  func key(for purpose: String) -> [UInt8] {
    let derived = HKDF<SHA256>.deriveKey(
      inputKeyMaterial: root, info: Data("liaison \(purpose) 1".utf8), outputByteCount: 32)
    return derived.withUnsafeBytes { Array($0) }
  }

  private static func cannotWrite(_ file: String, _ code: Int32) -> DaemonError {
    let text = "cannot write \(file): \(String(cString: strerror(code)))"
    return code == ENOSPC || code == EDQUOT || code == EROFS || code == EFBIG ? .storage(text) : .configuration(text)
  }

  private static func existing(_ file: String) throws -> String? {
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    do {
      return try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    } catch {
      throw DaemonError.configuration("cannot read \(file)")
    }
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var out: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else { return nil }
      out.append(byte)
    }
    return out
  }
}
