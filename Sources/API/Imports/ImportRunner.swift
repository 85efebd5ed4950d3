import Channels
import ContactModel
import Customers
import Foundation
import Logging
import ServiceLifecycle
import Store

/// Brings in the files that were handed in, one at a time, in the order in which they came.
///
/// A file lies in `directory` under its job's id until the job is over; how far it has come is in the store, in the
/// transaction of its rows. So a job that was interrupted by a crash goes on after its last committed row.
public final class ImportRunner: Service {
  let directory: String
  let importer: Importer
  private let database: Database
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let wakes: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation

  /// `directory` is made if it is not there.
  public init(
    importer: Importer, database: Database, directory: String, now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) throws {
    self.importer = importer
    self.database = database
    self.directory = directory
    self.now = now
    self.logger = logger
    (wakes, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  func path(of id: ImportJobID) -> String { "\(directory)/\(id)" }

  /// A job was added or cancelled.
  func wake() { waker.yield() }

  public func run() async throws {
    waker.yield()
    await cancelWhenGracefulShutdown { [self] in
      for await _ in wakes {
        do {
          try await workOff()
        } catch is CancellationError {
          return
        } catch {
          if Task.isCancelled { return }
          // Left open: the next start, or the next file, takes it up again.
          logger.error("An import was interrupted.", metadata: ["fault.text": "\(error)"])
        }
      }
    }
  }

  private func workOff() async throws {
    while let job = try await database.read(.bulk, { try $0.openImportJobs().first }) {
      try Task.checkCancellation()
      try await work(on: job)
      // What is over needs its file no more; if it cannot be removed it only takes room.
      try? FileManager.default.removeItem(atPath: path(of: job.id))
    }
  }

  private struct Cancelled: Error {}

  private func work(on job: ImportJob) async throws {
    let begins = try await database.write(.bulk) { [now] in try $0.beginImport(job.id, at: now()) }
    guard begins, let kind = Importer.Kind(rawValue: job.kind) else { return }
    let departments = try await database.read(.bulk) { connection in
      try job.departments.map { try connection.departments(under: Set($0)) }
    }
    let order = Importer.Order(
      kind: kind, isJSONLines: job.format == "jsonl", mapping: job.mapping, isRehearsal: job.isRehearsal,
      actor: Actor(label: job.author, agent: nil, role: job.role), departments: departments)
    do {
      let source = try await importer.open(file: path(of: job.id))
      _ = try await importer.run(order, of: source) { transaction, step in
        let refusals = step.refusals.map {
          ImportRefusal(row: $0.row, code: $0.fault.code.rawValue, place: $0.fault.place)
        }
        guard
          try transaction.noteImport(
            job.id, step.report.progress, resumedAfter: step.report.resumedAfter, bytesRead: step.bytesRead,
            refusals: refusals)
        else { throw Cancelled() }
      }
      _ = try await database.write(.bulk) { [now] in try $0.endImport(job.id, .done, at: now()) }
    } catch let fault as ImportFault {
      let text = [fault.code.rawValue, fault.place].compactMap(\.self).joined(separator: " ")
      _ = try await database.write(.bulk) { [now] in try $0.endImport(job.id, .refused, fault: text, at: now()) }
    } catch is Cancelled {
      return
    } catch let error as CocoaError {
      logger.error("An import's file cannot be read.", metadata: ["import.id": "\(job.id)", "fault.text": "\(error)"])
      _ = try await database.write(.bulk) { [now] in
        try $0.endImport(job.id, .refused, fault: "the file cannot be read", at: now())
      }
    }
  }
}

/// A file that is being handed in, made durable before its job is.
struct ImportSpool {
  private let descriptor: Int32
  private let path: String
  private(set) var size = 0

  init(path: String) throws {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Problem(.unavailable) }
  }

  mutating func write(_ bytes: [UInt8]) throws {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written) }
      guard count > 0 else { throw Problem(.unavailable) }
      written += count
    }
    size += bytes.count
  }

  func finish() throws {
    guard fsync(descriptor) == 0, close(descriptor) == 0 else { throw Problem(.unavailable) }
  }

  func abandon() {
    close(descriptor)
    unlink(path)
  }
}
