import Foundation

@testable import Fax

/// Files of this room: recordings of a real HylaFAX 6.0.7 and documents as customers send them (recordings/INDEX.md),
/// and
/// small TIFFs with the tags of a received fax, one for each coding.
enum Fixture {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

  static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
  }
  static func document(_ name: String) throws -> [UInt8] { try bytes("recordings/documents/\(name)") }

  /// `story/NNN`.
  static func recording(_ name: String) throws -> Recording { Recording(try bytes("recordings/protocol/\(name).rec")) }

  static func inspection(_ name: String) throws -> SessionInspection {
    let story = name.split(separator: "/")[0]
    return SessionInspection(file: name, recording: try recording(name)) { file in
      // A recording may name a file that was not kept.
      try? bytes("recordings/protocol/\(story)/\(file)")
    }
  }

  static let stories: [String] = {
    let root = folder.appendingPathComponent("recordings/protocol")
    let names = FileManager.default.enumerator(atPath: root.path)?.compactMap { $0 as? String } ?? []
    return names.filter { $0.hasSuffix(".rec") }.map { String($0.dropLast(4)) }.sorted()
  }()
}

/// A small generator with a fixed seed: the same mutations in every run. SplitMix64.
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// One to four damages: a byte changed, a stretch cut out, doubled or overwritten.
  mutating func damaged(_ bytes: [UInt8]) -> [UInt8] {
    var out = bytes
    for _ in 0..<Int.random(in: 1...4, using: &self) where !out.isEmpty {
      let at = Int.random(in: 0..<out.count, using: &self)
      let length = min(Int.random(in: 1...16, using: &self), out.count - at)
      switch Int.random(in: 0..<5, using: &self) {
      case 0, 1: out[at] = UInt8.random(in: 0...255, using: &self)
      case 2: out.removeSubrange(at..<at + length)
      case 3: out.insert(contentsOf: out[at..<at + length], at: at)
      default: for index in at..<at + length { out[index] = [0, 0xff, 0x7f, 0x80].randomElement(using: &self) ?? 0 }
      }
    }
    return out
  }
}

/// Little-endian TIFFs written field by field, so that each can hold one lie.
struct TIFFWriter {
  var bytes: [UInt8] = Array("II*\0\0\0\0\0".utf8)
  private var link = 4

  static func entry(_ tag: Int, _ type: Int, _ count: Int, _ value: Int) -> [UInt8] {
    number(tag, 2) + number(type, 2) + number(count, 4) + number(value, 4)
  }
  static func number(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// An uncompressed page of one strip; `change` may falsify its entries. Returns the offset of its directory.
  @discardableResult
  mutating func page(
    width: Int = 16, height: Int = 4, data: [UInt8]? = nil, next: Int? = nil,
    change: (inout [Int: [UInt8]]) -> Void = { _ in }
  ) -> Int {
    let data = data ?? [UInt8](repeating: 0x0f, count: (min(width, 5_000) + 7) / 8 * min(height, 64))
    let at = bytes.count
    bytes += data
    var entries: [Int: [UInt8]] = [
      256: Self.entry(256, 4, 1, width), 257: Self.entry(257, 4, 1, height), 258: Self.entry(258, 3, 1, 1),
      259: Self.entry(259, 3, 1, 1), 262: Self.entry(262, 3, 1, 0), 273: Self.entry(273, 4, 1, at),
      277: Self.entry(277, 3, 1, 1), 278: Self.entry(278, 4, 1, height), 279: Self.entry(279, 4, 1, data.count),
    ]
    change(&entries)
    let directory = bytes.count
    bytes.replaceSubrange(link..<link + 4, with: Self.number(directory, 4))
    bytes += Self.number(entries.count, 2)
    for tag in entries.keys.sorted() { bytes += entries[tag] ?? [] }
    link = bytes.count
    bytes += Self.number(next ?? 0, 4)
    return directory
  }
}
