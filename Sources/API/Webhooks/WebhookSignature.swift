import Channels
import Crypto
import Foundation
import Store

/// The signature by which a receiver knows that a webhook is ours and unaltered.
///
/// `v1,` and the base 64 of HMAC-SHA-256 over `id.timestamp.body`; with several secrets one signature each, so that a
/// secret can be changed without losing a delivery. Source: Standard Webhooks 1.0.0, "Signature scheme".
public struct WebhookSecret: Hashable, Sendable {
  /// `whsec_` and the base 64 of 24 to 64 bytes.
  public let text: String
  private let key: [UInt8]

  public init?(_ text: String) {
    guard text.hasPrefix("whsec_"), let data = Data(base64Encoded: String(text.dropFirst(6))),
      (24...64).contains(data.count)
    else { return nil }
    self.text = text
    key = Array(data)
  }

  /// A new one of 32 random bytes.
  public init() {
    var generator = SystemRandomNumberGenerator()
    key = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    text = "whsec_" + Data(key).base64EncodedString()
  }

  func signature(id: String, timestamp: Int64, body: [UInt8]) -> String {
    var code = HMAC<SHA256>(key: SymmetricKey(data: key))
    code.update(data: Array("\(id).\(timestamp).".utf8))
    code.update(data: body)
    return "v1," + Data(code.finalize()).base64EncodedString()
  }
}

/// One delivery as it goes over the wire.
struct WebhookMessage: Sendable, Hashable {
  var id: String
  var headers: [HeaderField]
  var body: [UInt8]

  /// A CloudEvent in structured form, masked for the role that subscribed.
  /// Source: CloudEvents 1.0.2 JSON format; specs/api.md "events out".
  init(_ event: EventRecord, secrets: [WebhookSecret], mask: FieldMask, at now: Timestamp) {
    let id = "event-\(event.seq)"
    var cloud = JSONObject([
      .init(name: "specversion", value: "1.0"), .init(name: "id", value: .string(id)),
      .init(name: "source", value: "/liaison"), .init(name: "type", value: .string(event.type.rawValue)),
      .init(name: "subject", value: .string(event.subject)), .init(name: "time", value: .time(event.at)),
      .init(name: "datacontenttype", value: "application/json"),
    ])
    cloud["traceparent"] = event.trace.map(JSONValue.string)
    var writer = JSONWriter(reserving: 2_048)
    writer.beginObject()
    for member in cloud.members {
      writer.beginMember(JSONValue.string(member.name).encoded + [UInt8(ascii: ":")])
      writer.write(member.value)
    }
    writer.beginMember(Array(#""data":"#.utf8))
    writer.write(raw: mask.written(event.json))
    writer.endObject()
    let body = writer.bytes
    let timestamp = now.seconds
    let signatures = secrets.map { $0.signature(id: id, timestamp: timestamp, body: body) }
    self.id = id
    self.body = body
    headers = [
      HeaderField("Content-Type", "application/cloudevents+json"), HeaderField("User-Agent", "Liaison-Webhooks"),
      HeaderField("webhook-id", id), HeaderField("webhook-timestamp", String(timestamp)),
      HeaderField("webhook-signature", signatures.joined(separator: " ")),
    ]
    if let trace = event.trace { headers.append(HeaderField("traceparent", trace)) }
  }
}
