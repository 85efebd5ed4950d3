import Channels
import ContactModel

/// What people look for: contacts by summary and text, requests by theirs and by their notes.
///
/// Rows are only added, several for one id where it grows; texts are cut at 20,000 characters.
extension WriteTransaction {
  package func indexWords(of text: String, under id: String) throws {
    let words = SearchText.words(of: String(text.prefix(20_000)))
    guard !words.isEmpty else { return }
    try execute("INSERT INTO search_word(id, words) VALUES ($1, $2)", [.text(id), .text(words)])
  }
}

extension Connection {
  /// Ids of a kind whose words match `text`, newest first, before `last`. Empty when there is nothing to look for.
  public func search<Kind>(
    _ text: String, for kind: Kind.Type, before last: Identifier<Kind>?, limit: Int
  ) throws -> [Identifier<Kind>] {
    guard let words = SearchText.query(text) else { return [] }
    return try query(
      """
      SELECT DISTINCT id FROM search_word WHERE {{search:search_word:$1}} AND id < $2 AND id > $3
      ORDER BY id DESC LIMIT $4
      """, [.text(words), .text(last?.description ?? "\(Kind.prefix)_~"), .text("\(Kind.prefix)_"), SQLValue(limit)]
    ).map { try $0.parsed("id") }
  }
}
