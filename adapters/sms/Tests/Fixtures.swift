import Foundation

/// Recordings and tables of this room, and those shared beside the package when they are there.
enum Fixtures {
  static let own = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")
  static let shared = own.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared")

  static func text(_ name: String) throws -> String {
    try String(contentsOf: own.appendingPathComponent(name), encoding: .utf8)
  }

  static var recordings: [String] {
    let folder = own.appendingPathComponent("recordings").path
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".hex") }
      .sorted()
  }
}
