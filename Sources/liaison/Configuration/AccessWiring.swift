import API
import AsyncHTTPClient
import Channels
import Foundation
import Logging
import NIOCore
import NIOHTTP1

/// Who may come in besides holders of our own tokens, and what of a customer each role sees.
struct AccessWiring: Sendable {
  var oauth2: OAuth2Wiring?
  /// One policy for answers, streams, events, exports and webhooks.
  var masks: MaskPolicy
  /// What no line of the log shows.
  var logMask: FieldMask

  struct OAuth2Wiring: Sendable {
    var policy: WebTokenVerifier.Policy
    /// A file, or an `https` address.
    var keys: String
  }

  init(_ reader: ConfigurationReader) {
    oauth2 = reader.optionalSection("oauth2", Self.oauth2)
    masks = reader.section("masks") { masks in
      var hidden: [Role: Set<FieldMask.Kind>] = [:]
      for role in Role.allCases {
        hidden[role] = Self.kinds(masks, role.rawValue, default: MaskPolicy.shipped.hidden[role] ?? [])
      }
      return MaskPolicy(hidden: hidden)
    }
    logMask = FieldMask(
      hiding: Self.kinds(reader, "hidden_in_logs", default: Set(FieldMask.Kind.allCases)))
  }

  private static func kinds(
    _ reader: ConfigurationReader, _ key: String, default fallback: Set<FieldMask.Kind>
  ) -> Set<FieldMask.Kind> {
    let words = reader.strings(key, default: fallback.map(\.rawValue))
    for word in words where FieldMask.Kind(rawValue: word) == nil {
      let known = FieldMask.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      reader.problem(at: key, "\(word) is none of \(known)")
    }
    return Set(words.compactMap(FieldMask.Kind.init))
  }

  private static func oauth2(_ reader: ConfigurationReader) -> OAuth2Wiring {
    let algorithms = reader.strings("algorithms", default: ["RS256", "PS256", "ES256", "EdDSA"])
    for name in algorithms where !WebTokenVerifier.Policy.knownAlgorithms.contains(name) {
      let known = WebTokenVerifier.Policy.knownAlgorithms.sorted().joined(separator: ", ")
      reader.problem(at: "algorithms", "\(name) is no signature a token may have: \(known)")
    }
    if algorithms.isEmpty { reader.problem(at: "algorithms", "at least one") }
    var names: [String: Role] = [:]
    for entry in reader.strings("roles") {
      let parts = entry.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
      guard parts.count == 2, let role = Role(rawValue: parts[1]) else {
        reader.problem(at: "roles", "\(entry) is no pair such as contact-centre-agents=agent")
        continue
      }
      names[parts[0]] = role
    }
    let keys = reader.string("keys")
    if keys.hasPrefix("http://"),
      !["http://127.0.0.1", "http://localhost", "http://[::1]"].contains(where: keys.hasPrefix)
    {
      reader.problem(at: "keys", "keys are fetched over https, or read from a file")
    }
    let skew = reader.duration("clock_skew", default: .seconds(60))
    if skew > .seconds(600) { reader.problem(at: "clock_skew", "at most 10m") }
    return OAuth2Wiring(
      policy: WebTokenVerifier.Policy(
        issuer: reader.string("issuer"), audience: reader.string("audience"), algorithms: Set(algorithms), skew: skew,
        rolesClaim: reader.string("roles_claim", default: "roles"),
        departmentClaim: reader.string("department_claim", default: "department"),
        agentClaim: reader.string("agent_claim", default: "agent"), roleNames: names,
        needsDepartment: reader.bool("department_required", default: true)), keys: keys)
  }
}

extension AccessWiring.OAuth2Wiring {
  /// Reads the key set anew each time it is asked.
  func verifier() -> WebTokenVerifier {
    let keys = keys
    return WebTokenVerifier(policy) {
      guard keys.hasPrefix("https://") || keys.hasPrefix("http://") else {
        return Array(try Data(contentsOf: URL(fileURLWithPath: keys)))
      }
      let answer = try await HTTPClient.shared.execute(HTTPClientRequest(url: keys), timeout: .seconds(5))
      guard answer.status == .ok else { throw DaemonError.unavailable("\(keys) answered \(answer.status.code)") }
      return Array(try await answer.body.collect(upTo: 1 << 20).readableBytesView)
    }
  }
}

/// Hides in every line what the log may not show, whoever writes it.
struct MaskedLogHandler: LogHandler {
  private var base: any LogHandler
  private let mask: FieldMask

  init(_ base: any LogHandler, mask: FieldMask) {
    self.base = base
    self.mask = mask
  }

  var logLevel: Logger.Level {
    get { base.logLevel }
    set { base.logLevel = newValue }
  }
  var metadata: Logger.Metadata {
    get { base.metadata }
    set { base.metadata = newValue.mapValues(masked) }
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { base[metadataKey: key] }
    set { base[metadataKey: key] = newValue.map(masked) }
  }

  func log(event: LogEvent) {
    var event = event
    event.message = "\(mask.apply(to: event.message.description))"
    event.metadata = event.metadata?.mapValues(masked)
    base.log(event: event)
  }

  private func masked(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
    switch value {
    case .string(let text): .string(mask.apply(to: text))
    case .stringConvertible(let value): .string(mask.apply(to: value.description))
    case .array(let values): .array(values.map(masked))
    case .dictionary(let values): .dictionary(values.mapValues(masked))
    }
  }
}
