import ArgumentParser
import Email
import Foundation

/// `liaison inspect email FILE…`: what Liaison makes of each mail, one JSON object a line. Pure: nothing is stored or sent.
///
/// Every file gives exactly one line, also one that cannot be read: `{"file": …, "error": …}`. Exit code 0 if all
/// could be read, 1 otherwise.
struct InspectEmail: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "email", abstract: "Read mails (RFC 5322 files) and print what Liaison makes of them.")

  @Argument(help: "Files, one mail each.") var files: [String]
  @Option(help: "Read the files again and again for so many seconds and print how many mails that were a second.")
  var bench: Int?

  func run() async throws {
    let reader = MailReader()
    if let bench { return try await measure(reader, seconds: bench) }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var failed = false
    for path in files {
      let name = URL(fileURLWithPath: path).lastPathComponent
      do {
        let raw = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let mail = try await reader.read(raw)
        if let reason = mail.unreadableReason {
          failed = true
          try printLine(encoder.encode(Failure(file: name, error: reason)))
        } else {
          try printLine(encoder.encode(Line(file: name, mail)))
        }
      } catch {
        failed = true
        try printLine(encoder.encode(Failure(file: name, error: "\(error)")))
      }
    }
    if failed { throw ExitCode(1) }
  }

  /// Reading alone, in memory and on the one thread of reading: nothing is stored.
  private func measure(_ reader: MailReader, seconds: Int) async throws {
    let mails = try files.map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0))) }
    guard !mails.isEmpty else { throw ValidationError("no file to read") }
    let bytes = mails.reduce(0) { $0 + $1.count }
    let clock = ContinuousClock()
    let start = clock.now
    var rounds = 0
    while clock.now - start < .seconds(max(1, seconds)) {
      // Some at a time, so that the one thread never waits for who asks.
      for start in stride(from: 0, to: mails.count, by: 16) {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for mail in mails[start..<min(start + 16, mails.count)] {
            group.addTask { _ = try await reader.read(mail) }
          }
          try await group.waitForAll()
        }
      }
      rounds += 1
    }
    let (whole, atto) = (clock.now - start).components
    let elapsed = Double(whole) + Double(atto) / 1e18
    let rate = Double(rounds * mails.count) / elapsed
    let megabytes = Double(rounds * bytes) / elapsed / 1e6
    try printLine(Data(String(format: "%.0f mails/s, %.1f MB/s, one thread", rate, megabytes).utf8))
  }

  private func printLine(_ json: Data) throws {
    try FileHandle.standardOutput.write(contentsOf: json + Data("\n".utf8))
  }

  private struct Failure: Encodable {
    var file: String
    var error: String
  }

  /// The keys are part of the command's contract.
  private struct Line: Encodable {
    struct Bounce: Encodable {
      var rcpt: String
      var action: String
      var status: String
      var reason: String
      var hard: Int
      var mid: String
    }
    var file: String
    var from: String
    var from_name: String
    var subject: String
    var text: String
    var charset: String
    var attachments: [String]
    var message_id: String
    var in_reply_to: String
    var references: String
    var bounce: Bool
    var auto: Bool
    var bounce_details: [Bounce]
    var list: Bool
    var reply_text: String

    init(file: String, _ mail: ReadMail) {
      self.file = file
      from = mail.from
      from_name = mail.fromName
      subject = mail.subject
      text = mail.text
      charset = mail.charset
      attachments = mail.attachments.map(\.name)
      message_id = mail.messageID
      in_reply_to = mail.inReplyTo
      references = mail.references
      bounce = mail.isBounce
      auto = mail.isAutomaticAnswer
      bounce_details = mail.bouncedRecipients.map {
        Bounce(
          rcpt: $0.address, action: $0.action.rawValue, status: $0.status, reason: $0.reason, hard: $0.isHard ? 1 : 0,
          mid: $0.originalMessageID)
      }
      if let complaint = mail.complaint {
        bounce_details.append(
          Bounce(rcpt: complaint.address, action: "", status: "", reason: "feedback", hard: 0, mid: complaint.messageID)
        )
      }
      list = mail.isListMail
      reply_text = mail.replyText
    }
  }
}
