import Channels
import JWTKit

/// Who a signed token says the caller is, and whether to believe it.
///
/// Checks in this order, the first refusal wins: form and size; algorithm on our allow-list (so `none` and the
/// shared-secret family, with which a public key could be used as a secret, never verify); key id present and known
/// (an unknown one re-reads the key set, at most once a minute, so that rotation works and a flood of inventions
/// does not hammer the provider); signature; issuer; audience; expiry and not-before with the configured skew;
/// subject; at least one role of ours.
/// Source: RFC 7519, RFC 8725 §3 (best current practice), RFC 9068 §4.
public actor WebTokenVerifier {
  public struct Policy: Sendable {
    public var issuer: String
    /// Ours; must be among the token's audiences.
    public var audience: String
    public var algorithms: Set<String>
    /// Allowed difference between the provider's clock and ours.
    public var skew: Duration
    /// Claims that hold the roles, the department and the agent's name.
    public var rolesClaim: String
    public var departmentClaim: String
    public var agentClaim: String
    /// The provider's names of roles; those that are not in it count as ours if they are.
    public var roleNames: [String: Role]
    /// Without a department a token sees nothing but that of its agent, unless it is an auditor's or administrator's;
    /// `*` grants the whole bank.
    public var needsDepartment: Bool

    public static let knownAlgorithms: Set<String> = [
      "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ]
    /// Unknown names in `algorithms` are dropped: `none` and `HS…` cannot be allowed.
    public init(
      issuer: String, audience: String, algorithms: Set<String> = ["RS256", "PS256", "ES256", "EdDSA"],
      skew: Duration = .seconds(60), rolesClaim: String = "roles", departmentClaim: String = "department",
      agentClaim: String = "agent", roleNames: [String: Role] = [:], needsDepartment: Bool = false
    ) {
      self.issuer = issuer
      self.audience = audience
      self.algorithms = algorithms.intersection(Self.knownAlgorithms)
      self.skew = skew
      self.rolesClaim = rolesClaim
      self.departmentClaim = departmentClaim
      self.agentClaim = agentClaim
      self.roleNames = roleNames
      self.needsDepartment = needsDepartment
    }
  }

  public enum Refusal: String, Error, Hashable, Sendable, CaseIterable {
    case malformed, algorithm
    case unknownKey = "unknown_key"
    case signature, issuer, audience, expired
    case notYetValid = "not_yet_valid"
    case subject, role, department
    case keysUnavailable = "keys_unavailable"

    var explanation: LocalizedText {
      switch self {
      case .malformed: LocalizedText(zh: "令牌格式有误", en: "the token is malformed")
      case .algorithm: LocalizedText(zh: "签名算法不被接受", en: "its algorithm is not accepted")
      case .unknownKey: LocalizedText(zh: "签名密钥未知", en: "its key is not known")
      case .signature: LocalizedText(zh: "签名无效", en: "its signature is invalid")
      case .issuer: LocalizedText(zh: "签发方不符", en: "its issuer is not ours")
      case .audience: LocalizedText(zh: "令牌不是发给本服务的", en: "it is meant for another audience")
      case .expired: LocalizedText(zh: "令牌已过期", en: "it has expired")
      case .notYetValid: LocalizedText(zh: "令牌尚未生效", en: "it is not yet valid")
      case .subject: LocalizedText(zh: "令牌缺少主体", en: "it names no subject")
      case .role: LocalizedText(zh: "令牌没有可识别的角色", en: "it gives no role known here")
      case .department: LocalizedText(zh: "令牌没有授予部门", en: "it grants no department")
      case .keysUnavailable: LocalizedText(zh: "无法取得签名密钥", en: "the signing keys cannot be had")
      }
    }
  }

  /// A key the provider withdrew is good no longer than this.
  private static let keysHoldFor = Duration.seconds(600)
  private let policy: Policy
  /// Gives the JWKS document: a file's content or an answer over HTTPS.
  private let fetchKeys: @Sendable () async throws -> [UInt8]
  private var keys = JWTKeyCollection()
  private var keyNames: Set<String> = []
  private var readAt: Timestamp?

  public init(_ policy: Policy, keys fetchKeys: @escaping @Sendable () async throws -> [UInt8]) {
    self.policy = policy
    self.fetchKeys = fetchKeys
  }

  public func verify(_ token: String, at now: Timestamp) async throws(Refusal) -> Principal {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let header = claims(in: parts[0]), let payload = claims(in: parts[1]) else {
      throw .malformed
    }
    guard let algorithm = header["alg"]?.string, policy.algorithms.contains(algorithm) else { throw .algorithm }
    // RFC 7515 §4.1.11: extensions that must be understood, and are not.
    guard header["crit"] == nil else { throw .malformed }
    guard let key = header["kid"]?.string else { throw .unknownKey }
    let isStale = readAt.map { now - $0 > Self.keysHoldFor } ?? true
    if isStale || !keyNames.contains(key) { try await readKeys(at: now) }
    guard keyNames.contains(key) else { throw .unknownKey }
    do {
      _ = try await keys.verify(token, as: SignedOnly.self)
    } catch {
      throw .signature
    }
    return try principal(payload, at: now)
  }

  private func principal(_ payload: JSONObject, at now: Timestamp) throws(Refusal) -> Principal {
    guard payload["iss"]?.string == policy.issuer else { throw .issuer }
    let audiences = payload["aud"]?.array?.compactMap(\.string) ?? [payload["aud"]?.string].compactMap { $0 }
    guard audiences.contains(policy.audience) else { throw .audience }
    guard let expiry = time(payload["exp"]) else { throw .malformed }
    guard now < expiry + policy.skew else { throw .expired }
    for claim in ["nbf", "iat"] {
      if let start = time(payload[claim]), now + policy.skew < start { throw .notYetValid }
    }
    guard let subject = payload["sub"]?.string ?? payload["client_id"]?.string, !subject.isEmpty,
      subject.utf8.count <= 200
    else { throw .subject }
    let words =
      payload[policy.rolesClaim]?.array?.compactMap(\.string)
      ?? payload[policy.rolesClaim]?.string?.split(separator: " ").map(String.init) ?? []
    let roles = Set(words.compactMap { policy.roleNames[$0] ?? Role(rawValue: $0) })
    guard !roles.isEmpty else { throw .role }
    let agent = payload[policy.agentClaim]?.string
    return Principal(
      id: subject, roles: roles, departments: try departments(payload, roles, isAgent: agent != nil), agent: agent)
  }

  private func departments(
    _ payload: JSONObject, _ roles: Set<Role>, isAgent: Bool
  ) throws(Refusal) -> Set<String>? {
    let claim = payload[policy.departmentClaim]
    let named = claim?.array?.compactMap(\.string) ?? claim?.string?.split(separator: " ").map(String.init) ?? []
    if named.contains("*") { return nil }
    if !named.isEmpty { return Set(named) }
    // An agent's own record says where he belongs (`Scope`).
    let isFree = roles == [.agent] && isAgent || !roles.isDisjoint(with: [.admin, .auditor])
    guard isFree || !policy.needsDepartment else { throw .department }
    return nil
  }

  private func readKeys(at now: Timestamp) async throws(Refusal) {
    if let readAt, now - readAt < .seconds(60) { return }
    readAt = now
    do {
      let document = try await fetchKeys()
      guard document.count <= 1 << 20, let list = try JSONReader.read(document)["keys"]?.array else {
        throw Refusal.keysUnavailable
      }
      let fresh = JWTKeyCollection()
      var names: Set<String> = []
      for key in list {
        // Secrets (`oct`) and keys without a name are no business of a public key set; a kind that JWTKit cannot
        // read is left out, the others count.
        guard let name = key["kid"]?.string, key["kty"]?.string != "oct", key["use"]?.string ?? "sig" == "sig" else {
          continue
        }
        let wrapped: JSONValue = ["keys": .array([key])]
        do {
          try await fresh.add(jwksJSON: String(decoding: wrapped.encoded, as: UTF8.self))
          names.insert(name)
        } catch { continue }
      }
      keys = fresh
      keyNames = names
    } catch {
      // Keys already known stay good: a provider that is away does not lock everybody out.
      if keyNames.isEmpty { throw .keysUnavailable }
    }
  }
}

/// The signature is all that JWTKit is asked about; claims are read by our own strict reader.
private struct SignedOnly: JWTPayload {
  init(from decoder: any Decoder) throws {}
  func encode(to encoder: any Encoder) throws {}
  func verify(using algorithm: some JWTAlgorithm) async throws {}
}

private func claims(in part: Substring) -> JSONObject? {
  guard let bytes = Base64URL.decode(String(part)) else { return nil }
  do { return try JSONReader.read(bytes).object } catch { return nil }
}

/// NumericDate (RFC 7519 §2): seconds, possibly with a fraction.
private func time(_ value: JSONValue?) -> Timestamp? {
  switch value {
  case .integer(let seconds): Timestamp(seconds: min(max(seconds, -1 << 40), 1 << 40))
  case .number(let seconds) where abs(seconds) < 1e12: Timestamp(microseconds: Int64(seconds * 1_000_000))
  default: nil
  }
}
