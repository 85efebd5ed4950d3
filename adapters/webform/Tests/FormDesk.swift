import Channels
import Foundation
import Synchronization

@testable import WebForms

/// The adapter with a clock that stands still until it is moved, a catalogue that can be exchanged, and a keeper of what
/// arrives that recognises repeats as Intake does.
final class FormDesk: Sendable {
  private struct State {
    var now = Timestamp(seconds: 1_790_000_000)
    var catalogue: FormCatalogue
    var arrivals: [Arrival] = []
    var ids: [String: ArrivalID] = [:]
    var refusals: [Refusal] = []
    var inquiries: [StatusInquiry] = []
    var waitedUntil: [Timestamp] = []
    var states: [String: String] = [:]
    var next: [Acceptance] = []
  }
  let adapter: WebFormAdapter
  static let key = [UInt8](repeating: 7, count: 32)
  static let origin = "https://www.bank.example"

  init(
    _ definitions: [FormDefinition] = [FormDesk.small()], _ change: (inout WebFormConfiguration) -> Void = { _ in }
  ) {
    var configuration = WebFormConfiguration(name: "forms", keys: [Self.key])
    configuration.allowedOrigins = [Self.origin]
    configuration.postRate = nil
    configuration.statusRate = nil
    change(&configuration)
    let box = StateBox()
    box.state.withLock { $0.catalogue = FormCatalogue(definitions) }
    self.box = box
    adapter = WebFormAdapter(
      configuration: configuration,
      services: WebFormServices(
        catalogue: { box.state.withLock { $0.catalogue } },
        referenceNumber: { ReferenceNumber(for: $0, key: FormDesk.key).description },
        status: { inquiry in
          box.state.withLock { state in
            state.inquiries.append(inquiry)
            return state.states["\(inquiry.reference) \(inquiry.contact.canonical)"]
          }
        },
        refused: { refusal in box.state.withLock { $0.refusals.append(refusal) } },
        now: { box.state.withLock { $0.now } },
        sleepUntil: { instant in box.state.withLock { $0.waitedUntil.append(instant) } }))
  }

  private final class StateBox: Sendable {
    let state = Mutex(State(catalogue: FormCatalogue([])))
  }
  private let box: StateBox

  var now: Timestamp { box.state.withLock { $0.now } }
  var arrivals: [Arrival] { box.state.withLock { $0.arrivals } }
  var messages: [InboundMessage] {
    arrivals.compactMap { if case .message(let message) = $0.payload { message } else { nil } }
  }
  var refusals: [Refusal] { box.state.withLock { $0.refusals } }
  var inquiries: [StatusInquiry] { box.state.withLock { $0.inquiries } }
  var waitedUntil: [Timestamp] { box.state.withLock { $0.waitedUntil } }
  func pass(_ duration: Duration) { box.state.withLock { $0.now = $0.now + duration } }
  func serve(_ definitions: [FormDefinition]) { box.state.withLock { $0.catalogue = FormCatalogue(definitions) } }
  func answerNext(_ acceptance: Acceptance) { box.state.withLock { $0.next.append(acceptance) } }
  func tell(_ text: String, for reference: String, _ contact: String) {
    box.state.withLock { $0.states["\(reference) \(contact)"] = text }
  }

  func accept(_ arrival: Arrival) -> Acceptance {
    box.state.withLock { state in
      if !state.next.isEmpty { return state.next.removeFirst() }
      if let key = arrival.wireKey, let first = state.ids[key] { return .duplicate(of: first) }
      let id = ArrivalID(at: state.now)
      if let key = arrival.wireKey { state.ids[key] = id }
      state.arrivals.append(arrival)
      return .stored(id)
    }
  }

  /// Runs the adapter while `body` uses it.
  func open(_ body: (FormDesk) async throws -> Void) async throws {
    let adapter = adapter
    async let run: Void = adapter.run { self.accept($0) }
    while await adapter.health.state == .starting { await Task.yield() }
    do {
      try await body(self)
    } catch {
      adapter.beginDrain()
      throw error
    }
    adapter.beginDrain()
    try await run
  }

  // MARK: A browser

  func get(
    _ path: String, query: String = "", _ headers: [String: String] = ["Accept": "text/html"]
  ) async -> FormResponse { await send("GET", path, query: query, headers) }

  func send(
    _ method: String, _ path: String, query: String = "", _ headers: [String: String] = [:], body: [UInt8] = [],
    from client: String = "192.0.2.1", cut: Bool = false
  ) async -> FormResponse {
    await adapter.respond(
      to: FormRequest(
        method: method, path: path.split(separator: "/").map(String.init), query: query,
        headers: headers.map { FormHeader($0.key, $0.value) } + [FormHeader("Host", "forms.bank.example")],
        clientAddress: client, body: body, bodyExceedsLimit: cut))
  }

  /// The token of a page just fetched; the clock moves on by a person's time.
  func token(_ path: String = "forms/en/note") async -> String {
    let page = await get(path)
    pass(.seconds(20))
    return page.text.between("name=\"_token\" value=\"", "\"") ?? ""
  }

  func post(
    _ fields: [(String, String)], to path: String = "forms/en/note", _ headers: [String: String] = [:],
    from client: String = "192.0.2.1"
  ) async -> FormResponse {
    var all = ["Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"]
    all.merge(headers) { $1 }
    return await send("POST", path, all, body: Self.encoded(fields), from: client)
  }

  func post(
    json: String, to path: String = "forms/en/note", _ headers: [String: String] = [:]
  ) async -> FormResponse {
    var all = ["Content-Type": "application/json"]
    all.merge(headers) { $1 }
    return await send("POST", path, all, body: Array(json.utf8))
  }

  static func encoded(_ fields: [(String, String)]) -> [UInt8] {
    func escaped(_ text: String) -> String {
      text.utf8.map { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: String(Unicode.Scalar(byte))
        default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
      }.joined()
    }
    return Array(fields.map { escaped($0.0) + "=" + escaped($0.1) }.joined(separator: "&").utf8)
  }

  static func multipart(_ parts: [(header: String, content: [UInt8])], boundary: String = "XyZ") -> [UInt8] {
    var out: [UInt8] = []
    for part in parts {
      out += Array("--\(boundary)\r\n\(part.header)\r\n\r\n".utf8) + part.content + Array("\r\n".utf8)
    }
    return out + Array("--\(boundary)--\r\n".utf8)
  }

  // MARK: A small form

  static let yaml = """
    kind: form
    id: note
    version: 1
    effective: 2026-01-01
    category: consultation
    title: {zh: 留言, en: A note}
    fields:
      - {name: name, kind: text, label: {zh: 姓名, en: Name}, required: true, claim: name, maximum_length: 20}
      - {name: phone, kind: phone, label: {zh: 电话, en: Telephone}}
      - {name: email, kind: email, label: {zh: 邮箱, en: E-mail}}
      - {name: identity_tail, kind: identity-tail, label: {zh: 证件后四位, en: Identity}}
      - name: topic
        kind: select
        label: {zh: 类别, en: Topic}
        options:
          - {value: praise, label: {zh: 表扬, en: Praise}}
          - {value: blame, label: {zh: 投诉, en: Blame}, category: complaint}
      - {name: words, kind: multi-line, label: {zh: 内容, en: Words}, required: true}
      - {name: papers, kind: file, label: {zh: 材料, en: Papers}, maximum_files: 2, maximum_file_bytes: 1000}
    reply: {channels: [phone, email, none]}
    consents:
      - {purpose: personal_data, notice_version: "7", text: {zh: 同意, en: I agree}, required: true}
      - {purpose: news, notice_version: "2", text: {zh: 资讯, en: News}}
    """

  static func small(version: Int = 1, effective: String = "2026-01-01") -> FormDefinition {
    let text = yaml.replacing("version: 1\n", with: "version: \(version)\n")
      .replacing("effective: 2026-01-01", with: "effective: \(effective)")
    do {
      return try FormDefinition.read(text, source: "small")
    } catch {
      fatalError("\(error)")
    }
  }

  static let good = [
    ("name", "王小明"), ("phone", "138 0013 8000"), ("words", "您好\r\n第二行 <b>&"), ("_consent.personal_data", "yes"),
  ]
}

extension FormResponse {
  var text: String { String(decoding: body, as: UTF8.self) }
  var reference: String? { text.between("id=\"reference\" aria-labelledby=\"reference-label\" role=\"status\">", "<") }
}

extension String {
  func between(_ start: String, _ end: String) -> String? {
    guard let from = range(of: start), let to = range(of: end, range: from.upperBound..<endIndex) else { return nil }
    return String(self[from.upperBound..<to.lowerBound])
  }
}

/// What a fuzz test uses, so that a failure can be repeated: SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}
