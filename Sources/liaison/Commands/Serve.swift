import ArgumentParser
import Foundation
import Logging

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the daemon.",
    discussion: """
      Reads the wiring from --config, opens and upgrades the store, starts every channel and serves the API, the \
      public forms and the local admin socket until SIGTERM or SIGINT.

      --demo needs no configuration: it makes a small bank under ./var/demo, serves on 127.0.0.1:8080 (API) and \
      :8081 (forms), and stand-in peers bring a trickle of forms, calls, short messages and faxes.
      """)

  @Option(name: .long, help: "The wiring; see config/liaison.yaml.")
  var config = "/etc/liaison/liaison.yaml"

  @Flag(name: .long, help: "A small bank with traffic on every channel, under ./var/demo.")
  var demo = false

  @Option(name: .long, help: "Seconds between two posts of the demo; 0 sends none.")
  var demoInterval = 4

  func run() async throws {
    try await exitingWithCode {
      signal(SIGPIPE, SIG_IGN)
      let peers = demo ? try await startDemoPeers() : []
      let configuration = demo ? try demoConfiguration(peers) : try readConfiguration(config)
      let logger = startLogging(configuration.log, mask: configuration.access.logMask)
      var daemon = Daemon(configuration: configuration, logger: logger)
      if demo {
        try prepareDemo(&daemon, interval: demoInterval, peers)
      } else {
        daemon.onReady = { bound in
          logger.notice("Liaison serves.", metadata: ["api": "\(bound.api)", "public": "\(bound.publicBase)"])
        }
      }
      try await daemon.run()
    }
  }
}

/// Reads a configuration file; throws a `DaemonError` that names every problem.
func readConfiguration(_ path: String) throws -> Configuration {
  let text: String
  do {
    text = try String(contentsOfFile: path, encoding: .utf8)
  } catch {
    throw DaemonError.configuration("cannot read \(path)")
  }
  do {
    return try Configuration.read(text, file: path, environment: ProcessInfo.processInfo.environment).configuration
  } catch let problems as ConfigurationProblems {
    throw DaemonError.configuration(problems.description)
  }
}

/// Runs a command's body; what it throws as a `DaemonError` is one message on standard error and its exit code.
func exitingWithCode(_ body: () async throws -> Void) async throws {
  do {
    try await body()
  } catch let error as DaemonError {
    FileHandle.standardError.write(Data("liaison: \(error)\n".utf8))
    throw ExitCode(error.exitCode)
  }
}
