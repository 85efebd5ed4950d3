import API
import AsyncHTTPClient
import Channels
import ContactModel
import Customers
import Demo
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Store

/// A stand-in for one channel's peer, beside the demo's daemon.
protocol DemoPeer: Sendable {
  /// Ready to be connected to, or with its port chosen. Throws `DaemonError.unavailable`.
  static func start() async throws -> Self
  /// The entry of `channels` for it.
  var channel: String { get }
  /// The secrets that entry refers to.
  var environment: [String: String] { get }
  /// What is printed of it: a word, and where it is or what it does.
  var hint: (name: String, text: String) { get }
  /// Serves, and brings something of a customer's about every `interval` seconds, nothing if it is 0. Until cancelled.
  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async
}

/// Every stand-in of `serve --demo`.
func startDemoPeers() async throws -> [any DemoPeer] {
  [try await DemoExchange.start(), try DemoMail.start(), try await DemoSMS.start(), try await DemoFax.start()]
}

/// The wiring of `serve --demo`: everything under ./var/demo, on the loopback.
func demoConfiguration(_ peers: [any DemoPeer]) throws -> Configuration {
  let directory = FileManager.default.currentDirectoryPath + "/var/demo"
  let parameters =
    ["./config/params", "/usr/share/liaison/params"].first { FileManager.default.fileExists(atPath: $0) }
  guard let parameters else {
    throw DaemonError.configuration("--demo needs the shipped parameters: run it where config/params is")
  }
  let yaml = """
    store:
      url: sqlite://\(directory)/liaison.db
      bodies: \(directory)/bodies
    admin:
      socket: \(directory)/admin.sock
    log: {level: notice}
    secret_file: \(directory)/secret
    parameters: \(parameters)
    channels:
      - kind: webform
        name: web
        bank_name_zh: 示范银行
        bank_name_en: Demo Bank
        post_burst: 1000
        post_interval: 10ms
    \(peers.map(\.channel).joined(separator: "\n"))
    """
  do {
    return try Configuration.read(
      yaml, file: "the demo's configuration",
      environment: peers.reduce(into: ProcessInfo.processInfo.environment) { $0.merge($1.environment) { $1 } }
    )
    .configuration
  } catch let problems as ConfigurationProblems {
    throw DaemonError.configuration(problems.description)
  }
}

/// Gives the daemon its demo: the bank's customers and agents, an agent's token, a live page and traffic.
func prepareDemo(_ daemon: inout Daemon, interval: Int, _ peers: [any DemoPeer]) throws {
  let token = AccessToken()
  let agent = DemoBank.agents[0].id
  let people = DemoBank.customers(1_000)
  let now = daemon.now
  let logger = daemon.logger
  daemon.extraMounts.append(livePageMount())
  daemon.onReady = { bound in
    do {
      try await seed(bound.database, people: people, agent: agent, token: token, at: now())
    } catch {
      logger.error("The demo's bank could not be made.", metadata: ["fault.text": "\(error)"])
      return
    }
    let hints = peers.map { $0.hint.name.padding(toLength: 15, withPad: " ", startingAt: 0) + $0.hint.text }
    let text = """

      Liaison serves a small bank of 1,000 customers.

        Forms          \(bound.publicBase)/forms/zh/consultation   (also complaint, declaration, callback; /forms/en/…)
        Live page      \(bound.api)/live#agent=\(agent)&token=\(token.text)
        Agent's stream curl -N -H 'Authorization: Bearer \(token.text)' \(bound.api)/v1/agents/\(agent)/events
        \(hints.joined(separator: "\n  "))
        Description    \(bound.api)/openapi.json
        Operation      liaison status · ledger · quarantine list · tail   (with --demo)

      Stop with Ctrl-C.

      """
    FileHandle.standardOutput.write(Data(text.utf8))
  }
  for peer in peers {
    daemon.companions.append { _ in await peer.run(people: people, every: interval, logger) }
  }
  if interval > 0 {
    daemon.companions.append { bound in await sendForms(to: bound.publicBase, people: people, every: interval, logger) }
    let socket = daemon.configuration.admin.socket
    daemon.companions.append { bound in await answerMail(bound.database, socket: socket, every: interval * 2, logger) }
  }
}

/// Customers, agents and the token; adding what is there already changes nothing.
private func seed(
  _ database: Database, people: [DemoBank.Person], agent: AgentID, token: AccessToken, at time: Timestamp
) async throws {
  let queues = [DemoExchange.queue, Code("complaints")!, Code("urgent")!]
  try await database.write { transaction in
    for agent in DemoBank.agents {
      try transaction.upsert(
        Agent(
          id: agent.id, name: agent.name, device: agent.device, queues: queues,
          state: DemoCampaign.callers.contains(agent.id) ? .ready : .offline, stateSince: time),
        at: time)
    }
    try transaction.add(
      AccessGrant(label: "demo-\(agent)", role: .agent, agentId: agent), tokenHash: "\(token.digest)", at: time)
  }
  guard try await database.read(.live, { try $0.customer(people[0].customer.customerNo) }) == nil else { return }
  for start in stride(from: 0, to: people.count, by: 50) {
    let chunk = people[start..<min(start + 50, people.count)]
    try await database.write(.bulk) { transaction in
      for person in chunk {
        try transaction.upsert(
          CustomerRecord(
            customer: person.customer, identityNo: person.identityNo, birthDate: person.birthDate,
            contactPoints: [
              ContactPoint(address: Address(kind: .phone, canonical: person.phone, raw: person.phone)),
              ContactPoint(address: Address(kind: .email, canonical: person.email, raw: person.email)),
            ] + (person.fax.map { [ContactPoint(address: Address(kind: .fax, canonical: $0, raw: $0))] } ?? []),
            accounts: [person.account]),
          nameFolded: NormalForm.name(person.customer.name), source: "demo", at: time)
      }
    }
  }
  try await database.write { try DemoCampaign.begin(people, in: $0, at: time) }
}

/// Fills in forms as a customer's browser would: takes the page, waits, posts. Until cancelled.
private func sendForms(to base: String, people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
  var traffic = FormTraffic(people: people)
  while !Task.isCancelled {
    let post = traffic.next()
    do {
      try await fillIn(post, at: base)
    } catch is CancellationError {
      return
    } catch {
      logger.warning("A demo form could not be sent.", metadata: ["fault.text": "\(error)"])
    }
    do { try await Task.sleep(for: .seconds(interval)) } catch { return }
  }
}

private struct RenderedForm: Decodable { var token: String }
private struct FilledIn: Encodable {
  var fields: [String: String]
  var consents: [String: Bool]
  var reply_by: String
  var token: String
}

private func fillIn(_ post: FormTraffic.Post, at base: String) async throws {
  let url = "\(base)/forms/\(post.language)/\(post.form)"
  var page = HTTPClientRequest(url: url)
  page.headers.add(name: "Accept", value: "application/json")
  let rendered = try await HTTPClient.shared.execute(page, timeout: .seconds(10))
  let form = try JSONDecoder().decode(
    RenderedForm.self, from: Data(try await rendered.body.collect(upTo: 1 << 20).readableBytesView))
  try await Task.sleep(for: .milliseconds(2_500))  // Nobody fills in a form faster, and the form knows it.
  var request = HTTPClientRequest(url: url)
  request.method = .POST
  request.headers.add(name: "Content-Type", value: "application/json")
  request.headers.add(name: "Accept", value: "application/json")
  request.body = .bytes(
    try JSONEncoder().encode(
      FilledIn(fields: post.fields, consents: post.consents, reply_by: post.replyBy, token: form.token)))
  let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
  let body = try await answer.body.collect(upTo: 1 << 20)
  guard answer.status == .accepted else {
    throw DaemonError.finding("the form answered \(answer.status): \(String(buffer: body).prefix(300))")
  }
}
