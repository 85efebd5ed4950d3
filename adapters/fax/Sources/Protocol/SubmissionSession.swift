import Channels

/// The conversation that hands one job over: upload, JNEW, parameters, JSUBM.
///
/// Pure: replies and what became of the data connection in, actions out. Until JSUBM leaves nothing can be sent: the
/// server forgets a job that was not submitted when its connection ends. From then on until its reply the job is in
/// doubt, and `JOBINFO` finds it again. Begins after `Login`.
public struct SubmissionSession: Sendable {
  public enum Action: Hashable, Sendable {
    case send(Command)
    /// Connect to this port of the server's host, then call `dataConnected()`.
    case openData(port: Int)
    /// Send the document over the data connection and close it.
    case upload
    case wait
    case finish(Result)
  }
  public enum Result: Hashable, Sendable {
    case submitted(JobID)
    /// JSUBM was answered with a refusal: not sent. Why is in the job's STATUS, readable in a new session (trap 10).
    case refused(JobID, Fault)
    /// Not sent.
    case failed(Fault)
    /// JSUBM left and no answer came.
    case inDoubt(JobID, Fault)
  }
  private enum Step: Equatable {
    case format, type, passive(extended: Bool), connecting, opening, storing, newJob, parameter(Int), document,
      submitting
    case done
  }

  private let job: FaxJob
  private var step = Step.format
  private var parameters: [Command] = []
  private var documentPath: String?
  public private(set) var jobID: JobID?

  public init(_ job: FaxJob) { self.job = job }

  public mutating func begin() -> Action {
    do throws(Command.Failure) {
      parameters = try job.parameters()
    } catch {
      step = .done
      return .finish(.failed(Fault(.contentRefused, text: "a value cannot be sent to the server: \(error)")))
    }
    return .send(.fixed("FORM TIFF"))
  }

  public mutating func receive(_ reply: Reply) -> Action {
    if reply.code == 421 { return finish(lost(Fault(.connection, peerCode: "421", text: reply.text))) }
    switch step {
    case .format:
      guard reply.isSuccess else { return fail(reply) }
      step = .type
      return .send(.fixed("TYPE I"))
    case .type:
      guard reply.isSuccess else { return fail(reply) }
      step = .passive(extended: true)
      return .send(.fixed("EPSV"))
    case .passive(let extended):
      if extended, [500, 502, 504].contains(reply.code) {
        step = .passive(extended: false)
        return .send(.fixed("PASV"))
      }
      guard let port = PassiveReply.port(reply) else { return fail(reply) }
      step = .connecting
      return .openData(port: port)
    case .connecting, .done:
      return finish(.failed(Fault(.protocolViolation, peerCode: String(reply.code), text: "unasked: \(reply.text)")))
    case .opening:
      guard reply.code == 150, let path = SubmissionSession.storedPath(reply.text) else { return fail(reply) }
      documentPath = path
      step = .storing
      return .upload
    case .storing:
      if reply.isPreliminary { return .wait }
      guard reply.code == 226 else { return fail(reply) }
      step = .newJob
      return .send(.fixed("JNEW"))
    case .newJob:
      guard reply.isSuccess, let id = SubmissionSession.jobID(reply.text) else { return fail(reply) }
      jobID = id
      step = .parameter(0)
      return .send(parameters[0])
    case .parameter(let index):
      guard reply.code == 213 else { return fail(reply) }
      // The number as the server took it: what it would dial must be what was asked for.
      if parameters[index].line.hasPrefix("JPARM DIALSTRING "), !reply.text.contains("\"\(job.number)\"") {
        return finish(.failed(Fault(.protocolViolation, text: "the server took the number as: \(reply.text)")))
      }
      guard index + 1 < parameters.count else {
        step = .document
        do throws(Command.Failure) {
          return .send(try .parameter("DOCUMENT", word: documentPath ?? ""))
        } catch {
          return finish(.failed(Fault(.protocolViolation, text: "the server named the document senselessly")))
        }
      }
      step = .parameter(index + 1)
      return .send(parameters[index + 1])
    case .document:
      guard reply.isSuccess else { return fail(reply) }
      step = .submitting
      return .send(.fixed("JSUBM"))
    case .submitting:
      if reply.isPreliminary { return .wait }
      guard let id = jobID else { return fail(reply) }
      if reply.isSuccess { return finish(.submitted(id)) }
      return finish(.refused(id, fault(reply)))
    }
  }

  /// The data connection stands: STOT may be sent.
  public mutating func dataConnected() -> Action {
    guard step == .connecting else { return .wait }
    step = .opening
    return .send(.fixed("STOT"))
  }

  /// What a broken connection means at this point.
  public mutating func connectionLost(_ fault: Fault) -> Result {
    let result = lost(fault)
    step = .done
    return result
  }

  private func lost(_ fault: Fault) -> Result {
    if step == .submitting, let jobID { return .inDoubt(jobID, fault) }
    return .failed(fault)
  }

  private mutating func finish(_ result: Result) -> Action {
    step = .done
    return .finish(result)
  }

  private mutating func fail(_ reply: Reply) -> Action { finish(.failed(fault(reply))) }

  private func fault(_ reply: Reply) -> Fault {
    let code: Fault.Code =
      switch reply.code {
      case 421, 425, 426: .connection
      case 530: .authentication
      case 500...504: .protocolViolation
      default: .peerFailure
      }
    return Fault(code, peerCode: String(reply.code), text: reply.text)
  }

  /// `FILE: /tmp/doc3.tif (Opening new data connection).`
  static func storedPath(_ text: String) -> String? {
    guard text.hasPrefix("FILE: ") else { return nil }
    let path = text.dropFirst(6).prefix { !$0.isWhitespace }
    return path.isEmpty ? nil : String(path)
  }

  /// `New job created: jobid: 3 groupid: 3.`
  static func jobID(_ text: String) -> JobID? {
    guard let range = text.ranges(ofText: "jobid: ").first else { return nil }
    return JobID(text[range.upperBound...].prefix { $0.isNumber })
  }
}

/// Where a server waits for the data connection. Only the port is used: the host is the one of the control connection,
/// so that no reply can send a document elsewhere.
enum PassiveReply {
  static func port(_ reply: Reply) -> Int? {
    let text = reply.text
    if reply.code == 229, let open = text.firstIndex(of: "(") {
      let digits = text[text.index(after: open)...].drop { !$0.isNumber }.prefix { $0.isNumber }
      return Int(digits).flatMap { (1...65_535).contains($0) ? $0 : nil }
    }
    guard reply.code == 227, let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close
    else { return nil }
    let numbers = text[text.index(after: open)..<close].split(separator: ",").map { Int($0) ?? -1 }
    guard numbers.count == 6, numbers.allSatisfy({ (0...255).contains($0) }) else { return nil }
    let port = numbers[4] << 8 | numbers[5]
    return port > 0 ? port : nil
  }
}
