import Channels

/// From the greeting to a session that is ready for commands: USER, PASS, ADMIN, TZONE GMT.
///
/// Pure: replies in, actions out. After a 530 the server wants USER again and allows five tries; Liaison tries once,
/// since
/// a wrong password does not become right and the host is locked out otherwise.
public struct Login: Sendable {
  public enum Action: Hashable, Sendable {
    case send(Command)
    /// Nothing to do until the next reply.
    case wait
    case ready
    case failed(Fault)
  }
  private enum Step { case greeting, user, password, administrator, zone, done }

  private var step = Step.greeting
  private let account: Account
  /// `6.0.7`, from the greeting.
  public private(set) var serverVersion: String?

  public struct Account: Hashable, Sendable {
    public var user: String
    /// Nil for a user that needs none.
    public var password: String?
    /// Needed to see faxes of mode 0600 and to delete them from recvq.
    public var administratorPassword: String?
    public init(user: String, password: String? = nil, administratorPassword: String? = nil) {
      self.user = user
      self.password = password
      self.administratorPassword = administratorPassword
    }
  }

  public init(_ account: Account) { self.account = account }

  public mutating func receive(_ reply: Reply) -> Action {
    if reply.isPreliminary { return .wait }
    if reply.code == 421 { return fail(.connection, reply) }
    switch step {
    case .greeting:
      guard reply.code == 220 else { return fail(.protocolViolation, reply) }
      serverVersion = Login.version(reply.text)
      step = .user
      return send { () throws(Command.Failure) in try .word("USER", account.user) }
    case .user:
      if reply.code == 230 { return afterPassword() }
      guard reply.code == 331, let password = account.password else { return fail(.authentication, reply) }
      step = .password
      return send { () throws(Command.Failure) in try .word("PASS", password) }
    case .password:
      return reply.code == 230 ? afterPassword() : fail(.authentication, reply)
    case .administrator:
      return reply.code == 230 ? zone() : fail(.authentication, reply)
    case .zone:
      guard reply.isSuccess else { return fail(.protocolViolation, reply) }
      step = .done
      return .ready
    case .done:
      return fail(.protocolViolation, reply)
    }
  }

  private mutating func afterPassword() -> Action {
    guard let password = account.administratorPassword else { return zone() }
    step = .administrator
    return send { () throws(Command.Failure) in try .word("ADMIN", password) }
  }

  private mutating func zone() -> Action {
    step = .zone
    return .send(.fixed("TZONE GMT"))
  }

  private func send(_ command: () throws(Command.Failure) -> Command) -> Action {
    do throws(Command.Failure) {
      return .send(try command())
    } catch {
      return .failed(Fault(.authentication, text: "the account holds a value that cannot be sent"))
    }
  }

  private func fail(_ code: Fault.Code, _ reply: Reply) -> Action {
    .failed(Fault(code, peerCode: String(reply.code), text: reply.text))
  }

  static func version(_ greeting: String) -> String? {
    guard let range = greeting.ranges(ofText: "Version ").first else { return nil }
    let version = greeting[range.upperBound...].prefix { $0.isNumber || $0 == "." }
    return version.isEmpty ? nil : String(version)
  }
}

extension String {
  func ranges(ofText needle: String) -> [Range<String.Index>] {
    var found: [Range<String.Index>] = []
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(needle) {
        let end = index(start, offsetBy: needle.count)
        found.append(start..<end)
        start = end
      } else {
        start = index(after: start)
      }
    }
    return found
  }
}
