import ArgumentParser
import Foundation
import Telephony

/// `liaison inspect telephony FILE.ami…`: what recorded manager connections come to.
struct InspectTelephony: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "telephony",
    abstract: "Read recordings of an Asterisk's manager connection and print one JSON object per call.",
    discussion: """
      Several files are successive connections to the same server. Beside FILE.ami a FILE.timing may lie, with one \
      line `ms S length` per read; without it times come from the messages' Timestamp headers.
      """)

  @Argument(help: "Recordings: every byte the server sent, one file per connection.")
  var files: [String]

  @Option(help: "A device that is the public network, for example PJSIP/trunk or SIP/gw-*. May be repeated.")
  var trunk: [String] = []

  @Option(help: "A device that is one of the bank's telephones. May be repeated.")
  var station: [String] = []

  @Option(help: "The channel variable that holds the customer's number.")
  var customerVariable = "CUSTOMER_NO"

  @Option(help: "The channel variable that holds the number dialled.")
  var dialledVariable = "LIAISON_DID"

  @Option(help: "Read in pieces of so many bytes, to show that it makes no difference.")
  var piece: Int?

  func run() throws {
    var rules = ChannelName.Rules()
    rules.trunks = trunk
    rules.stations = station
    var inspection = TelephonyInspection(
      settings: AsteriskInterpreter.Settings(
        rules: rules, customerVariable: customerVariable, dialledVariable: dialledVariable))
    for file in files {
      let url = URL(fileURLWithPath: file)
      let bytes: [UInt8]
      do {
        bytes = Array(try Data(contentsOf: url))
      } catch {
        throw ValidationError("\(file): cannot be read: \(error.localizedDescription)")
      }
      // Without a timing file the Timestamp headers do.
      let timing = try? String(
        contentsOf: url.deletingPathExtension().appendingPathExtension("timing"), encoding: .utf8)
      inspection.add(bytes, timing: timing, piece: piece.map { max(1, $0) })
    }
    for line in inspection.lines() { print(line) }
  }
}
