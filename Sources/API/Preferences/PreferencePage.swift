import Channels
import ContactModel
import Crypto
import Foundation
import Logging
import Outbound
import Store

/// A customer's own page: what he allows, by purpose and channel, and how he likes best to be reached; and the one-click
/// unsubscription of his mail program.
///
/// Plain HTML that works without script, in Chinese and English; a look changes nothing, only what is posted does. What
/// he says counts as his own word with this page as proof, in force before the answer is written: also for jobs that
/// are planned or reserved, which are decided again at their hand-over.
/// Source: RFC 8058; specs/outbound.md §1.
public struct PreferencePage: Sendable {
  let database: Database
  let link: PreferenceLink
  let profile: @Sendable () -> PurposeProfile
  let bank: LocalizedText
  let now: @Sendable () -> Timestamp
  let logger: Logger

  public init(
    database: Database, link: PreferenceLink, profile: @escaping @Sendable () -> PurposeProfile, bank: LocalizedText,
    now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.database = database
    self.link = link
    self.profile = profile
    self.bank = bank
    self.now = now
    self.logger = logger
  }

  /// Served on the public listener: `/preferences/TOKEN` and `/preferences/TOKEN/unsubscribe`.
  public var mount: Mount {
    Mount(prefix: "/preferences", maximumBodyBytes: 16_384) { request in await respond(to: request) }
  }

  func respond(to request: MountedRequest) async -> MountedResponse {
    let parts = request.path.split(separator: "/").dropFirst().map(String.init)
    let query = fields(request.query ?? "")
    let language: Language =
      switch query["lang"]?.first {
      case "zh": .chinese
      case "en": .english
      default: Language(accepting: request.header("Accept-Language"))
      }
    guard let token = parts.first, parts.count == 1 || (parts.count == 2 && parts[1] == "unsubscribe"),
      let customer = link.customer(of: token, at: now())
    else { return page(404, language, gone(language)) }
    do {
      switch (request.method.uppercased(), parts.count) {
      case ("GET", 1), ("HEAD", 1): return try await show(customer, token, language, saved: false)
      case ("POST", 1): return try await save(customer, token, request, language)
      case ("GET", 2), ("HEAD", 2): return page(200, language, confirmation(token, query, language))
      case ("POST", 2): return try await unsubscribe(customer, token, request, query, language)
      default: return MountedResponse(status: 405, headers: [HeaderField("Allow", "GET, HEAD, POST")])
      }
    } catch {
      logger.error(
        "A preference could not be kept.", metadata: ["error": "\(error)", "request.id": "\(request.requestID)"])
      var response = page(
        503, language,
        "<p>\(language == .chinese ? "现在无法保存，请稍后再试。" : "This cannot be saved now. Please try again later.")</p>")
      response.headers.append(HeaderField("Retry-After", "30"))
      return response
    }
  }

  // MARK: The page

  private func show(
    _ customer: CustomerNumber, _ token: String, _ language: Language, saved: Bool
  ) async throws -> MountedResponse {
    let records = try await database.read { try $0.preferences(of: customer) }
    let permissions = profile().permissions(of: records, at: now()).filter { !$0.isCritical }
    let zh = language == .chinese
    let channels = profile().channels
    var rows = ""
    for (purpose, cells) in grouped(permissions) {
      rows += "<tr><th scope=\"row\">\(escape(purpose.words(zh)))</th>"
      for channel in channels {
        guard let cell = cells.first(where: { $0.channel == channel }) else {
          rows += "<td>–</td>"
          continue
        }
        let name = "\(purpose).\(channel)"
        let label = "\(purpose.words(zh)) \(channel.words(in: zh ? .zh : .en))"
        rows += """
          <td><input type="checkbox" name="\(escape(name))" value="yes" aria-label="\(escape(label))"\
          \(cell.isAllowed ? " checked" : "")></td>
          """
      }
      rows += "</tr>\n"
    }
    let favourite = permissions.compactMap { cell in cell.rank.map { (cell.channel, $0) } }.min { $0.1 < $1.1 }?.0
    let options = channels.map { channel in
      "<option value=\"\(escape(channel.rawValue))\"\(favourite == channel ? " selected" : "")>"
        + "\(escape(channel.words(in: zh ? .zh : .en)))</option>"
    }.joined()
    let heads = channels.map { "<th scope=\"col\">\(escape($0.words(in: zh ? .zh : .en)))</th>" }.joined()
    let body = """
      \(saved ? "<p role=\"status\" class=\"saved\">\(zh ? "已保存，即刻生效。" : "Saved. It is in force now.")</p>" : "")
      <p>\(zh ? "请选择我们可以为哪些事项、通过哪些渠道联系您。安全与法定通知不受此限。"
        : "Choose for what, and by which channels, we may contact you. Security and statutory notices are not affected.")</p>
      <form method="post" action="/preferences/\(token)?lang=\(zh ? "zh" : "en")">
      <table><thead><tr><td></td>\(heads)</tr></thead><tbody>
      \(rows)</tbody></table>
      <p><label>\(zh ? "最希望的联系方式" : "I like best to be reached by") <select name="favourite">\
      <option value="">\(zh ? "没有特别要求" : "no matter")</option>\(options)</select></label></p>
      <p><button type="submit">\(zh ? "保存" : "Save")</button>
      <button type="submit" name="nothing" value="yes">\(zh ? "全部不允许" : "Allow nothing")</button></p>
      </form>
      <p><a href="/preferences/\(token)?lang=\(zh ? "en" : "zh")">\(zh ? "English" : "中文")</a></p>
      """
    return page(200, language, body)
  }

  private func grouped(_ permissions: [Permission]) -> [(Purpose, [Permission])] {
    var order: [Purpose] = []
    for permission in permissions where !order.contains(permission.purpose) { order.append(permission.purpose) }
    return order.map { purpose in (purpose, permissions.filter { $0.purpose == purpose }) }
  }

  private func save(
    _ customer: CustomerNumber, _ token: String, _ request: MountedRequest, _ language: Language
  ) async throws -> MountedResponse {
    let form = fields(String(decoding: request.body, as: UTF8.self))
    let profile = profile()
    let time = now()
    let evidence = evidence(request, at: time)
    let nothing = form["nothing"] != nil
    let favourite = nothing ? nil : form["favourite"]?.first.flatMap { $0.isEmpty ? nil : $0 }
    try await database.write { transaction in
      let records = try transaction.preferences(of: customer)
      var said: [ChannelPreference] = []
      for cell in profile.permissions(of: records, at: time) where !cell.isCritical {
        let wanted = !nothing && form["\(cell.purpose).\(cell.channel)"]?.first == "yes"
        guard wanted != cell.isAllowed else { continue }
        said.append(
          ChannelPreference(
            channel: cell.channel, purpose: cell.purpose, verdict: wanted ? .allow : .deny, effectiveAt: time,
            source: .customer))
      }
      let before = profile.permissions(of: records, at: time).compactMap { cell in
        cell.rank.map { (cell.channel.rawValue, $0) }
      }.min { $0.1 < $1.1 }?.0
      if favourite != before {
        for channel in profile.channels where favourite != nil || before == channel.rawValue {
          // Ranks are said for every channel, so that the old favourite is one no more.
          said.append(
            ChannelPreference(
              channel: channel, purpose: nil, verdict: .prefer, rank: channel.rawValue == favourite ? 1 : 5,
              effectiveAt: time, source: .customer))
        }
      }
      try transaction.keep(said, of: customer, evidence, policy: profile.version, at: time)
    }
    return try await show(customer, token, language, saved: true)
  }

  // MARK: Unsubscribing

  /// The channel an unsubscription is for: the mail's, unless the link says another.
  private func channel(_ query: [String: [String]]) -> OutboundChannel {
    query["c"]?.first.map(OutboundChannel.init(rawValue:)).flatMap { profile().channels.contains($0) ? $0 : nil }
      ?? .email
  }

  private func confirmation(_ token: String, _ query: [String: [String]], _ language: Language) -> String {
    let zh = language == .chinese
    let name = channel(query).words(in: zh ? .zh : .en)
    return """
      <p>\(zh ? "不再通过\(escape(name))接收推广、关怀与调查信息？" : "No more advertising, care and surveys by \(escape(name))?")</p>
      <form method="post" action="/preferences/\(token)/unsubscribe?c=\(escape(channel(query).rawValue))">
      <input type="hidden" name="confirmed" value="yes"><button type="submit">\(zh ? "退订" : "Unsubscribe")</button></form>
      <p><a href="/preferences/\(token)">\(zh ? "全部设置" : "All settings")</a></p>
      """
  }

  /// RFC 8058 §3.2: a mail program posts `List-Unsubscribe=One-Click`, without cookies and without asking.
  private func unsubscribe(
    _ customer: CustomerNumber, _ token: String, _ request: MountedRequest, _ query: [String: [String]],
    _ language: Language
  ) async throws -> MountedResponse {
    let form = fields(String(decoding: request.body, as: UTF8.self))
    let multipart = String(decoding: request.body, as: UTF8.self).contains("One-Click")
    guard form["List-Unsubscribe"]?.first == "One-Click" || form["confirmed"] != nil || multipart else {
      return page(400, language, confirmation(token, query, language))
    }
    let channel = channel(query)
    let profile = profile()
    let time = now()
    let evidence = evidence(request, at: time)
    try await database.write { transaction in
      let records = try transaction.preferences(of: customer)
      let said = profile.permissions(of: records, at: time).filter {
        $0.channel == channel && profile.promotional.contains($0.purpose) && !$0.isDenied
      }.map {
        ChannelPreference(
          channel: $0.channel, purpose: $0.purpose, verdict: .deny, effectiveAt: time, source: .customer)
      }
      try transaction.keep(said, of: customer, evidence, policy: profile.version, at: time)
    }
    let zh = language == .chinese
    return page(
      200, language,
      """
      <p role="status" class="saved">\(zh ? "已退订，即刻生效。" : "You are unsubscribed, from now on.")</p>
      <p><a href="/preferences/\(token)">\(zh ? "全部设置" : "All settings")</a></p>
      """)
  }

  private func evidence(_ request: MountedRequest, at time: Timestamp) -> ConsentEvidence {
    ConsentEvidence(
      id: EvidenceID(at: time), kind: .webForm, reference: "preference page \(request.requestID)",
      hash: hexadecimal(SHA256.hash(data: request.body)), capturedAt: time, capturedBy: "customer",
      ip: request.remoteAddress)
  }

  // MARK: HTML

  private func gone(_ language: Language) -> String {
    language == .chinese
      ? "<p>此链接无效或已过期。请使用我们最近一次发给您的链接，或联系客户服务。</p>"
      : "<p>This link is not valid, or has expired. Please use the link of our latest message, or ask our customer service.</p>"
  }

  private func page(_ status: Int, _ language: Language, _ body: String) -> MountedResponse {
    let zh = language == .chinese
    let title = zh ? "联系偏好" : "How we may contact you"
    let html = """
      <!DOCTYPE html>
      <html lang="\(language.rawValue)"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
      <title>\(title) · \(escape(bank[language]))</title><style>
      body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
      table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #ccc;padding:.5rem;text-align:center}
      th[scope=row]{text-align:left;font-weight:normal}input[type=checkbox]{width:1.3rem;height:1.3rem}
      button{font:inherit;padding:.5rem 1.2rem}.saved{background:#e6f4ea;padding:.6rem}
      </style></head><body><h1>\(title)</h1>
      \(body)
      </body></html>

      """
    return MountedResponse(
      status: status,
      headers: [
        HeaderField("Content-Type", "text/html; charset=utf-8"), HeaderField("Content-Language", language.rawValue),
        HeaderField("Cache-Control", "no-store"), HeaderField("Referrer-Policy", "no-referrer"),
        HeaderField("X-Robots-Tag", "noindex"), HeaderField("X-Content-Type-Options", "nosniff"),
        HeaderField(
          "Content-Security-Policy",
          "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
      ], body: Array(html.utf8))
  }

  private func escape(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;").replacing("'", with: "&#39;")
  }

  /// Fields of a form or query; what is not well encoded is left out.
  private func fields(_ text: String) -> [String: [String]] {
    var out: [String: [String]] = [:]
    for pair in text.split(separator: "&").prefix(500) {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = String(parts[0]).percentDecoded(plusIsSpace: true),
        let value = parts.count == 2 ? String(parts[1]).percentDecoded(plusIsSpace: true) : ""
      else { continue }
      out[name, default: []].append(value)
    }
    return out
  }
}

extension WriteTransaction {
  /// The customer's own word, with one proof for all of it, and its audit.
  fileprivate func keep(
    _ said: [ChannelPreference], of customer: CustomerNumber, _ evidence: ConsentEvidence, policy: String,
    at time: Timestamp
  ) throws {
    guard !said.isEmpty else { return }
    let actor = Actor(label: "customer", agent: nil, role: "customer")
    for statement in said {
      try record(
        statement, id: PreferenceID(at: time), of: customer, evidence: evidence, policyVersion: policy, actor: actor,
        at: time)
    }
    try audit(
      "preferences.page", customer, customer: customer,
      after: .array(
        said.map {
          [
            "channel": .optional($0.channel?.rawValue), "purpose": .optional($0.purpose?.rawValue),
            "verdict": .string($0.verdict.rawValue),
          ]
        }), by: actor, at: time)
  }
}

extension Purpose {
  /// As a customer reads it; a bank's own purpose by its name.
  fileprivate func words(_ zh: Bool) -> String {
    switch self {
    case .security: zh ? "安全" : "Security"
    case .regulatory: zh ? "法定通知" : "Statutory notices"
    case .transaction: zh ? "交易通知" : "Transactions"
    case .service: zh ? "服务通知" : "Service"
    case .care: zh ? "客户关怀" : "Care"
    case .survey: zh ? "满意度调查" : "Surveys"
    case .marketing: zh ? "产品推广" : "Offers"
    case .collections: zh ? "还款提醒" : "Payment reminders"
    default: rawValue
    }
  }
}
