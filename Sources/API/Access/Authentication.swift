import Channels

/// How a listener learns who makes a request.
public struct Authentication: Sendable {
  /// `credentials` is the value of the Authorization field, nil if there is none. Answers nil for an anonymous
  /// request and throws `invalid-token` for credentials that prove nothing.
  var principal: @Sendable (_ credentials: String?, _ now: Timestamp) async throws(Problem) -> Principal?

  /// Nobody is known: the public listener.
  public static let none = Authentication { _, _ in nil }
  /// Whoever can open the socket is the administrator.
  public static let socketPermission = Authentication { _, _ in .adminSocket }

  /// Static tokens by `lookup` (nil: unknown), and signed ones by `webTokens` if the bank has an identity provider.
  ///
  /// `lookup` runs on every request: it reads memory or one indexed row.
  public static func bearer(
    webTokens: WebTokenVerifier? = nil, lookup: @escaping @Sendable (TokenDigest) async throws -> TokenRecord?
  ) -> Authentication {
    Authentication { credentials, now throws(Problem) in
      guard let credentials else { return nil }
      let parts = credentials.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
      guard parts.count == 2, parts[0].lowercased() == "bearer", parts[1].utf8.count <= 16_384 else {
        throw invalidToken(LocalizedText(zh: "只接受 Bearer 令牌", en: "only bearer tokens are taken"))
      }
      let text = String(parts[1])
      if let token = AccessToken(text) {
        let record: TokenRecord?
        do { record = try await lookup(token.digest) } catch { throw Problem(.unavailable) }
        guard let record, record.isValid(at: now) else { throw invalidToken(nil) }
        return record.principal
      }
      guard let webTokens else { throw invalidToken(nil) }
      do throws(WebTokenVerifier.Refusal) {
        return try await webTokens.verify(text, at: now)
      } catch {
        throw invalidToken(error.explanation)
      }
    }
  }
}

/// RFC 6750 §3: the challenge names the error.
private func invalidToken(_ detail: LocalizedText?) -> Problem {
  Problem(
    .invalidToken, detail,
    headers: [HeaderField("WWW-Authenticate", #"Bearer realm="liaison", error="invalid_token""#)])
}
