import Channels
import Crypto

/// How a filled form becomes an arrival: text, claims, consents, sender. Pure.
struct FormArrival {
  var form: FilledForm
  /// The submission's own name: a token's nonce or the client's Idempotency-Key; nil if it gave none.
  var key: String?
  var clientAddress: String
  var userAgent: String?
  /// Between rendering and post, when a token tells.
  var filledIn: Duration?
  var receivedAt: Timestamp
  var raw: [UInt8]

  func arrival(_ channel: ContactChannel, countryCode: String) -> Arrival {
    Arrival(
      channel: channel, wireKey: wireKey, from: from(countryCode), to: nil, receivedAt: receivedAt,
      payload: .message(message(countryCode)), raw: raw)
  }

  /// The key the client gave, the form, and a digest of what was filled in: a repeat is the same arrival, but somebody
  /// who goes back, changes a word and sends again loses nothing, and who guesses another's key learns nothing.
  private var wireKey: String? {
    guard let key else { return nil }
    var hash = SHA256()
    func add(_ text: String) {
      hash.update(data: Array("\(text.utf8.count):".utf8))
      hash.update(data: Array(text.utf8))
    }
    for answer in form.answers {
      add(answer.field.name)
      add(answer.text)
      for file in answer.files {
        add(file.name ?? "")
        hash.update(data: Array("\(file.bytes.count):".utf8))
        hash.update(data: file.bytes)
      }
    }
    add(form.replyBy?.rawValue ?? "")
    for consent in form.consents { add("\(consent.purpose) \(consent.granted)") }
    let digest = hash.finalize().prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return "\(form.definition.id):\(key):\(digest)"
  }

  private func from(_ countryCode: String) -> Address? {
    func phone() -> Address? {
      value(claiming: .phone).map { raw in
        Address(kind: .phone, canonical: NumberPlan(countryCode: countryCode).e164(raw) ?? raw, raw: raw)
      }
    }
    func email() -> Address? {
      value(claiming: .email).map { Address(kind: .email, canonical: $0.lowercased(), raw: $0) }
    }
    switch form.replyBy {
    case .email: return email() ?? phone()
    case .phone, .sms, .noReply, nil: return phone() ?? email()
    }
  }

  private func value(claiming fact: Claim.Fact) -> String? {
    form.answers.first { $0.field.claim == fact && !$0.text.isEmpty }?.text
  }

  private func message(_ countryCode: String) -> InboundMessage {
    let definition = form.definition
    let language = form.language
    var lines: [String] = []
    var category = definition.categoryCode
    var properties = [
      InboundMessage.Property("form", definition.id),
      InboundMessage.Property("form_version", String(definition.version)),
    ]
    var claims: [Claim] = []
    for answer in form.answers {
      let field = answer.field
      guard !answer.text.isEmpty || !answer.files.isEmpty else { continue }
      var shown = answer.text
      if let option = field.options.first(where: { $0.value == answer.text }) {
        shown = option.label[language]
        category = option.categoryCode ?? category
      }
      if field.kind == .file { shown = answer.files.map { $0.name ?? $0.mediaType }.joined(separator: ", ") }
      let colon = language == .zh ? "：" : ": "
      lines.append(field.label[language] + colon + (field.kind == .multiLine ? "\n" : "") + shown)
      if field.kind != .file { properties.append(.init("field." + field.name, answer.text)) }
      if let fact = field.claim, field.kind != .file {
        let value =
          switch fact {
          case .phone: NumberPlan(countryCode: countryCode).e164(answer.text) ?? answer.text
          case .email: answer.text.lowercased()
          default: answer.text
          }
        claims.append(Claim(fact, value, source: .field))
      }
    }
    if let reply = form.replyBy { properties.append(.init("reply_by", reply.rawValue)) }
    properties.append(.init("client_address", clientAddress))
    if let userAgent { properties.append(.init("user_agent", String(userAgent.prefix(300)))) }
    if let filledIn { properties.append(.init("filled_in_ms", String(filledIn.wholeMilliseconds))) }
    return InboundMessage(
      subject: definition.title[language], text: lines.joined(separator: "\n"), language: language.tag,
      attachments: form.answers.flatMap(\.files), claims: claims, categoryCode: category, consents: form.consents,
      properties: properties)
  }
}
