import ArgumentParser
import Foundation
import SMS

/// `liaison inspect sms FILE.hex…`: recorded SMPP or CMPP sessions as JSON lines, one a PDU and one a message.
///
/// Exit codes: 0 all files were read (whatever is in them), 66 a file could not be read.
struct InspectSMS: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sms",
    abstract: "Decode recorded SMPP or CMPP sessions (C/S hex lines): one JSON object a PDU, then one a message.")

  @Argument(help: "Recordings; `-` reads standard input.")
  var files: [String]

  @Option(name: .customLong("protocol"), help: "smpp or cmpp; told from the recording if not given.")
  var wire: String?

  @Option(help: "What data_coding 0 means on this link: gsm7, latin1, ascii, ucs2, gb18030.")
  var defaultAlphabet: String = "gsm7"

  func validate() throws {
    if let wire, Inspection.Wire(rawValue: wire) == nil {
      throw ValidationError("--protocol is smpp or cmpp, not \(wire)")
    }
    if TextProfile.DefaultAlphabet(rawValue: defaultAlphabet) == nil {
      let words = TextProfile.DefaultAlphabet.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--default-alphabet is one of \(words), not \(defaultAlphabet)")
    }
  }

  func run() async throws {
    let alphabet = TextProfile.DefaultAlphabet(rawValue: defaultAlphabet) ?? .gsm7
    let options = Inspection.Options(
      wire: wire.flatMap(Inspection.Wire.init(rawValue:)), profile: TextProfile(defaultAlphabet: alphabet))
    var failed = false
    for file in files {
      let data: Data
      do {
        data =
          try file == "-"
          ? FileHandle.standardInput.readToEnd() ?? Data() : Data(contentsOf: URL(fileURLWithPath: file))
      } catch {
        FileHandle.standardError.write(Data("liaison: cannot read \(file): \(error.localizedDescription)\n".utf8))
        failed = true
        continue
      }
      for line in Inspection.lines(of: String(decoding: data, as: UTF8.self), file: file, options: options) {
        print(line)
      }
    }
    if failed { throw ExitCode(66) }
  }
}
