import Channels
import Foundation
import Store

extension DaemonError {
  /// A store's refusal as a sentence an operator can act on, with the exit code for it.
  init(_ error: DatabaseError, opening url: String) {
    let text = "\(url): \(error.message)"
    switch error.kind {
    case .full, .readOnly: self = .storage(text)
    case .locked, .tooNew, .migrationChanged, .notADatabase, .corrupt: self = .database(text)
    case .unreadable: self = .configuration(text)
    case .connection, .busy, .timeout: self = .unavailable(text)
    default: self = .database(text)
    }
  }
}

/// Opens the store and its body files as the configuration says; makes their directories if missing.
func openStore(
  _ wiring: Configuration.StoreWiring, options: Database.Options, now: Timestamp
) throws -> (database: Database, bodies: BodyStore) {
  let url: StoreURL
  do {
    url = try StoreURL(wiring.url)
  } catch {
    throw DaemonError.configuration("store.url: \(error)")
  }
  if case .sqlite(let path) = url.place { try makeDirectory((path as NSString).deletingLastPathComponent) }
  try makeDirectory(wiring.bodyDirectory)
  var options = options
  options.readers = wiring.readers
  do {
    return (
      try Database.open(url, migrations: migrations, options: options, now: now),
      try BodyStore(directory: wiring.bodyDirectory)
    )
  } catch let error as DatabaseError {
    throw DaemonError(error, opening: url.description)
  }
}

private func makeDirectory(_ path: String) throws {
  guard !path.isEmpty else { return }
  do {
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
  } catch {
    throw DaemonError.storage("cannot make the directory \(path): \(error.localizedDescription)")
  }
}
