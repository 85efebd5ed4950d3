import API
import Channels
import ContactModel
import Fax
import Foundation
import NIOPosix
import Outbound
import Store

/// Fax through HylaFAX servers, and the hook by which they tell how a reception ended.
///
/// The hook program runs on the HylaFAX host as its own user. It may come over the admin socket where both are one
/// machine and that user may open it; else over the public listener, with the bearer token that `hook_token` names.
struct FaxWiring: ChannelWiring {
  private var servers: [FaxServer]
  private var lines: [(number: String, line: FaxLine)]
  private var language: FaxConfiguration.Language
  private var plan: NumberPlan
  private var dialRules: [DialRule]
  private var callIDs: [CallIDOrder.Field]
  private var hookToken: String?
  private var reading: Reading
  private var recognition: TextRecognition?
  private var documents: OutboundDocument.Settings
  private var sending: Sending

  private struct Reading {
    var maximumBytes: Int
    var sweepInterval: Duration
    var receiveGrace: Duration
    var deleteReceived: Bool
    var previewPages: Int
  }
  private struct Sending {
    var dials: Int
    var tries: Int
    var lifetime: Duration
    var doneRetention: Duration
    var settleDelay: Duration
    var atOnce: Int
  }

  init(_ reader: ConfigurationReader) {
    servers = reader.list("servers", Self.server)
    let languages = FaxConfiguration.Language.allCases.map(\.rawValue)
    language = .init(rawValue: reader.string("language", default: "zh", allowed: languages)) ?? .zh
    plan = reader.numberPlan(area: "10")
    lines = reader.list("lines") { line in
      let category = line.optionalString("category")
      if let category, Code(category) == nil { line.problem(at: "category", "\(category) is no code") }
      let customer = line.optionalString("customer_no")
      if let customer, CustomerNumber(customer) == nil { line.problem(at: "customer_no", "\(customer) is no number") }
      return (line.string("number"), FaxLine(category: category, customerNo: customer))
    }
    dialRules = []
    for text in reader.strings("dial_rules") {
      if let rule = DialRule(text) {
        dialRules.append(rule)
      } else {
        reader.problem(at: "dial_rules", "\(text) is no rule such as +8610= or +86=0")
      }
    }
    callIDs = []
    for text in reader.strings("call_ids", default: CallIDOrder.standard.fields.map(\.rawValue)) {
      if let field = CallIDOrder.Field(rawValue: text) {
        callIDs.append(field)
      } else {
        let words = CallIDOrder.Field.allCases.map(\.rawValue).joined(separator: ", ")
        reader.problem(at: "call_ids", "\(text) is none of \(words)")
      }
    }
    hookToken = reader.secret("hook_token")
    reading = Reading(
      maximumBytes: reader.integer("maximum_bytes", default: 16 << 20, in: 65_536...268_435_456),
      sweepInterval: reader.duration("sweep_interval", default: .seconds(60)),
      receiveGrace: reader.duration("receive_grace", default: .seconds(10)),
      deleteReceived: reader.bool("delete_received", default: false),
      previewPages: reader.integer("preview_pages", default: 50, in: 0...500))
    recognition = Self.recognition(reader)
    documents = Self.documents(reader)
    sending = Sending(
      dials: reader.integer("dials", default: 1, in: 1...12), tries: reader.integer("tries", default: 1, in: 1...12),
      lifetime: reader.duration("lifetime", default: .seconds(3 * 3_600)),
      doneRetention: reader.duration("done_retention", default: .seconds(900)),
      settleDelay: reader.duration("settle_delay", default: .seconds(30)),
      atOnce: reader.integer("at_once", default: 2, in: 1...10))
    let names = servers.map(\.name)
    if servers.isEmpty { reader.problem(at: "servers", "at least one HylaFAX server is needed") }
    if Set(names).count < names.count { reader.problem(at: "servers", "two servers have one name") }
  }

  private static func server(_ reader: ConfigurationReader) -> FaxServer {
    let name = reader.string("name")
    if !name.isEmpty, !name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d })
    {
      reader.problem(at: "name", "\(name) is no server name: a-z, 0-9 and -")
    }
    var server = FaxServer(
      name: name, host: reader.string("host"), port: reader.integer("port", default: 4_559, in: 1...65_535),
      account: .init(
        user: reader.string("user"), password: reader.secret("password"),
        administratorPassword: reader.secret("admin_password")),
      modem: reader.optionalString("modem"))
    server.timeouts.connect = reader.duration("connect_timeout", default: server.timeouts.connect)
    server.timeouts.reply = reader.duration("reply_timeout", default: server.timeouts.reply)
    server.timeouts.transfer = reader.duration("transfer_timeout", default: server.timeouts.transfer)
    server.timeouts.kill = reader.duration("kill_timeout", default: server.timeouts.kill)
    return server
  }

  private static func recognition(_ reader: ConfigurationReader) -> TextRecognition? {
    var recognition = TextRecognition()
    recognition.tesseract = reader.string("tesseract", default: recognition.tesseract)
    recognition.languages = reader.string("text_languages", default: recognition.languages)
    recognition.maximumPages = reader.integer("text_pages", default: recognition.maximumPages, in: 0...500)
    recognition.pageTimeLimit = reader.duration("text_page_time_limit", default: recognition.pageTimeLimit)
    recognition.timeLimit = reader.duration("text_time_limit", default: recognition.timeLimit)
    return recognition.maximumPages > 0 ? recognition : nil
  }

  private static func documents(_ reader: ConfigurationReader) -> OutboundDocument.Settings {
    var documents = OutboundDocument.Settings()
    documents.ghostscript = reader.string("ghostscript", default: documents.ghostscript)
    documents.maximumPages = reader.integer("maximum_pages", default: documents.maximumPages, in: 1...500)
    documents.maximumAttachmentBytes = reader.integer(
      "maximum_attachment_bytes", default: documents.maximumAttachmentBytes, in: 65_536...268_435_456)
    documents.timeLimit = reader.duration("conversion_time_limit", default: documents.timeLimit)
    documents.paper = reader.string("paper", default: documents.paper)
    documents.senderName = reader.optionalString("sender_name") ?? ""
    documents.senderNumber = reader.optionalString("sender_number") ?? ""
    return documents
  }

  func wire(_ name: String, with house: House) throws -> WiredChannel {
    let channel = ContactChannel(kind: .fax, name: name)
    var configuration = FaxConfiguration(channel: channel, servers: servers)
    configuration.language = language
    configuration.plan = plan
    configuration.lines = Dictionary(
      lines.map { (plan.faxAddress($0.number).canonical, $0.line) }, uniquingKeysWith: { first, _ in first })
    configuration.dialRules = dialRules
    configuration.callIDs = CallIDOrder(callIDs)
    configuration.maximumBytes = reading.maximumBytes
    configuration.sweepInterval = reading.sweepInterval
    configuration.receiveGrace = reading.receiveGrace
    configuration.deleteReceived = reading.deleteReceived
    configuration.previewPages = reading.previewPages
    configuration.recognition = recognition
    configuration.documents = documents
    configuration.dials = sending.dials
    configuration.tries = sending.tries
    configuration.lifetime = sending.lifetime
    configuration.doneRetention = sending.doneRetention
    configuration.settleDelay = sending.settleDelay
    let (database, logger) = (house.database, house.logger)
    configuration.isKept = { key in
      // A store that cannot answer now: what is offered again is recognised by its wire key.
      (try? await database.read(.bulk) { try $0.isKept(key, on: channel) }) ?? false
    }
    let adapter = FaxAdapter(configuration, group: house.group, work: house.work, logger: logger, clock: house.now)
    // With several fax channels the one that is meant is named at the end.
    let paths = ["/hooks/fax/\(name)", "/hooks/fax"]
    let token = hookToken
    return WiredChannel(
      adapter: adapter,
      publicMounts: token == nil ? [] : paths.map { Self.hook(at: $0, of: adapter, token: token) },
      adminMounts: paths.map { Self.hook(at: $0, of: adapter, token: nil) },
      outbound: [
        OutboundLink(
          channel: .fax, adapter: adapter, window: sending.atOnce, memory: .seconds(86_400),
          inquiryEvery: .seconds(30))
      ])
  }

  /// Where the hook program posts what faxrcvd was told; its answer comes when the fax is durable.
  private static func hook(at path: String, of adapter: FaxAdapter, token: String?) -> Mount {
    Mount(prefix: path, maximumBodyBytes: ReceiveNotice.maximumBytes) { request in
      func answer(_ status: Int, _ text: String, _ headers: [HeaderField] = []) -> MountedResponse {
        MountedResponse(
          status: status, headers: [HeaderField("Content-Type", "text/plain; charset=utf-8")] + headers,
          body: Array((text + "\n").utf8))
      }
      guard request.method.uppercased() == "POST" else {
        return answer(405, "the fax hook takes POST", [HeaderField("Allow", "POST")])
      }
      if let token, !isSame(request.header("Authorization") ?? "", "Bearer " + token) {
        return answer(401, "the fax hook needs its token", [HeaderField("WWW-Authenticate", "Bearer")])
      }
      let notice: ReceiveNotice
      do throws(ReceiveNotice.Failure) {
        notice = try ReceiveNotice(form: request.body)
      } catch {
        return answer(422, "not what faxrcvd-liaison posts: \(error)")
      }
      switch await adapter.received(notice) {
      case .stored: return answer(200, "stored")
      case .later: return answer(503, "not yet", [HeaderField("Retry-After", "30")])
      case .unknownServer: return answer(404, "no server of that name")
      }
    }
  }
}

/// Compares without telling by its time how much agrees.
private func isSame(_ a: String, _ b: String) -> Bool {
  let (a, b) = (Array(a.utf8), Array(b.utf8))
  guard a.count == b.count else { return false }
  return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
}
