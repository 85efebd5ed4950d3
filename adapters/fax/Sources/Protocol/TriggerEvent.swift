/// One line of SITE TRIGGER: `HHMMSS NNN text`.
///
/// Events wake Liaison; they prove nothing. 126 "Job completed successfully" is sent for failed jobs too (specs/fax.md
/// trap 1), and 134–136 look the same for a fax that was cut off (trap 5): what became of a job is asked of the queues.
/// Source: faxd/Trigger.h (numbers are its values plus 100), hfaxd/Trigger.c++.
public struct TriggerEvent: Hashable, Sendable {
  public enum Kind: Int, Hashable, Sendable, CaseIterable {
    case jobCreated = 100, jobSuspended, jobReady, jobSleeping, jobDead, jobProcessing, jobReaped, jobActive
    case jobRejected, jobKilled, jobBlocked, jobDelayed, jobAltered, jobTimedOut, preparationBegan, preparationEnded
    case sendBegan, callPlaced, connected, pageSent, documentSent, pollReceived, pollDone, attemptEnded, sendReformat
    case jobRequeued, jobDone
    case receiveBegan = 132, sessionBegan, pageReceived, documentReceived, callEnded
    case modemAssigned = 148, modemReleased, modemDown, modemReady, modemBusy, modemWedged, modemInUse
    case dataCallBegan, dataCallEnded, voiceCallBegan, voiceCallEnded, callerID
  }
  public enum Subject: Hashable, Sendable {
    case job(JobID)
    case modem(String)
    case reception
  }

  /// `HHMMSS` in the zone of the session; there is no date.
  public var time: String
  public var number: Int
  /// Nil for a number this version does not know; it is passed over.
  public var kind: Kind? { Kind(rawValue: number) }
  public var subject: Subject?
  public var text: String

  public init?(_ line: String) {
    let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].count == 6, parts[0].allSatisfy(\.isNumber), parts[1].count == 3,
      let number = Int(parts[1])
    else { return nil }
    time = String(parts[0])
    self.number = number
    text = String(parts[2])
    if text.hasPrefix("JOB ") {
      subject = JobID(text.dropFirst(4).prefix { $0.isNumber }).map { .job($0) }
    } else if text.hasPrefix("MODEM ") {
      subject = .modem(String(text.dropFirst(6).prefix { $0 != ":" }))
    } else if text.hasPrefix("RECV FAX") {
      subject = .reception
    }
  }

  /// A queue may have changed in a way that matters: something ended, or a fax is complete.
  public var asksForSweep: Bool {
    switch kind {
    case .jobDead, .jobReaped, .jobRejected, .jobKilled, .jobTimedOut, .attemptEnded, .jobRequeued, .jobDone,
      .documentReceived, .callEnded:
      true
    default: false
    }
  }

  /// Of 135: `…, file recvq/fax000000001.tif`.
  public var receivedFile: String? {
    guard kind == .documentReceived, let range = lastRange(of: "file recvq/") else { return nil }
    let name = text[range.upperBound...].prefix { !$0.isWhitespace }
    return name.isEmpty ? nil : String(name)
  }

  /// `(com 000000001)`: the number of the call in the server's logs.
  public var communication: String? {
    guard let range = lastRange(of: "com ") else { return nil }
    let digits = text[range.upperBound...].prefix { $0.isNumber }
    return digits.isEmpty ? nil : String(digits)
  }

  /// Of 159: the values the modem reported, in the order of its CallIDPattern lines.
  public var callIDs: [String] {
    guard kind == .callerID, let range = lastRange(of: "information: ") else { return [] }
    var values: [String] = []
    var current: String?
    for character in text[range.upperBound...] {
      if character == "\"" {
        if let value = current { values.append(value) }
        current = current == nil ? "" : nil
      } else {
        current?.append(character)
      }
    }
    return values
  }

  private func lastRange(of needle: String) -> Range<String.Index>? {
    var found: Range<String.Index>?
    var start = text.startIndex
    while start < text.endIndex {
      if text[start...].hasPrefix(needle) { found = start..<text.index(start, offsetBy: needle.count) }
      start = text.index(after: start)
    }
    return found
  }
}
