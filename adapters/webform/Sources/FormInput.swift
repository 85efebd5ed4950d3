/// The names of the inputs that are not fields of the definition. Fields start with a letter and so never collide.
enum FormInput {
  static let token = "_token"
  static let version = "_version"
  static let replyBy = "_reply_by"
  static let embed = "_embed"
  /// Hidden from people, filled by machines. No field of a form may bear this name.
  static let honeypot = "website_url"
  static func consent(_ purpose: String) -> String { "_consent." + purpose }
}
