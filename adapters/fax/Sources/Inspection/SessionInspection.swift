import Channels

/// What Liaison makes of one recorded control connection, as `liaison inspect fax` prints it.
///
/// The replies go through the parser that production uses; a command without reply and a line outside every reply are
/// shown, since both are known ways in which HylaFAX misbehaves (specs/fax.md traps 3, 4, 6).
public struct SessionInspection: Encodable, Sendable {
  public struct Problem: Encodable, Sendable {
    public var code: String
    public var command: String?
    public var text: String
  }
  public struct Job: Encodable, Sendable {
    public var job: Int
    public var tag: String?
    public var number: String?
    public var document: String?
    public var parameters: [String: String] = [:]
    /// What JSUBM was answered; nil if it was not sent in this session.
    public var submitted: Bool?
    public var state: String?
    public var status: String?
    public var statusCode: String?
    public var pagesSent: Int?
    public var pagesTotal: Int?
    public var dials: Int?
    public var tries: Int?
    /// From STATE and STATUS only; nil while the job is not final or they were not asked for.
    public var outcome: String?
    /// As Liaison would settle it: delivered, undelivered, expired, unknown.
    public var settledAs: String?
    /// Events seen for it, by number; they prove nothing.
    public var events: [Int] = []
    public var killed: String?
    init(_ id: Int) { job = id }
  }
  public struct Fax: Encodable, Sendable {
    public var file: String?
    public var pages: Int?
    public var tsi: String?
    public var caller: String?
    public var callerName: String?
    public var did: String?
    public var communication: String?
    public var receiving: Bool?
    public var bytes: Int?
    /// What the event stream or the queue said of errors. A fax that was cut off looks whole here (trap 5).
    public var error: String?
  }
  public struct Transfer: Encodable, Sendable {
    public var command: String
    public var direction: String
    public var bytes: Int
    public var compressed: Bool
    public var document: DocumentInspection?
  }
  public struct Modem: Encodable, Sendable {
    public var modem: String
    public var status: String
  }

  public var file: String
  public var kind = "session"
  public var serverVersion: String?
  public var user: String?
  public var administrator = false
  public var seconds: Double
  public var commands = 0
  public var replies = 0
  public var jobs: [Job]
  public var received: [Fax]
  public var transfers: [Transfer] = []
  public var events: [Event] = []
  public var modems: [Modem] = []
  public var deleted: [String] = []
  public var errors: [Problem] = []
  public var closedBy: String?

  public struct Event: Encodable, Sendable {
    public var seconds: Double
    public var time: String
    public var number: Int
    public var name: String?
    public var job: Int?
    public var modem: String?
    public var text: String
  }

  /// `attachment` gives the bytes of a file beside the recording, nil if there is none.
  public init(file: String, recording: Recording, attachment: (String) -> [UInt8]?) {
    self.file = file
    seconds = recording.moments.last?.seconds ?? 0
    jobs = []
    received = []
    var reader = SessionReader()
    for moment in recording.moments { reader.read(moment, attachment: attachment) }
    reader.finish()
    serverVersion = reader.serverVersion
    user = reader.user
    administrator = reader.administrator
    commands = reader.commandCount
    replies = reader.replyCount
    jobs = reader.jobs.values.sorted { $0.job < $1.job }
    received = reader.faxes
    transfers = reader.transfers
    events = reader.events
    modems = reader.modems
    deleted = reader.deleted
    errors = reader.problems
    closedBy = reader.closedBy
    if recording.unreadableLines > 0 {
      errors.append(
        Problem(
          code: "unreadable-recording", command: nil,
          text: "\(recording.unreadableLines) lines of the recording have no known form"))
    }
    if recording.moments.isEmpty {
      errors.append(Problem(code: "empty-recording", command: nil, text: "the recording holds nothing"))
    }
  }
}
