import API
import ArgumentParser
import Channels
import Foundation
import NIOHTTP1
import Store

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Validate the configuration, the shipped parameters and the store.",
    discussion: "Changes nothing. Prints what was looked at; exit code 78 with every problem and its line.")
  @Option(name: .long) var config = "/etc/liaison/liaison.yaml"

  func run() async throws {
    try await exitingWithCode {
      let configuration = try readConfiguration(config)
      print("ok  \(config): \(configuration.channels.count) channels")
      let drafts: [ParameterDraft]
      do {
        drafts = try shippedParameters(in: configuration.parameterDirectory)
      } catch let error as DaemonError {
        throw error
      } catch {
        throw DaemonError.configuration("\(error)")
      }
      print("ok  \(configuration.parameterDirectory): \(drafts.count) business parameters")
      let url = try storeURL(configuration)
      if case .sqlite(let path) = url.place, !FileManager.default.fileExists(atPath: path) {
        print("ok  \(url): will be made at the first start")
      } else {
        var options = Database.Options()
        options.readOnly = true
        let database: Database
        do {
          database = try Database.open(url, migrations: migrations, options: options, now: systemTime())
        } catch let error as DatabaseError {
          throw DaemonError(error, opening: url.description)
        }
        await database.close()
        print("ok  \(url): can be read")
      }
      for wiring in [configuration.api.tls, configuration.publicListener.tls].compactMap({ $0 }) {
        for path in [wiring.chain, wiring.key, wiring.clientAuthorities].compactMap({ $0 })
        where !FileManager.default.isReadableFile(atPath: path) {
          throw DaemonError.configuration("cannot read \(path)")
        }
      }
      print("ok  certificates")
    }
  }
}

struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring the database up to date without starting the daemon.",
    discussion: "serve does the same at its start. Refuses a database of a newer version (exit code 73).")
  @OptionGroup var daemon: DaemonLocation

  func run() async throws {
    try await exitingWithCode {
      let wiring = try daemon.wiring()
      let (database, _) = try openStore(wiring.store, options: Database.Options(), now: systemTime())
      let applied = database.migrated
      await database.close()
      print(
        applied.isEmpty
          ? "The database is up to date." : "Applied: \(applied.map(String.init).joined(separator: ", ")).")
    }
  }
}

struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup", abstract: "Copy the store, with its body files, while the daemon runs.",
    discussion: "DIRECTORY must be new or empty. The copy is proved whole by a digest in its manifest.json.")
  @OptionGroup var daemon: DaemonLocation
  @Argument(help: "Where the backup is made.") var directory: String

  func run() async throws {
    try await exitingWithCode {
      let wiring = try daemon.wiring()
      let progress = Progress()
      let manifest: Backup.Manifest
      do {
        manifest = try await Backup.make(
          of: try storeURL(wiring), bodies: wiring.store.bodyDirectory, into: directory, now: systemTime(),
          report: { progress.show($0) })
      } catch let error as DatabaseError {
        throw DaemonError(error, opening: directory)
      }
      progress.end()
      print(
        "\(directory): \(manifest.databaseBytes) bytes of database, version \(manifest.version), \(manifest.bodies) body files."
      )
      guard manifest.damagedBodies.isEmpty else {
        throw DaemonError.finding("damaged body files were left out: \(manifest.damagedBodies.joined(separator: ", "))")
      }
    }
  }
}

struct Restore: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put a backup in the place of the store.",
    discussion: """
      Refuses while a daemon runs on the store, and refuses to replace an existing one without --force; then the old \
      file is kept as *.replaced. Nothing is changed before the backup has proved whole.
      """)
  @OptionGroup var daemon: DaemonLocation
  @Argument(help: "The backup.") var directory: String
  @Flag(help: "Replace an existing store.") var force = false

  func run() async throws {
    try await exitingWithCode {
      let wiring = try daemon.wiring()
      let progress = Progress()
      let manifest: Backup.Manifest
      do {
        manifest = try await Backup.restore(
          from: directory, to: try storeURL(wiring), bodies: wiring.store.bodyDirectory, force: force,
          report: { progress.show($0) })
      } catch let error as DatabaseError {
        throw DaemonError(error, opening: directory)
      }
      progress.end()
      print("Restored the backup of \(manifest.createdAt), version \(manifest.version).")
    }
  }
}

struct Token: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Access tokens of agents and programs; stored only hashed.",
    subcommands: [Make.self, List.self, Revoke.self])

  struct Make: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Make a token; it is shown this once.")
    @OptionGroup var daemon: DaemonLocation
    @Argument(help: "What the audit will call its bearer.") var label: String
    @Option(help: "agent, supervisor, marketing, integration, auditor or admin.") var role: String
    @Option(help: "The agent, for role agent.") var agent: String?
    @Option(help: "An instant such as 2027-01-01T00:00:00Z; never if not given.") var expires: String?
    func run() async throws {
      try await exitingWithCode {
        var body: [String: Any] = ["label": label, "role": role]
        if let agent { body["agent_id"] = agent }
        if let expires { body["expires_at"] = expires }
        print(try await daemon.client().call(.POST, "/v1/tokens", body: try JSONObjectText(body))["token"].string ?? "")
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Every token ever made, without the tokens.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    func run() async throws {
      try await exitingWithCode {
        let tokens = try await daemon.client().call(.GET, "/v1/tokens")
        if output.json { return print(tokens.text) }
        print(
          table(
            [["label", "role", "agent", "made", "expires", "revoked", "hash"]]
              + tokens["items"].array.map {
                [
                  $0["label"].string ?? "", $0["role"].string ?? "", $0["agent_id"].string ?? "–",
                  $0["created_at"].string ?? "", $0["expires_at"].string ?? "–", $0["revoked_at"].string ?? "–",
                  $0["token_hash"].string ?? "",
                ]
              }))
      }
    }
  }

  struct Revoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Revoke a token at once, by its hash from token list.")
    @OptionGroup var daemon: DaemonLocation
    @Argument var hash: String
    func run() async throws {
      try await exitingWithCode {
        _ = try await daemon.client().bytes(.DELETE, "/v1/tokens/\(hash)")
        print("Revoked.")
      }
    }
  }
}

func storeURL(_ configuration: Configuration) throws -> StoreURL {
  do {
    return try StoreURL(configuration.store.url)
  } catch {
    throw DaemonError.configuration("store.url: \(error)")
  }
}

/// How far long work is, on standard error when that is a terminal.
private struct Progress: Sendable {
  private let isShown = isatty(2) == 1
  func show(_ progress: Backup.Progress) {
    guard isShown, progress.total > 0 else { return }
    let percent = progress.done * 100 / progress.total
    FileHandle.standardError.write(Data("\r\(progress.part.rawValue) \(percent) % ".utf8))
  }
  func end() {
    if isShown { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
  }
}
