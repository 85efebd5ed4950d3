import Channels

/// What became of a job, from STATE and STATUS alone, in the classes a bank acts on.
///
/// With the tries used up the code is always 333, the cause is the text before the semicolon (specs/fax.md §3): so the
/// text
/// is classified, and kept. DONE alone is not success either: a job of which no page went out has been reported
/// done (gonicus/gofaxip#34), and a file with a bad second page was faxed as one page (trap 28). Only DONE with every
/// page
/// confirmed, as many as were submitted, is delivered.
public enum JobOutcome: Hashable, Sendable {
  case delivered(pages: Int)
  case busy
  case noAnswer
  /// Someone answered, no fax tone came, or the caller's side hung up.
  case person
  /// Answered, a connection perhaps, but no fax spoke.
  case notAFax
  /// The connection broke; the receiver has confirmed `after` of `of` pages.
  case cut(after: Int, of: Int)
  /// The last page went out and its confirmation did not come back: the receiver may have it all (trap 7).
  case lastPageInDoubt(of: Int)
  /// The network refused the number, or there was no line: the modem cannot tell which.
  case rejected
  case badDocument
  case expired
  case killed
  /// The server itself would not take the job, for a reason that is not the document.
  case refused
  /// DONE, but not every page is confirmed.
  case incomplete(pages: Int, of: Int)
  /// Failed for a reason of the line or the server that is none of the above.
  case failed

  /// Nil while the server may still do something about the job.
  public init?(state: JobState, status: String, pagesSent: Int, pagesTotal: Int, pagesSubmitted: Int? = nil) {
    let expected = max(pagesTotal, pagesSubmitted ?? 0)
    switch state {
    case .done:
      let whole = pagesSent > 0 && pagesSent >= expected && JobOutcome.cause(status).isEmpty
      self = whole ? .delivered(pages: pagesSent) : .incomplete(pages: pagesSent, of: expected)
    case .failed:
      self = JobOutcome(failure: JobOutcome.cause(status), pagesSent: pagesSent, pagesTotal: expected)
    case .undefined, .suspended, .pending, .sleeping, .blocked, .ready, .active:
      return nil
    }
  }

  public init?(_ row: JobRow) {
    self.init(
      state: row.state, status: row.status, pagesSent: row.pagesSent, pagesTotal: row.pagesTotal,
      pagesSubmitted: row.pagesSubmitted)
  }

  /// The text before `; too many attempts to dial`.
  static func cause(_ status: String) -> String {
    let first = status.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
    return String(first).trimmed
  }

  private init(failure cause: String, pagesSent: Int, pagesTotal: Int) {
    for (prefix, outcome) in JobOutcome.causes where cause.hasPrefix(prefix) {
      // Killed while running, the page in hand is finished first (trap 7): all of it may have arrived.
      let allSent = outcome == .killed && pagesTotal > 0 && pagesSent >= pagesTotal
      self = allSent ? .lastPageInDoubt(of: pagesTotal) : outcome
      return
    }
    let last = pagesTotal > 0 && pagesSent == pagesTotal - 1
    if JobOutcome.unconfirmed.contains(where: cause.hasPrefix) {
      self = last ? .lastPageInDoubt(of: pagesTotal) : .cut(after: pagesSent, of: pagesTotal)
    } else if pagesTotal > 0, pagesSent >= pagesTotal {
      self = .lastPageInDoubt(of: pagesTotal)
    } else if pagesSent > 0 || JobOutcome.inMidCall.contains(where: cause.hasPrefix) {
      self = .cut(after: pagesSent, of: pagesTotal)
    } else {
      self = .failed
    }
  }

  /// Texts of faxd and faxq (`Status(nnn, …)`) whose meaning does not depend on how far the call came.
  private static let causes: [(String, JobOutcome)] = [
    ("Busy signal detected", .busy),
    ("No answer from remote", .noAnswer),
    ("Ringback detected, no answer without CED", .noAnswer),
    ("No carrier detected", .person),
    ("Ring detected without successful handshake", .person),
    ("Carrier established, but Phase A failure", .notAFax),
    ("Data connection established", .notAFax),
    ("No receiver protocol", .notAFax),
    ("No sender protocol", .notAFax),
    ("Remote has no T.4 receiver capability", .notAFax),
    ("COMREC invalid command received/no DIS or DTC", .notAFax),
    ("No local dialtone", .rejected),
    ("Blacklisted by modem", .rejected),
    ("Invalid dialing command", .rejected),
    ("REJECT: Unable to convert dial string", .rejected),
    ("Kill time expired", .expired),
    ("Job aborted by request", .killed),
    ("Job aborted by user", .killed),
    ("Call aborted by user", .killed),
    ("Job interrupted by user", .killed),
    ("Job deleted by another party", .killed),
    ("Document is not valid TIFF", .badDocument),
    ("Document conversion failed", .badDocument),
    ("Document preparation failed", .badDocument),
    ("Converted document is not valid TIFF", .badDocument),
    ("Could not reopen converted document", .badDocument),
    ("Can not open document file", .badDocument),
    ("Error reading directory", .badDocument),
    ("Too many pages in submission", .badDocument),
    ("Job contains no documents", .badDocument),
    ("Document is not in a Group 3", .badDocument),
    ("REJECT: No work found in job file", .badDocument),
    ("REJECT: Too many pages", .badDocument),
    ("REJECT: Page width", .badDocument),
    ("REJECT: Job expiration time", .refused),
    ("REJECT", .refused),
    ("Invalid or corrupted job description file", .refused),
  ]

  /// The page was sent and what the receiver made of it is unknown.
  private static let unconfirmed = [
    "No response to PPS", "No response to EOP", "No response to MPS", "No response to EOM", "No response to PPM",
    "No response to EOR", "No response to RR", "No response to RNR", "COMREC invalid response received to PPS",
    "Receiver flow control exceeded", "No response to CTC",
  ]
  private static let inMidCall = [
    "Failure to receive silence", "Remote fax disconnected prematurely", "Unspecified Transmit Phase C error",
    "RSPREC", "COMREC", "Unable to transmit page", "Failure to transmit clean ECM", "Failure to train",
    "Unable to establish message carrier", "Communication failure during Phase B/C", "Timeout waiting for Phase C",
    "T.30 T2 timeout", "Procedure interrupt", "Stop and wait failure",
  ]

  /// A bounded word for logs, metrics and `inspect`.
  public var code: String {
    switch self {
    case .delivered: "delivered"
    case .busy: "busy"
    case .noAnswer: "no-answer"
    case .person: "person"
    case .notAFax: "not-a-fax"
    case .cut: "cut"
    case .lastPageInDoubt: "last-page-in-doubt"
    case .rejected: "rejected"
    case .badDocument: "bad-document"
    case .expired: "expired"
    case .killed: "killed"
    case .refused: "refused"
    case .incomplete: "incomplete"
    case .failed: "failed"
    }
  }

  /// The report about a job that was accepted.
  public func report(
    wireIdentity: String?, peerID: String?, recipient: Address?, status: String, happenedAt: Timestamp?
  ) -> DeliveryReport {
    let state: DeliveryReport.State
    var fault: Fault?
    func say(_ code: Fault.Code, _ text: String) {
      fault = Fault(code, peerCode: self.code, text: status.isEmpty ? text : "\(text): \(status)")
    }
    switch self {
    case .delivered:
      state = .delivered
    case .busy:
      state = .undelivered
      say(.recipientBusy, "busy")
    case .noAnswer:
      state = .undelivered
      say(.noAnswer, "nobody answered")
    case .person:
      state = .undelivered
      say(.notAFax, "answered, but not by a fax machine")
    case .notAFax:
      state = .undelivered
      say(.notAFax, "no fax machine spoke")
    case .cut(let after, let total):
      state = .undelivered
      say(.peerFailure, "the call was cut after page \(after) of \(total)")
    case .lastPageInDoubt(let total):
      state = .unknown
      say(.peerFailure, "the last of \(total) pages was sent and not confirmed: the receiver may have the whole fax")
    case .rejected:
      state = .undelivered
      say(.unknownRecipient, "the network refused the number or gave no line")
    case .badDocument:
      state = .undelivered
      say(.contentRefused, "the document cannot be faxed")
    case .expired:
      state = .expired
      say(.expired, "not sent before its last time")
    case .killed:
      state = .undelivered
      say(.cancelled, "withdrawn")
    case .refused:
      state = .undelivered
      say(.policy, "the server refused the job")
    case .incomplete(let pages, let total):
      state = .unknown
      say(.peerFailure, "done according to the server, but \(pages) of \(total) pages are confirmed")
    case .failed:
      state = .undelivered
      say(.peerFailure, "failed")
    }
    return DeliveryReport(
      wireIdentity: wireIdentity, peerID: peerID, recipient: recipient, state: state, fault: fault,
      happenedAt: happenedAt, remedy: remedy)
  }

  /// What may be done about it. Nil where a part of it was sent, or somebody wanted it stopped.
  ///
  /// A person who answered is not rung again by a machine, nor a number the network refuses (MuckRock#842: a dead number
  /// was dialled 72 times); a whole fax is not begun again after pages of it were confirmed. The waits are HylaFAX's own
  /// (specs/fax.md §3).
  var remedy: DeliveryReport.Remedy? {
    switch self {
    case .busy: .init(sameChannel: true, afterSeconds: 180)
    case .noAnswer: .init(sameChannel: true, afterSeconds: 300)
    case .cut(after: 0, of: _), .failed: .init(sameChannel: true, afterSeconds: 60)
    case .person, .notAFax, .rejected, .badDocument, .refused: .init(sameChannel: false)
    case .delivered, .cut, .lastPageInDoubt, .expired, .killed, .incomplete: nil
    }
  }
}

extension String {
  /// Without white space and the backslash that HylaFAX puts before a line feed in a status, at either end.
  var trimmed: String {
    func isEdge(_ c: Character) -> Bool { c.isWhitespace || c == "\\" }
    return String(self.drop(while: isEdge).reversed().drop(while: isEdge).reversed())
  }
}
