import ArgumentParser
import Fax
import Foundation

/// `liaison inspect fax FILE…`: one JSON line per file.
///
/// A TIFF gives its pages, sizes, resolution, origin and every fault; a `.rec` what the recorded HylaFAX session did,
/// with
/// the outcome of each job by STATE and STATUS. Exit code 0 also for broken files: saying what is wrong is the purpose;
/// 66 (no input) when a file cannot be opened.
struct InspectFax: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fax", abstract: "Decode faxes (TIFF) and recorded HylaFAX sessions (.rec).")

  @Argument(help: "TIFF files, recordings (.rec), or folders of them.")
  var files: [String]

  @Option(help: "Write each page as PNG with square pixels into this folder.")
  var previews: String?

  @Option(help: "Write each TIFF as PDF into this folder.")
  var pdf: String?

  func run() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    var missing = false
    for path in files.flatMap(expanded) {
      guard let data = FileManager.default.contents(atPath: path) else {
        missing = true
        FileHandle.standardError.write(Data("\(path): cannot be read\n".utf8))
        continue
      }
      let bytes = [UInt8](data)
      let line: Data
      if path.hasSuffix(".rec") {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        let inspection = SessionInspection(file: path, recording: Recording(bytes)) { name in
          // Only files beside the recording: a name with a folder in it is not followed.
          guard !name.contains("/") else { return nil }
          return FileManager.default.contents(atPath: folder.appendingPathComponent(name).path).map { [UInt8]($0) }
        }
        line = try encoder.encode(inspection)
      } else {
        line = try encoder.encode(DocumentInspection(file: path, bytes: bytes))
        try export(path, bytes)
      }
      FileHandle.standardOutput.write(line + Data("\n".utf8))
    }
    if missing { throw ExitCode(66) }
  }

  private func expanded(_ path: String) -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      return [path]
    }
    // An unreadable folder has nothing to show; the path itself is then reported as unreadable.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let wanted = names.filter { [".rec", ".tif", ".tiff"].contains(where: $0.lowercased().hasSuffix) }.sorted()
    return wanted.isEmpty ? [path] : wanted.map { path + "/" + $0 }
  }

  private func export(_ path: String, _ bytes: [UInt8]) throws {
    let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    var failure: (any Error)?
    if let previews {
      _ = FaxReading(bytes) { number, image in
        do {
          try Data(image.squared().png()).write(to: URL(fileURLWithPath: "\(previews)/\(name)-\(number).png"))
        } catch { failure = error }
      }
    }
    if let pdf, let document = FaxPDF(bytes) {
      try Data(document.bytes).write(to: URL(fileURLWithPath: "\(pdf)/\(name).pdf"))
    }
    if let failure { throw failure }
  }
}
