import Channels
import Foundation

/// What an operator decides about the forms; every bound is here.
public struct WebFormConfiguration: Sendable {
  /// Unique among the configured channels.
  public var name: String
  /// Keys of submission tokens: at least one, of 32 bytes or more, stable across restarts. The first signs, all
  /// verify; a new key is put in front of the old one until the old one's tokens have expired.
  public var keys: [[UInt8]]
  /// Where the forms are mounted; `["forms"]` serves `/forms/…`.
  public var basePath: [String] = ["forms"]
  /// Shown in the head of each page.
  public var bankName = LocalizedText(zh: "客户服务", en: "Customer service")
  /// Origins (`https://www.bank.example`) whose pages may post by script and may embed the forms.
  public var allowedOrigins: [String] = []
  /// The country whose national phone numbers are typed without a code.
  public var countryCode = "86"

  /// The listener cuts at this and says so.
  public var maximumBodyBytes = 12 * 1_024 * 1_024
  public var bounds = FormBodyBounds()
  /// Posts in hand at once; more are told to come back.
  public var maximumConcurrentPosts = 256

  /// Faster than a person: refused, with what was typed kept.
  public var minimumFillTime: Duration = .seconds(2)
  /// How long a rendered form may be posted.
  public var tokenLifetime: Duration = .seconds(24 * 3_600)

  /// Per client address; nil: no limit. Many customers can share an address, so this is generous.
  public var postRate: RatePolicy? = RatePolicy(burst: 30, interval: .seconds(2))
  /// Look-ups of a state: per client and, so that many clients together guess no better, per reference number.
  public var statusRate: RatePolicy? = RatePolicy(burst: 6, interval: .seconds(20))
  /// Clients remembered for the limits, all together.
  public var rateTableCapacity = 20_000
  /// No look-up is answered sooner, so that its time tells nothing.
  public var statusAnswerTime: Duration = .milliseconds(400)

  public init(name: String, keys: [[UInt8]]) {
    self.name = name
    self.keys = keys
  }

  /// What is wrong with it, key by key as in `config/liaison.yaml`; empty if nothing is.
  public func problems() -> [String] {
    var out: [String] = []
    if keys.isEmpty || keys.contains(where: { $0.count < 32 }) { out.append("keys: each has at least 32 bytes") }
    if basePath.isEmpty { out.append("base_path: at least one component") }
    for origin in allowedOrigins where !Self.isOrigin(origin) {
      out.append("allowed_origins: \"\(printable(origin))\" is not scheme://host[:port]")
    }
    if countryCode.isEmpty || countryCode.utf8.count > 3 || !countryCode.utf8.allSatisfy({ (0x30...0x39).contains($0) })
    {
      out.append("country_code: one to three digits")
    }
    if maximumBodyBytes < 1_024 { out.append("maximum_body_bytes: at least 1024") }
    if maximumConcurrentPosts < 1 { out.append("maximum_concurrent_posts: at least 1") }
    if minimumFillTime >= tokenLifetime { out.append("minimum_fill_time: shorter than token_lifetime") }
    for (key, rate) in [("post_rate", postRate), ("status_rate", statusRate)] {
      if let rate, rate.burst < 1 || rate.interval <= .zero { out.append("\(key): burst and interval above 0") }
    }
    return out
  }

  /// Only what may stand in a Content-Security-Policy and in an answer's header.
  private static func isOrigin(_ text: String) -> Bool {
    guard let colon = text.range(of: "://"), ["http", "https"].contains(text[..<colon.lowerBound]) else { return false }
    let host = text[colon.upperBound...]
    return !host.isEmpty
      && host.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || "-.:[]".utf8.contains($0)
      }
  }
}

/// What the rest of Liaison lends to the forms.
public struct WebFormServices: Sendable {
  /// The definitions that count now; asked on every request, so it must cost nothing.
  public var catalogue: @Sendable () -> FormCatalogue
  /// The number a customer is told; for a duplicate it is asked with the first arrival's id and so is the same.
  public var referenceNumber: @Sendable (ArrivalID) async -> String
  /// The state of a request in words, or nil: unknown reference or another's contact point, never told which.
  public var status: @Sendable (StatusInquiry) async -> String?
  /// Told of every post that is answered with a refusal and so never offered: for the ledger's count of refusals.
  public var refused: @Sendable (Refusal) -> Void
  public var now: @Sendable () -> Timestamp
  /// Returns at that instant or when the task is cancelled; keeps the time of a status answer even.
  public var sleepUntil: @Sendable (Timestamp) async -> Void

  public init(
    catalogue: @escaping @Sendable () -> FormCatalogue,
    referenceNumber: @escaping @Sendable (ArrivalID) async -> String,
    status: @escaping @Sendable (StatusInquiry) async -> String?,
    refused: @escaping @Sendable (Refusal) -> Void,
    now: @escaping @Sendable () -> Timestamp,
    sleepUntil: @escaping @Sendable (Timestamp) async -> Void
  ) {
    self.catalogue = catalogue
    self.referenceNumber = referenceNumber
    self.status = status
    self.refused = refused
    self.now = now
    self.sleepUntil = sleepUntil
  }
}

/// Somebody asks how his request stands.
public struct StatusInquiry: Sendable, Hashable {
  public var reference: ReferenceNumber
  /// The telephone number or mailbox the request was made with, in the form arrivals carry it.
  public var contact: Address
  public var language: FormLanguage
}
