import AsyncHTTPClient
import Channels
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store

/// Fax jobs to a real HylaFAX without a modem, while Liaison or hfaxd is killed at a word of the hand-over.
///
/// Every job must be on the server once, by JOBINFO, and no attempt may be left unsettled.
struct FaxCrash {
  var kills: Int
  var program: String
  let bank: TestBank
  private let peer: HylaFAXPeer
  private let tap: FaxTap
  private static let words = ["FORM", "STOT", "JNEW", "JPARM DIALSTRING", "JPARM DOCUMENT", "JSUBM"]

  init(kills: Int, program: String) throws {
    self.kills = kills
    self.program = program
    bank = try TestBank()
    peer = try HylaFAXPeer()
    tap = try FaxTap(to: peer.port)
  }

  private var configuration: String {
    bank.configuration + """
        - kind: fax
          name: fax
          servers:
            - {name: main, host: 127.0.0.1, port: \(tap.port), user: operator, password: {env: FAX_PASSWORD},
               admin_password: {env: FAX_ADMIN}}
          sweep_interval: 1s
          text_pages: 0
          settle_delay: 1s

      """
  }

  private func start(_ environment: [String: String] = [:]) throws -> Liaison {
    try bank.start(
      configuration,
      environment: ["FAX_PASSWORD": "s3cret", "FAX_ADMIN": "adm1n"].merging(environment) { $1 }, program: program)
  }

  /// What went wrong, and a line of figures.
  func run(_ random: inout Moments) async throws -> (failures: [String], summary: String) {
    defer { peer.stop() }
    var daemon = try start()
    _ = try await daemon.ready()
    var places: [String: Int] = [:]
    for round in 0..<kills {
      let word = Self.words[Int(random.next() % UInt64(Self.words.count))]
      let moment: FaxTap.Moment = random.next() % 2 == 0 ? .before : .after
      let killsServer = random.next() % 3 == 0
      let (pid, peer) = (daemon.child.pid, peer)
      tap.set(
        FaxTap.Trap(word, moment) { if killsServer { peer.killServer() } else { kill(pid, SIGKILL) } })
      try await plan(round)
      places["\(killsServer ? "hfaxd" : "Liaison") \(moment) \(word)", default: 0] += 1
      if killsServer {
        let deadline = ContinuousClock.now + .seconds(120)
        while !tap.isSprung {
          guard ContinuousClock.now < deadline else {
            return (["round \(round): nothing was handed over within two minutes\n\(daemon.child.tail)"], "")
          }
          try await Task.sleep(for: .milliseconds(20))
        }
        try peer.startServer()
      } else {
        let exit = try await daemon.child.ended(within: .seconds(120))
        guard exit == .signal(SIGKILL) else { return (["round \(round): Liaison ended with \(exit)"], "") }
        daemon = try start()
        _ = try await daemon.ready()
      }
    }
    let names = try await settled()
    _ = try await daemon.stop()
    let tags = try peer.jobTags()
    var failures: [String] = []
    for (tag, count) in Dictionary(tags.map { ($0, 1) }, uniquingKeysWith: +) where count > 1 {
      failures.append("DOUBLED: \(tag) is \(count) jobs")
    }
    for name in Set(names).subtracting(tags) { failures.append("LOST: \(name) counts as accepted and is no job") }
    for tag in Set(tags).subtracting(names) { failures.append("a job that does not count as accepted: \(tag)") }
    if names.count != kills { failures.append("\(names.count) of \(kills) jobs are with the server") }
    let kinds = places.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    return (failures, "fax          \(kills) jobs, each on the server once; killed: \(kinds)")
  }

  private func plan(_ round: Int) async throws {
    let socket = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    let number = "+8610\(5_555_0000 + round)"
    var request = HTTPClientRequest(url: "http+unix://\(socket)/v1/proactive-jobs")
    request.method = .POST
    request.headers.add(name: "Content-Type", value: "application/json")
    request.headers.add(name: "Idempotency-Key", value: "fax-\(round)")
    request.body = .bytes(
      ByteBuffer(
        string: """
          {"purpose": "service", "reference": "fax-\(round)",
           "address": {"kind": "fax", "value": "\(number)", "confirm": "\(number)"},
           "contents": {"fax": {"text": "尊敬的客户：您的挂失已办理。第\(round)号。"}}}
          """))
    let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
    let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
    guard answer.status == .created else {
      throw ChildProcess.Failure(description: "job \(round): HTTP \(answer.status.code) \(text.prefix(200))")
    }
  }

  /// The wire identities that count as accepted, once nothing is under way.
  private func settled() async throws -> [String] {
    var options = Database.Options()
    options.readOnly = true
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    let deadline = ContinuousClock.now + .seconds(300)
    while ContinuousClock.now < deadline {
      let left = try await database.read { connection in
        try connection.one(
          """
          SELECT (SELECT count(*) FROM proactive_job WHERE state = 'planned')
            + (SELECT count(*) FROM attempt WHERE state IN ('reserved', 'handing', 'in_doubt')) AS n
          """, []
        ).int("n")
      }
      if left == 0 { break }
      try await Task.sleep(for: .milliseconds(100))
    }
    let names = try await database.read { connection in
      try connection.query("SELECT wire_identity FROM attempt WHERE state = 'accepted'", []).map {
        try $0.text("wire_identity")
      }
    }
    await database.close()
    return names
  }
}
