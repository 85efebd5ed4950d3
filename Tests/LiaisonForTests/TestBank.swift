import Foundation

/// A directory with a configuration, and the real program started on it: listeners on ports the system chooses.
public struct TestBank: Sendable {
  public let directory: String
  /// Lines of `public:` and `channels[0]` beyond the usual.
  public var publicKeys: [String] = []
  public var formKeys: [String] = ["post_burst: 1000000", "post_interval: 1ms"]
  public var apiListen = "127.0.0.1:0"
  /// Further entries of `channels`, each beginning with `  - kind:`.
  public var moreChannels: [String] = []

  public init(in parent: String = NSTemporaryDirectory()) throws {
    directory = (parent as NSString).appendingPathComponent("liaison-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  public var database: String { directory + "/liaison.db" }
  public var configurationFile: String { directory + "/liaison.yaml" }

  /// `config/params` of this package, found from this file.
  public static let shippedParameters: String = {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return root.deletingLastPathComponent().appendingPathComponent("config/params").path
  }()

  /// The shipped parameters once more, with customers who may be reached at any hour and agents who need no time after a
  /// call: for tests that must not depend on the hour they run at.
  public func parametersOfABankThatNeverSleeps() throws -> String {
    let copy = directory + "/params"
    guard !FileManager.default.fileExists(atPath: copy) else { return copy }
    try FileManager.default.copyItem(atPath: Self.shippedParameters, toPath: copy)
    for (file, changes) in [
      ("purpose-profile.yaml", [(#"from: "[0-9:]*", to: "[0-9:]*""#, #"from: "00:00", to: "24:00""#)]),
      ("call-routing.yaml", [(#"wrap_up: \{seconds: 30\}"#, "wrap_up: {seconds: 0}")]),
    ] {
      var text = try String(contentsOfFile: "\(copy)/\(file)", encoding: .utf8)
      for (pattern, replacement) in changes {
        text = text.replacingOccurrences(of: pattern, with: replacement, options: .regularExpression)
      }
      try text.write(toFile: "\(copy)/\(file)", atomically: true, encoding: .utf8)
    }
    return copy
  }

  public var configuration: String {
    """
    store:
      url: sqlite://\(database)
      bodies: \(directory)/bodies
    api:
      listen: \(apiListen)
    public:
      listen: 127.0.0.1:0
    \(publicKeys.map { "  " + $0 }.joined(separator: "\n"))
    admin:
      socket: \(directory)/admin.sock
    log: {level: notice, format: json}
    secret_file: \(directory)/secret
    parameters: \(Self.shippedParameters)
    channels:
      - kind: webform
        name: web
    \(formKeys.map { "    " + $0 }.joined(separator: "\n"))
    \(moreChannels.joined(separator: "\n"))

    """
  }

  /// Writes the configuration, or `text` instead of it, and starts `liaison serve`; `before` is put before the program.
  public func start(
    _ text: String? = nil, before: [String] = [], environment: [String: String] = [:],
    program: String = Liaison.program
  ) throws -> Liaison {
    try (text ?? configuration).write(toFile: configurationFile, atomically: true, encoding: .utf8)
    return Liaison(
      child: try ChildProcess(
        before + [program, "serve", "--config", configurationFile], environment: environment))
  }

  /// Takes the directory away again; for tests that went well.
  public func remove() {
    // What is left behind lies in the temporary directory.
    try? FileManager.default.removeItem(atPath: directory)
  }
}

/// The running program.
public struct Liaison: Sendable {
  public let child: ChildProcess

  /// Where it can be reached.
  public struct Bound: Sendable, Decodable {
    public var api: String
    public var `public`: String
    public var publicPort: Int { Int(self.public.split(separator: ":").last ?? "") ?? 0 }
  }

  /// The `liaison` beside this executable, or what `LIAISON` names.
  public static let program: String =
    ProcessInfo.processInfo.environment["LIAISON"]
    ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appendingPathComponent("liaison").path

  /// Its addresses, once everything listens.
  public func ready(within limit: Duration = .seconds(20)) async throws -> Bound {
    let line = try await child.line(containing: "\"message\":\"Liaison serves.\"", within: limit)
    return try JSONDecoder().decode(Bound.self, from: Data(line.utf8))
  }

  /// SIGTERM, and how it ended.
  public func stop(within limit: Duration = .seconds(10)) async throws -> ChildProcess.Exit {
    child.send(SIGTERM)
    return try await child.ended(within: limit)
  }
}
