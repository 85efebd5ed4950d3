import Channels
import ContactModel
import Customers
import Store

/// Files of any size: handed in as they are, brought in beside everything else, watched as a job.
public struct ImportJobResources: Sendable {
  let database: Database
  let runner: ImportRunner
  let cursors: CursorSigner
  /// Of one file.
  static let maximumBytes = 64 << 30

  public init(database: Database, runner: ImportRunner, cursors: CursorSigner) {
    self.database = database
    self.runner = runner
    self.cursors = cursors
  }

  public var routes: [Route] { [make, list, get, refusals, cancel] }

  private static let id = Route.Parameter.path("id", .id("import"))
  private static let access = Access.roles(.integration)
  private static let schema = Schema.named(
    "ImportJob",
    .output(
      .required("id", .id("import")), .required("import_kind", .string()),
      .required("format", .word(["csv", "jsonl"])),
      .required("file_name", .nullable(.string())), .required("dry_run", .boolean),
      .required("import_state", .word(ImportJob.State.allCases.map(\.rawValue))),
      .required("bytes", .integer(minimum: 0)), .required("bytes_read", .integer(minimum: 0)),
      .required("rows", .integer(minimum: 0), "added + changed + refused"), .required("added", .integer(minimum: 0)),
      .required("changed", .integer(minimum: 0)), .required("refused", .integer(minimum: 0)),
      .required("resumed_after", .integer(minimum: 0), "Rows an earlier job of the same file had done"),
      .required("fault", .nullable(.string()), "Why the file was refused as a whole"), .required("author", .string()),
      .required("created_at", .time), .required("started_at", .nullable(.time)),
      .required("finished_at", .nullable(.time))))

  private static func json(_ job: ImportJob) -> JSONValue {
    [
      "id": .text(job.id), "import_kind": .string(job.kind), "format": .string(job.format),
      "file_name": .optional(job.fileName), "dry_run": .bool(job.isRehearsal),
      "import_state": .string(job.state.rawValue), "bytes": .count(job.bytes), "bytes_read": .count(job.bytesRead),
      "rows": .count(job.progress.rowsRead), "added": .count(job.progress.added),
      "changed": .count(job.progress.changed), "refused": .count(job.progress.refused),
      "resumed_after": .count(job.resumedAfter), "fault": .optional(job.fault), "author": .string(job.author),
      "created_at": .time(job.createdAt), "started_at": .optional(job.startedAt),
      "finished_at": .optional(job.progress.finishedAt),
    ]
  }

  private var make: Route {
    Route(
      "makeImport", .post, "/v1/imports/{kind}/jobs",
      summary: "Hand a file in to be brought in, row by row; the same file again goes on where it stopped",
      tag: "imports", access: Self.access,
      parameters: [
        .path("kind", .word(Importer.Kind.allCases.map(\.rawValue))),
        .query("mapping", .array(.string(minimum: 3, maximum: 140), maximum: 100), "column=field, …"),
        .query("dry_run", .boolean, "Say what would become of it, and change nothing"),
        .query("file_name", .string(maximum: 200), "For people"),
      ],
      upload: .init(["text/csv", "application/jsonl"], maximumBytes: Self.maximumBytes),
      answers: [.json(Self.schema, "It will be brought in", status: 202)]
    ) { call in
      guard let kind = call.text("kind").flatMap(Importer.Kind.init), let upload = call.upload else {
        throw Problem(.notFound)
      }
      var mapping: [String: String] = [:]
      for pair in call.parameters["mapping"]?.array?.compactMap(\.string) ?? [] {
        let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
          throw Problem(
            .invalidInput, violations: [Violation(.parameter("mapping"), .format, expected: "column=field")])
        }
        mapping[parts[0]] = parts[1]
      }
      let actor = try Actor(call)
      let id = ImportJobID(at: call.now)
      var spool = try ImportSpool(path: runner.path(of: id))
      do {
        for try await piece in upload.pieces { try spool.write(piece) }
        try spool.finish()
      } catch {
        spool.abandon()
        throw error
      }
      let job = ImportJob(
        id: id, kind: kind.rawValue, format: upload.mediaType == "text/csv" ? "csv" : "jsonl",
        fileName: call.text("file_name"), mapping: mapping,
        isRehearsal: call.parameters["dry_run"]?.bool == true, digest: "", bytes: spool.size, author: actor.label,
        role: actor.role, departments: try call.caller().departments.map { $0.sorted().compactMap { Code($0) } },
        createdAt: call.now)
      try await translatingErrors {
        try await database.write { transaction in
          try transaction.insert(job)
          try transaction.audit("import.make", id, after: Self.json(job), by: actor, at: call.now)
        }
      }
      runner.wake()
      return .json(Self.json(job), status: 202)
    }
  }

  /// The job, if it is the principal's or he sees the whole bank.
  private func known(_ call: Call, _ connection: any Connection) throws -> ImportJob {
    guard let job = try connection.importJob(call.path("id")), try isSeen(job, call, connection) else {
      throw Problem(.notFound)
    }
    return job
  }
  private func isSeen(_ job: ImportJob, _ call: Call, _ connection: any Connection) throws -> Bool {
    guard let limits = try Scope(call, connection).limits else { return true }
    return job.departments.map { limits.departments.isSuperset(of: $0) } ?? false
  }

  private var list: Route {
    Route(
      "listImports", .get, "/v1/import-jobs", summary: "Files handed in, newest first", tag: "imports",
      access: .roles(.integration, .auditor), parameters: Route.Parameter.page,
      answers: [.json(.page(of: Self.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: ImportJobID? = try page.last()
      let (jobs, seen) = try await database.look { connection in
        let jobs = try connection.importJobs(after: last, limit: page.limit)
        return (jobs, Set(try jobs.filter { try isSeen($0, call, connection) }.map(\.id)))
      }
      let reply = page.reply(
        jobs, keys: { [.text($0.id)] }, json: { seen.contains($0.id) ? Self.json($0) : .null })
      guard case .json(let value) = reply.content, var object = value.object else { return reply }
      object["items"] = .array((object["items"]?.array ?? []).filter { !$0.isNull })
      return .json(.object(object))
    }
  }

  private var get: Route {
    Route(
      "getImport", .get, "/v1/import-jobs/{id}", summary: "How far a file has come", tag: "imports",
      access: .roles(.integration, .auditor), parameters: [Self.id], answers: [.json(Self.schema, "The job")]
    ) { call in .json(Self.json(try await database.look { try known(call, $0) })) }
  }

  private var refusals: Route {
    let refusal = Schema.output(
      .required("row", .integer(minimum: 1), "Counted from 1 without the header"), .required("fault", .string()),
      .required("place", .nullable(.string()), "The column"))
    return Route(
      "listImportRefusals", .get, "/v1/import-jobs/{id}/refusals",
      summary: "Rows that were refused and why, in order, the first 10,000 of a job; every other row was taken",
      tag: "imports", access: .roles(.integration, .auditor),
      parameters: [
        Self.id, .query("after", .integer(minimum: 0), "The last row of the page before"),
        .query("page_size", .integer(minimum: 1, maximum: 1_000)),
      ], answers: [.json(.output(.required("items", .array(refusal))), "At most page_size")]
    ) { call in
      let limit = call.pageSize
      let rows = try await database.look { connection in
        try connection.importRefusals(
          of: try known(call, connection).id, after: Int(call.integer("after") ?? 0), limit: limit)
      }
      return .json([
        "items": .array(
          rows.map { ["row": .count($0.row), "fault": .string($0.code), "place": .optional($0.place)] })
      ])
    }
  }

  private var cancel: Route {
    Route(
      "cancelImport", .delete, "/v1/import-jobs/{id}", summary: "Stop; what was brought in stays", tag: "imports",
      access: Self.access, parameters: [Self.id], answers: [.empty("It has stopped")]
    ) { call in
      let reply = try await database.act(call) { transaction, actor in
        let job = try known(call, transaction)
        guard try transaction.endImport(job.id, .cancelled, at: call.now) else {
          throw Problem(.conflict, LocalizedText(zh: "该任务已结束", en: "it is over already"))
        }
        try transaction.audit("import.cancel", job.id, by: actor, at: call.now)
        return Reply.empty()
      }
      runner.wake()
      return reply
    }
  }
}
