import Channels
import ContactModel

/// What a text costs as a short message on one link, before anybody sends it.
public struct TextCost: Sendable, Hashable {
  public struct Signature: Sendable, Hashable {
    /// With its brackets: 【…】.
    public var text: String
    /// `start`, `end`, or `gateway` where the gateway writes it.
    public var placement: String
    public init(text: String, placement: String) {
      self.text = text
      self.placement = placement
    }
  }
  public var link: String
  /// As the customer will read it.
  public var text: String
  public var encoding: String
  /// As the encoding counts: septets, UTF-16 units, octets.
  public var units: Int
  public var segments: Int
  public var maximumSegments: Int
  public var unitsPerSegment: Int
  public var unitsLeft: Int
  public var signature: Signature?
  public var outsideAlphabet: [String]

  public init(
    link: String, text: String, encoding: String, units: Int, segments: Int, maximumSegments: Int, unitsPerSegment: Int,
    unitsLeft: Int, signature: Signature?, outsideAlphabet: [String]
  ) {
    self.link = link
    self.text = text
    self.encoding = encoding
    self.units = units
    self.segments = segments
    self.maximumSegments = maximumSegments
    self.unitsPerSegment = unitsPerSegment
    self.unitsLeft = unitsLeft
    self.signature = signature
    self.outsideAlphabet = outsideAlphabet
  }
}

public enum TextCostAnswer: Sendable, Hashable {
  case cost(TextCost)
  case noSuchLink
  /// More segments than a reference can count.
  case tooLong
  /// No encoding of the link has all its characters.
  case notEncodable
}

/// The preview of short messages: encoding, segments, what is left, the signature. It sends and stores nothing.
public struct SMSPreviewResources: Sendable {
  /// The answer for a text on the named link (nil: the first), with the link's opt-out line or without.
  public typealias Costs = @Sendable (_ text: String, _ link: String?, _ withOptOutLine: Bool) -> TextCostAnswer

  private let channels: [(name: String, costs: Costs)]

  /// The SMS channels in the order of the configuration.
  public init(channels: [(name: String, costs: Costs)]) { self.channels = channels }

  public var routes: [Route] { [preview] }

  private static let answer = Schema.named(
    "SMSPreview",
    .output(
      .required("channel", .string()), .required("link", .string(), "The link it was counted for"),
      .required("text", .string(), "As the customer will read it, with signature and opt-out line"),
      .required("encoding", .string(), "gsm7, ucs2, gb18030, latin1, …"),
      .required("units", .integer(minimum: 0), "Septets (gsm7), UTF-16 units (ucs2) or octets of the whole text"),
      .required("segments", .integer(minimum: 1), "Short messages that are charged"),
      .required("maximum_segments", .integer(minimum: 1), "The link rejects more"),
      .required("fits", .boolean, "It needs no more segments than the link allows"),
      .required("units_per_segment", .integer(minimum: 1)),
      .required("units_left", .integer(minimum: 0), "May be added before there is one segment more"),
      .required(
        "signature",
        .nullable(
          .output(
            .required("text", .string()),
            .required("placement", .string(), "start, end, or gateway where the gateway writes it"))),
        "Null if the link signs nothing or the text is signed already"),
      .required(
        "outside_alphabet", .array(.string()), "Characters that force the dearer encoding, each once, at most 20")))

  private var preview: Route {
    Route(
      "previewSMS", .post, "/v1/sms-preview", summary: "What a text costs as a short message, before it is sent",
      tag: "channels", access: .anyRole,
      body: .init(
        .input(
          .required("text", .string(maximum: 20_000)),
          .optional("channel", .string(minimum: 1, maximum: 40), "The first SMS channel if not given"),
          .optional("link", .string(minimum: 1, maximum: 40), "The channel's first link if not given"),
          .optional("opt_out_line", .boolean, "Count the link's opt-out line too"))),
      answers: [.json(Self.answer, "Nothing is sent or stored")]
    ) { call in
      let wanted = call.body["channel"]?.string
      guard let channel = channels.first(where: { wanted == nil || $0.name == wanted }) else {
        throw wanted == nil
          ? Problem(.conflict, LocalizedText(zh: "没有配置短信渠道", en: "no SMS channel is configured"))
          : Problem(.invalidInput, violations: [Violation(.body(pointer: "#/channel"), .notAllowed)])
      }
      let isWithLine = call.body["opt_out_line"] == .bool(true)
      switch channel.costs(call.body["text"]?.string ?? "", call.body["link"]?.string, isWithLine) {
      case .cost(let cost): return .json(Self.json(cost, on: channel.name))
      case .noSuchLink: throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/link"), .notAllowed)])
      case .tooLong: throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/text"), .tooLong)])
      case .notEncodable: throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/text"), .format)])
      }
    }
  }

  private static func json(_ cost: TextCost, on channel: String) -> JSONValue {
    [
      "channel": .string(channel), "link": .string(cost.link), "text": .string(cost.text),
      "encoding": .string(cost.encoding), "units": .integer(Int64(cost.units)),
      "segments": .integer(Int64(cost.segments)), "maximum_segments": .integer(Int64(cost.maximumSegments)),
      "fits": .bool(cost.segments <= cost.maximumSegments),
      "units_per_segment": .integer(Int64(cost.unitsPerSegment)), "units_left": .integer(Int64(cost.unitsLeft)),
      "signature": cost.signature.map { ["text": .string($0.text), "placement": .string($0.placement)] } ?? .null,
      "outside_alphabet": .array(cost.outsideAlphabet.map { .string($0) }),
    ]
  }
}
