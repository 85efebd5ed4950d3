import Channels
import Foundation
import Store

/// Writes to a store from many tasks and prints the number of each write once it is acknowledged, until it is killed.
///
/// `store-crash-child URL FIRST [before|after COMMITS]`: ids count from FIRST; with a point it kills itself there at
/// the given commit.
let arguments = CommandLine.arguments
let url = try StoreURL(arguments[1])
let first = Int64(arguments[2]) ?? 0
var options = Database.Options()
options.readers = 1
if arguments.count > 4, let point = Database.CommitPoint(rawValue: arguments[3]), let commits = Int(arguments[4]) {
  let counter = CommitCounter(point, commits)
  options.atCommit = { counter.reached($0) }
}
let schema = Migration(
  1, "pairs",
  """
  CREATE TABLE head (id {{int}} PRIMARY KEY) {{opt}};
  CREATE TABLE tail (id {{int}} PRIMARY KEY REFERENCES head (id)) {{opt}};
  """)
let database = try Database.open(url, migrations: [schema], options: options, now: Timestamp(seconds: 1))
await withTaskGroup(of: Void.self) { group in
  for lane in 0..<64 {
    group.addTask {
      var id = first + Int64(lane)
      while true {
        do {
          try await database.write { [id] tx in
            try tx.execute("INSERT INTO head (id) VALUES ($1)", [.int(id)])
            try tx.execute("INSERT INTO tail (id) VALUES ($1)", [.int(id)])
          }
        } catch {
          FileHandle.standardError.write(Data("\(error)\n".utf8))
          exit(3)
        }
        let line = Array("\(id)\n".utf8)
        _ = write(1, line, line.count)
        id += 64
      }
    }
  }
}

/// Called by the writer thread alone.
final class CommitCounter: @unchecked Sendable {
  // Invariant: touched by the writer thread only.
  private var left: Int
  private let point: Database.CommitPoint
  init(_ point: Database.CommitPoint, _ commits: Int) {
    self.point = point
    left = commits
  }
  func reached(_ point: Database.CommitPoint) {
    guard point == self.point else { return }
    left -= 1
    if left <= 0 { kill(getpid(), SIGKILL) }
  }
}
