import Channels
import SMS

/// The keys of one link of an SMS channel: what it speaks, how it writes texts, its bounds and timers.
struct SMSLinkWiring {
  private let reader: ConfigurationReader

  init(_ reader: ConfigurationReader) { self.reader = reader }

  /// Nil if it names no protocol there is; the problem is told. `callback` makes the URL a Kannel calls for the link.
  func link(callback: (String) -> String?) -> SMSConfiguration.Link? {
    let name = reader.string("name")
    if !name.isEmpty, !SMSConfiguration.Link.isName(name) {
      reader.problem(at: "name", "\(name) is no name of a link: 1 to 40 characters of a-z, 0-9 and -")
    }
    let kind: SMSConfiguration.Link.Kind
    switch reader.string("protocol", allowed: ["smpp", "cmpp", "kannel"]) {
    case "smpp": kind = smpp()
    case "cmpp": kind = cmpp()
    case "kannel": kind = kannel(callback: callback(name))
    default: return nil
    }
    let isWire = if case .kannel = kind { false } else { true }
    let isCMPP = if case .cmpp = kind { true } else { false }
    return SMSConfiguration.Link(
      name: name, weight: reader.integer("weight", default: 1, in: 0...1_000), kind: kind,
      profile: profile(isCMPP: isCMPP, isSMPP: isWire && !isCMPP), settings: isWire ? settings() : LinkSettings(),
      receipts: ReceiptReader(
        extraWords: receiptWords(), trustsTextAlone: reader.bool("receipts_by_text", default: true),
        utcOffsetSeconds: 60 * offset(isCMPP: isCMPP)),
      messageIDs: isWire ? messageIDs() : MessageIDRule(),
      condemningCodes: Set(
        reader.strings("condemning_codes", default: ["MK:0000", "MK:0001"]).map { $0.uppercased() }),
      reportsDelivery: reader.bool("receipts", default: true), defaultSender: reader.string("sender", default: ""))
  }

  // MARK: What it speaks

  private func smpp() -> SMSConfiguration.Link.Kind {
    let binds = reader.strings("binds", default: ["transceiver"]).compactMap { word in
      let bind = SMPPSettings.Bind(rawValue: word)
      if bind == nil { reader.problem(at: "binds", "\(word) is none of transceiver, transmitter, receiver") }
      return bind
    }
    if binds.isEmpty { reader.problem(at: "binds", "at least one of transceiver, transmitter, receiver") }
    return .smpp(
      SMPPSettings(
        systemID: reader.string("system_id"), password: reader.requiredSecret("password"),
        systemType: reader.string("system_type", default: ""),
        interfaceVersion: UInt8(reader.integer("interface_version", default: 0x34, in: 0...255)),
        addressRange: reader.string("address_range", default: ""),
        serviceType: reader.string("service_type", default: ""),
        shortCodeTON: UInt8(reader.integer("short_code_ton", default: 0, in: 0...7)),
        shortCodeNPI: UInt8(reader.integer("short_code_npi", default: 1, in: 0...18)),
        usesDataSM: reader.bool("data_sm", default: false),
        sendsReference: reader.bool("message_reference", default: true),
        asksQueries: reader.bool("query_sm", default: false), verdicts: verdicts()),
      endpoint(defaultPort: 2775), binds: binds)
  }

  private func cmpp() -> SMSConfiguration.Link.Kind {
    let version = reader.string("version", default: "2.0", allowed: ["2.0", "3.0"])
    return .cmpp(
      CMPPSettings(
        enterpriseCode: reader.string("enterprise_code"), sharedSecret: reader.requiredSecret("shared_secret"),
        version: version == "3.0" ? .v30 : .v20, serviceID: reader.string("service_id", default: ""),
        feeUserType: UInt8(reader.integer("fee_user_type", default: 2, in: 0...3)),
        feeType: reader.string("fee_type", default: "01"), feeCode: reader.string("fee_code", default: "0"),
        verifiesGateway: reader.bool("verify_gateway", default: false), utcOffsetSeconds: 60 * offset(isCMPP: true),
        verdicts: verdicts()),
      endpoint(defaultPort: 7890), connections: reader.integer("connections", default: 1, in: 1...64))
  }

  private func kannel(callback: String?) -> SMSConfiguration.Link.Kind {
    .kannel(
      KannelSettings(
        sendURL: reader.string("send_url"), username: reader.string("username"),
        password: reader.requiredSecret("password"), smsc: reader.optionalString("smsc"), callbackURL: callback,
        reportMask: reader.integer("report_mask", default: 31, in: 1...31),
        timeout: reader.duration("timeout", default: .seconds(20)),
        concurrency: reader.integer("concurrency", default: 32, in: 1...1_000)))
  }

  private func endpoint(defaultPort: Int) -> LinkEndpoint {
    LinkEndpoint(
      host: reader.string("host"), port: reader.integer("port", default: defaultPort, in: 1...65_535),
      tls: reader.optionalSection("tls") { tls in
        let (certificate, key) = (tls.optionalString("certificate"), tls.optionalString("key"))
        if (certificate == nil) != (key == nil) {
          tls.problem(at: "certificate", "needs its key, and the key needs it")
        }
        return LinkEndpoint.TLS(
          trustRoots: tls.optionalString("authorities"), certificate: certificate, key: key,
          serverName: tls.optionalString("server_name"))
      })
  }

  /// East of Greenwich; the specification of CMPP knows one zone only.
  private func offset(isCMPP: Bool) -> Int {
    reader.integer("utc_offset_minutes", default: isCMPP ? 480 : 0, in: -840...840)
  }

  private func verdicts() -> [UInt32: Verdict] {
    var out: [UInt32: Verdict] = [:]
    for (code, word) in reader.words("verdicts") {
      let number = code.lowercased().hasPrefix("0x") ? UInt32(code.dropFirst(2), radix: 16) : UInt32(code)
      guard let number else {
        reader.problem(at: "verdicts", "\(code) is no status such as 0x0412 or 1042")
        continue
      }
      guard let verdict = Verdict(word: word) else {
        reader.problem(
          at: "verdicts",
          "\(word) is none of throttle, retry, reject, bad-address, unknown-recipient, content, reconnect")
        continue
      }
      out[number] = verdict
    }
    return out
  }

  // MARK: What it writes and reads

  private func profile(isCMPP: Bool, isSMPP: Bool) -> TextProfile {
    let alphabet = word("default_alphabet", default: isCMPP ? .ascii : TextProfile.DefaultAlphabet.gsm7)
    var signature: Signature?
    if let name = reader.optionalString("signature") {
      if !(1...20).contains(name.count) || name.contains(where: { "【】".contains($0) }) {
        reader.problem(at: "signature", "1 to 20 characters without 【】")
      }
      signature = Signature(name: name, placement: word("signature_at", default: .start))
    } else {
      _ = word("signature_at", default: Signature.Placement.start)
    }
    let codings: [TextCoding] = reader.strings("codings").compactMap { word in
      let coding = TextCoding(rawValue: word)
      if coding == nil || coding == .binary { reader.problem(at: "codings", "\(word) is no coding of texts") }
      return coding
    }
    var profile = TextProfile(
      defaultAlphabet: alphabet, ucs2DataCoding: UInt8(reader.integer("ucs2_data_coding", default: 8, in: 0...255)),
      method: word("long_messages", default: .udh8),
      maximumParts: reader.integer("maximum_parts", default: 10, in: 1...255),
      signature: signature, optOutLine: reader.optionalString("opt_out_line"),
      codings: codings.isEmpty ? nil : codings)
    profile.languages = reader.strings("national_languages").compactMap { word in
      let language = NationalLanguage(word: word)
      if language == nil {
        let words = NationalLanguage.allCases.map(\.word).joined(separator: ", ")
        reader.problem(at: "national_languages", "\(word) is none of \(words)")
      }
      return language
    }
    if !profile.languages.isEmpty, !isSMPP || profile.method == .sar || profile.method == .payload {
      reader.problem(at: "national_languages", "only for SMPP with long_messages udh8 or udh16")
    }
    return profile
  }

  private func receiptWords() -> [String: DeliveryReport.State] {
    var out: [String: DeliveryReport.State] = [:]
    for (word, state) in reader.words("receipt_words") {
      guard let state = DeliveryReport.State(rawValue: state) else {
        let states = DeliveryReport.State.allCases.map(\.rawValue).joined(separator: ", ")
        reader.problem(at: "receipt_words", "\(state) is none of \(states)")
        continue
      }
      out[word.uppercased()] = state
    }
    return out
  }

  private func messageIDs() -> MessageIDRule {
    MessageIDRule(
      responses: word("response_ids", default: .text), receipts: word("receipt_ids", default: .text))
  }

  private func settings() -> LinkSettings {
    LinkSettings(
      window: reader.integer("window", default: 50, in: 1...10_000),
      queueLimit: reader.integer("queue_limit", default: 2_000, in: 1...1_000_000),
      inboundLimit: reader.integer("inbound_limit", default: 1_000, in: 1...100_000),
      responseTimeout: reader.duration("response_timeout", default: .seconds(30)),
      queueTimeout: reader.duration("queue_timeout", default: .seconds(30)),
      loginTimeout: reader.duration("login_timeout", default: .seconds(10)),
      keepaliveInterval: reader.duration("keepalive_interval", default: .seconds(30)),
      keepaliveTimeout: reader.duration("keepalive_timeout", default: .seconds(10)),
      throttlePause: reader.duration("throttle_pause", default: .milliseconds(500)),
      throttlePauseMaximum: reader.duration("throttle_pause_maximum", default: .seconds(10)),
      reconnectDelay: reader.duration("reconnect_delay", default: .seconds(1)),
      reconnectDelayMaximum: reader.duration("reconnect_delay_maximum", default: .seconds(60)),
      refusedLoginDelay: reader.duration("refused_login_delay", default: .seconds(60)),
      drainTimeout: reader.duration("drain_timeout", default: .seconds(5)),
      repeatWindow: reader.duration("repeat_window", default: .seconds(600)),
      maximumPDU: reader.integer("maximum_pdu", default: 65_536, in: 1_024...16_777_216))
  }

  private func word<Value: RawRepresentable & CaseIterable>(_ key: String, default fallback: Value) -> Value
  where Value.RawValue == String {
    let text = reader.string(key, default: fallback.rawValue, allowed: Value.allCases.map(\.rawValue))
    return Value(rawValue: text) ?? fallback
  }
}
