import API
import ArgumentParser
import Channels
import ContactModel
import Foundation
import NIOHTTP1
import Store

/// Who saw and did what, and whether the record of it is whole: of the running daemon, or of a store by itself.
struct Audit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Who saw or changed whom; whether the record is whole; the record itself.",
    subcommands: [Who.self, Verify.self, Export.self])

  struct Place: ParsableArguments {
    @OptionGroup var daemon: DaemonLocation
    @Flag(help: "Read the store itself, without a daemon: for a backup, or a machine that is taken out of service.")
    var offline = false

    /// Opens the store for reading; throws a `DaemonError` that says why it cannot be.
    func opened<T>(_ body: (Database) async throws -> T) async throws -> T {
      let wiring = try daemon.wiring()
      var options = Database.Options()
      options.readOnly = true
      let database: Database
      do {
        database = try Database.open(
          try storeURL(wiring), migrations: migrations, options: options, now: Timestamp(seconds: 0))
      } catch let error as DatabaseError {
        throw DaemonError(error, opening: wiring.store.url)
      }
      do {
        let value = try await body(database)
        await database.close()
        return value
      } catch {
        await database.close()
        throw error
      }
    }
  }

  struct Who: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Who saw or changed a customer between two instants.",
      discussion: "Looking is itself on record, except with --offline.")
    @OptionGroup var place: Place
    @OptionGroup var output: OutputOptions
    @Argument(help: "Customer_No.") var customer: String
    @Option(help: "An instant such as 2026-11-24T00:00:00Z, or a day.") var from: String?
    @Option(help: "Before this instant, or through this day.") var until: String?

    func run() async throws {
      try await exitingWithCode {
        guard let number = CustomerNumber(customer) else { throw DaemonError.data("\(customer) is no Customer_No") }
        let (start, end) = (try instant(from, "from", endOfDay: false), try instant(until, "until", endOfDay: true))
        var last: Int64 = 0
        var rows: [[String]] = []
        while true {
          let page =
            place.offline ? try await stored(number, start, end, after: last) : try await asked(start, end, after: last)
          for row in page {
            if output.json { print(row.text) }
            rows.append([
              row["at"].string ?? "", row["actor"].string ?? "", row["role"].string ?? "", row["act"].string ?? "",
              row["purpose"].string ?? "–", row["subject"].string ?? "", row["reason"].string ?? "",
            ])
          }
          guard page.count == 1_000 else { break }
          last = Int64(page.last?["seq"].int ?? 0)
        }
        if output.json { return }
        guard !rows.isEmpty else { return print("Nobody.") }
        print(table([["at", "who", "role", "did", "purpose", "in", "reason"]] + rows))
      }
    }

    private func asked(_ from: Timestamp?, _ until: Timestamp?, after last: Int64) async throws -> [JSONTree] {
      try await place.daemon.client().call(
        .GET, "/v1/audit/customers/\(customer)",
        query: [
          "from": from?.description, "until": until?.description, "after": String(last), "page_size": "1000",
        ])["items"].array
    }

    private func stored(
      _ number: CustomerNumber, _ from: Timestamp?, _ until: Timestamp?, after last: Int64
    ) async throws -> [JSONTree] {
      let entries = try await place.opened { database in
        try await database.read(.bulk) {
          try $0.auditEntries(after: last, customer: number, from: from, until: until, limit: 1_000)
        }
      }
      return entries.map(JSONTree.init(entry:))
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Walk the chain of hashes from the first row to the last.",
      discussion: """
        Exit code 1 at the first row that does not follow from the one before: it, or one before it, was changed, taken \
        out or put in. Note the last hash elsewhere: it proves later that nothing was cut off at the end (--last).
        """)
    @OptionGroup var place: Place
    @OptionGroup var output: OutputOptions
    @Option(help: "SEQ:HASH noted at an earlier verification: it must still be there.") var last: String?

    func run() async throws {
      try await exitingWithCode {
        let noted = try last.map { text in
          let parts = text.split(separator: ":")
          guard parts.count == 2, let seq = Int64(parts[0]) else {
            throw DaemonError.data("\(text) is no SEQ:HASH")
          }
          return (seq, String(parts[1]))
        }
        let verdict = place.offline || noted != nil ? try await walked(noted) : try await asked()
        if output.json {
          print(
            try JSONObjectText([
              "whole": verdict.isWhole, "rows": verdict.rows, "last_seq": verdict.lastSeq,
              "last_hash": verdict.lastHash, "broken_at": verdict.brokenAt.map { $0 as Any } ?? NSNull(),
            ]).text)
        } else if let broken = verdict.brokenAt {
          print("\(verdict.rows) rows follow one another; row \(broken) does not.")
        } else {
          print("\(verdict.rows) rows, whole. Last \(verdict.lastSeq):\(verdict.lastHash)")
        }
        guard verdict.isWhole else {
          throw DaemonError.finding("the audit was altered at or before row \(verdict.brokenAt ?? 0)")
        }
      }
    }

    private func asked() async throws -> AuditVerdict {
      let answer = try await place.daemon.client().call(.GET, "/v1/audit/verify")
      var verdict = AuditVerdict.beginning
      verdict.rows = Int64(answer["rows"].int ?? 0)
      verdict.lastSeq = Int64(answer["last_seq"].int ?? 0)
      verdict.lastHash = answer["last_hash"].string ?? ""
      verdict.brokenAt = answer["broken_at"].int.map { Int64($0) }
      return verdict
    }

    private func walked(_ noted: (seq: Int64, hash: String)?) async throws -> AuditVerdict {
      try await place.opened { database in
        var verdict = AuditVerdict.beginning
        while true {
          let before = verdict
          verdict = try await database.read(.bulk) { try $0.verifyAudit(from: before, limit: 5_000) }
          guard verdict.lastSeq != before.lastSeq else { break }
        }
        if let noted, verdict.isWhole {
          let row = try await database.read(.bulk) { try $0.auditEntries(after: noted.seq - 1, limit: 1).first }
          if row?.seq != noted.seq || row?.hash != noted.hash { verdict.brokenAt = noted.seq }
        }
        return verdict
      }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "The audit as JSON lines on standard output.",
      discussion: "Customers' numbers are hidden as in the API.")
    @OptionGroup var place: Place
    @Option(help: "From this instant or day.") var from: String?
    @Option(help: "Before this instant, or through this day.") var until: String?
    @Option(help: "Of this actor alone.") var actor: String?
    @Option(help: "Of this act alone, such as read.") var act: String?

    func run() async throws {
      try await exitingWithCode {
        let (start, end) = (try instant(from, "from", endOfDay: false), try instant(until, "until", endOfDay: true))
        let (actor, act) = (actor, act)
        let mask = try place.offline ? place.daemon.wiring().access.masks.mask(for: .adminSocket) : nil
        var last: Int64 = 0
        while true {
          let lines: [String]
          if place.offline {
            let after = last
            lines = try await place.opened { database in
              try await database.read(.bulk) {
                try $0.auditEntries(
                  after: after, actor: actor, act: act, from: start, until: end, limit: 10_000)
              }
            }.map { entry in
              let value = try JSONReader.read(Array(JSONTree(entry: entry).text.utf8))
              return String(decoding: mask?.written(value) ?? value.encoded, as: UTF8.self)
            }
          } else {
            let bytes = try await place.daemon.client().bytes(
              .GET, "/v1/audit/export",
              query: [
                "from": start?.description, "until": end?.description, "actor": actor, "act": act,
                "after": String(last),
              ])
            lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
          }
          for line in lines { print(line) }
          guard lines.count == 10_000, let seq = try JSONTree(Array(lines[9_999].utf8))["seq"].int else { break }
          last = Int64(seq)
        }
      }
    }
  }
}

private func instant(_ text: String?, _ option: String, endOfDay: Bool) throws -> Timestamp? {
  guard let text else { return nil }
  if let time = Timestamp(text) { return time }
  guard let day = Timestamp("\(text)T00:00:00Z") else {
    throw DaemonError.data("--\(option) \(text) is neither an instant such as 2026-11-24T08:00:00Z nor a day")
  }
  return endOfDay ? day + .seconds(86_400) : day
}

extension JSONTree {
  fileprivate init(entry: AuditEntry) {
    func value(_ text: String?) -> Any { text.map { $0 as Any } ?? NSNull() }
    self.init(value: [
      "seq": entry.seq, "at": entry.at.description, "actor": entry.actor, "role": entry.role, "act": entry.act,
      "subject": entry.subject, "customer_no": value(entry.customerNo?.description), "purpose": value(entry.purpose),
      "reason": value(entry.reason), "before": value(entry.before), "after": value(entry.after),
      "previous_hash": entry.previousHash, "hash": entry.hash,
    ])
  }
}
