import Crypto

/// The text and digest of classes met lately: most customers share theirs with many. Of the writer's thread alone.
final class ClassDigests {
  private var known: [ContactClass: (digest: String, text: String)] = [:]
  private static let most = 2_000

  func digest(of body: ContactClass) throws -> (digest: String, text: String) {
    if let entry = known[body] { return entry }
    let text = try JSONText.encode(body)
    let entry = (digest: hex(SHA256.hash(data: Array(text.utf8))), text: text)
    if known.count >= Self.most { known.removeAll(keepingCapacity: true) }
    known[body] = entry
    return entry
  }
}
