import Crypto

/// How one manager connection is opened and kept: login, filters, the first list, keep-alive. No clock, no I/O.
///
/// The order matters: an action before login is refused, a ping too, and whoever pings before a new login is thrown
/// out (AsterNET#214); the list is asked for only when `FullyBooted` has come.
/// Source: specs/telephony.md §4 "On connect"; Asterisk main/manager.c.
public struct AMISession: Sendable {
  public struct Credentials: Sendable {
    public var username: String
    public var secret: String
    /// Challenge and MD5 instead of the secret itself; without TLS the secret should not cross the network.
    public var usesChallenge: Bool
    public init(username: String, secret: String, usesChallenge: Bool = true) {
      self.username = username
      self.secret = secret
      self.usesChallenge = usesChallenge
    }
  }

  public enum Step: Hashable, Sendable {
    case send([UInt8])
    /// Logged in and in line with what the switch carries.
    case ready
    /// An answer to an action of the caller's.
    case reply(id: String, AMIReply)
    /// The connection is of no use.
    case fail(String)
  }

  public enum Phase: Hashable, Sendable { case banner, challenge, login, booting, listing, up, failed }

  public private(set) var phase = Phase.banner
  private let credentials: Credentials
  private let filters: [String]
  private let variables: String
  /// Names of our own actions, different in every connection, so that an old answer means nothing.
  private let prefix: String
  private var pings = 0
  private var awaitedPing: String?

  public init(credentials: Credentials, filters: [String], variables: [String], prefix: String) {
    self.credentials = credentials
    self.filters = filters
    self.variables = variables.joined(separator: ",")
    self.prefix = prefix
  }

  public mutating func bannerCame(_ banner: String) -> [Step] {
    guard phase == .banner else { return [] }
    guard banner.hasPrefix("Asterisk Call Manager/") else {
      return fail("not a manager interface: \(banner.prefix(60))")
    }
    if credentials.usesChallenge {
      phase = .challenge
      return step("Challenge", "challenge", [("AuthType", "MD5")])
    }
    phase = .login
    return step("Login", "login", [("Username", credentials.username), ("Secret", credentials.secret)])
  }

  /// The time between pings has passed.
  public mutating func pingIsDue() -> [Step] {
    guard phase == .up else { return [] }
    guard awaitedPing == nil else { return fail("no answer to a ping") }
    pings += 1
    awaitedPing = "\(prefix)ping\(pings)"
    return step("Ping", "ping\(pings)", [])
  }

  public mutating func take(_ message: AMIMessage) -> [Step] {
    switch message.kind {
    case .response: takeResponse(message)
    case .event: takeEvent(message)
    case .other: []
    }
  }

  private mutating func takeEvent(_ message: AMIMessage) -> [Step] {
    if phase == .booting, message.name == "FullyBooted" {
      phase = .listing
      var steps: [Step] = []
      for (index, filter) in filters.enumerated() {
        steps += step("Filter", "filter\(index)", [("Operation", "Add"), ("MatchCriteria", filter)])
      }
      steps += step("QueueStatus", "queues", [])
      return steps + step("Status", "status", [("Variables", variables)])
    }
    if phase == .listing, message.name == "StatusComplete" {
      phase = .up
      return [.ready]
    }
    return []
  }

  private mutating func takeResponse(_ message: AMIMessage) -> [Step] {
    guard let id = message.responseActionID?.text else { return [] }
    let succeeded = message.name == "Success" || message.name == "Goodbye" || message.name == "Follows"
    let text = message.first("Message")?.text ?? ""
    guard id.hasPrefix(prefix) else {
      return [.reply(id: id, AMIReply(succeeded: succeeded, message: text))]
    }
    switch (id.dropFirst(prefix.count), phase) {
    case ("challenge", .challenge):
      guard succeeded, let challenge = message.first("Challenge")?.text else { return fail("no challenge: \(text)") }
      phase = .login
      return step(
        "Login", "login", [("AuthType", "MD5"), ("Username", credentials.username), ("Key", key(for: challenge))])
    case ("login", .login):
      guard succeeded else { return fail("login refused: \(text)") }
      phase = .booting
      return []
    case ("status", .listing):
      return succeeded ? [] : fail("Status refused: \(text)")
    default:
      if id == awaitedPing { awaitedPing = nil }
      return []
    }
  }

  private func key(for challenge: String) -> String {
    let digest = Insecure.MD5.hash(data: Array((challenge + credentials.secret).utf8))
    return digest.map { byte in
      let hex = String(byte, radix: 16)
      return hex.count == 1 ? "0" + hex : hex
    }.joined()
  }

  private mutating func fail(_ why: String) -> [Step] {
    phase = .failed
    return [.fail(why)]
  }

  private mutating func step(_ name: String, _ id: String, _ headers: [(String, String)]) -> [Step] {
    do throws(AMIAction.Problem) {
      return [.send(try AMIAction(name, headers.map { (key: $0.0, value: $0.1) }).bytes(id: prefix + id))]
    } catch {
      return fail("configuration cannot be sent: \(error)")
    }
  }
}
