import API
import Channels
import ContactModel
import Logging
import Outbound
import SMS

/// SMS: one channel of several links (SMPP, CMPP, Kannel), and a Kannel's calls on the public listener.
///
/// The callbacks are mounted under `callback_path`; who calls them is known by the secret in the path and by his
/// address. With several Kannels each link's name stands before the secret, so that a call names its link.
struct SMSWiring: ChannelWiring {
  private let configuration: SMSConfiguration
  private let callbackPath: String
  private let submits: Bool
  private let inFlight: Int
  private let doubtMemory: Duration
  private let inquireEvery: Duration

  init(_ reader: ConfigurationReader) {
    let secret = reader.secret("callback_secret") ?? ""
    let path = reader.string("callback_path", default: "/sms")
    let base = reader.optionalString("callback_base")
    let links = reader.list("links") { link in
      SMSLinkWiring(link).link { name in base.map { "\($0)\(path)/\(name)/\(secret)" } }
    }
    configuration = SMSConfiguration(
      links: links,
      numbers: reader.numberPlan(),
      keywords: KeywordTable(
        optOut: reader.strings("opt_out_words", default: KeywordTable.defaultOptOut),
        optIn: reader.strings("opt_in_words", default: KeywordTable.defaultOptIn),
        commands: Dictionary(reader.words("commands")) { _, last in last }),
      partTimeLimit: reader.duration("part_time_limit", default: .seconds(1_800)),
      partHold: reader.duration("part_hold", default: .seconds(3)), callbackSecret: secret,
      callbackSources: reader.strings("callback_sources"))
    callbackPath = path
    submits = reader.bool("outbound", default: true)
    inFlight = reader.integer("in_flight", default: 200, in: 1...10_000)
    doubtMemory = reader.duration("doubt_memory", default: .seconds(25 * 3_600))
    inquireEvery = reader.duration("inquire_every", default: .seconds(60))
    check(reader, hasKannel: links.contains { if case .kannel = $0.kind { true } else { false } }, base: base)
  }

  private func check(_ reader: ConfigurationReader, hasKannel: Bool, base: String?) {
    let names = configuration.links.map(\.name)
    if names.isEmpty { reader.problem(at: "links", "an SMS channel needs at least one link") }
    for name in Set(names) where names.filter({ $0 == name }).count > 1 {
      reader.problem(at: "links", "the name \(name) is used twice; it is the scope of message ids")
    }
    if !callbackPath.hasPrefix("/") || callbackPath.hasSuffix("/") {
      reader.problem(at: "callback_path", "begins with / and ends without")
    }
    let secret = configuration.callbackSecret
    if !secret.isEmpty, secret.utf8.count < 16 || !secret.utf8.allSatisfy(Self.isPlain) {
      // Never the value: it is a secret.
      reader.problem(at: "callback_secret", "the secret must be at least 16 characters of A-Z, a-z, 0-9, - and _")
    }
    if secret.isEmpty, hasKannel, base != nil {
      reader.problem(at: "callback_secret", "is required where a Kannel shall call back")
    }
    if !hasKannel, base != nil {
      reader.problem(at: "callback_base", "no link of this channel is a Kannel")
    }
    if let base, !(base.hasPrefix("http://") || base.hasPrefix("https://")) || base.hasSuffix("/") {
      reader.problem(at: "callback_base", "must be http://host:port or https://host, without / at its end")
    }
    for source in configuration.callbackSources where !CallbackSource.isValid(source) {
      reader.problem(at: "callback_sources", "\(source) is neither an address nor a network such as 10.1.0.0/16")
    }
  }

  /// Passes through any URL as it is.
  private static func isPlain(_ octet: UInt8) -> Bool {
    switch octet {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: true
    default: false
    }
  }

  func wire(_ name: String, with house: House) throws -> WiredChannel {
    let channel = ContactChannel(kind: .sms, name: name)
    var logger = house.logger
    logger[metadataKey: "channel"] = .string(name)
    let adapter = SMSAdapter(channel: channel, configuration: configuration, logger: logger, wallClock: house.now)
    var wired = WiredChannel(adapter: adapter)
    if !configuration.callbackSecret.isEmpty { wired.publicMounts = [mount(adapter)] }
    if submits {
      wired.outbound = [
        OutboundLink(
          // No more than there are places: a text that waits in the adapter is one that a STOP comes too late for.
          channel: .sms, adapter: adapter,
          window: min(inFlight, max(1, configuration.links.map(\.places).reduce(0, +))),
          memory: doubtMemory, inquiryEvery: inquireEvery,
          // A text that cannot be sent has no parts to count.
          parts: { (try? adapter.preview($0.text, link: nil, optOutLine: false))?.parts })
      ]
    }
    wired.textCosts = { text, link, withOptOut in Self.cost(of: text, on: link, withOptOut, adapter) }
    return wired
  }

  private func mount(_ adapter: SMSAdapter) -> Mount {
    Mount(prefix: callbackPath, maximumBodyBytes: 64 * 1_024) { request in
      let answer = await adapter.receive(
        CallbackRequest(
          method: request.method.uppercased(), path: request.path, query: request.query ?? "", body: request.body,
          sourceAddress: request.remoteAddress ?? ""))
      var headers = [HeaderField("Content-Type", "text/plain; charset=utf-8")]
      if let seconds = answer.retryAfter { headers.append(HeaderField("Retry-After", String(seconds))) }
      return MountedResponse(status: answer.status, headers: headers, body: Array(answer.body.utf8))
    }
  }

  private static func cost(
    of text: String, on link: String?, _ withOptOut: Bool, _ adapter: SMSAdapter
  ) -> TextCostAnswer {
    let preview: TextPreview?
    do throws(Segmentation.Failure) {
      preview = try adapter.preview(text, link: link, optOutLine: withOptOut)
    } catch {
      switch error {
      case .tooManyParts: return .tooLong
      case .notEncodable: return .notEncodable
      }
    }
    guard let preview else { return .noSuchLink }
    return .cost(
      TextCost(
        link: preview.link, text: preview.text, encoding: preview.coding.rawValue, units: preview.units,
        segments: preview.parts, maximumSegments: preview.maximumParts, unitsPerSegment: preview.unitsPerPart,
        unitsLeft: preview.unitsLeft,
        signature: preview.signature.map { TextCost.Signature(text: $0.text, placement: $0.placement.rawValue) },
        outsideAlphabet: preview.outsideGSM))
  }
}
