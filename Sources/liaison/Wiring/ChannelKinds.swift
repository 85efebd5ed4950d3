/// Every kind of channel this program can serve, by the word in the configuration. A new channel is a line here.
enum ChannelKinds {
  static let all: KeyValuePairs<String, any ChannelWiring.Type> = [
    "webform": WebFormWiring.self,
    "sms": SMSWiring.self,
    "email": EmailWiring.self,
    "fax": FaxWiring.self,
    "telephony": TelephonyWiring.self,
  ]

  static var names: [String] { all.map(\.key) }

  /// The keys of one entry of `channels` beyond `kind` and `name`; nil for a kind there is not.
  static func read(_ kind: String, _ reader: ConfigurationReader) -> (any ChannelWiring)? {
    all.first { $0.key == kind }.map { $0.value.init(reader) }
  }
}
