/// One node of a mail's MIME tree, transfer encodings undone, nothing else interpreted.
struct MIMEPart: Sendable {
  var headers: HeaderBlock
  /// `text/plain` where the header is missing or not of the form type/subtype (RFC 2045 §5.2).
  var mediaType: String
  var type: ContentField
  var disposition: ContentField?
  var content: Content

  enum Content: Sendable {
    case leaf([UInt8])
    case multipart([MIMEPart])
    /// A forwarded or returned message: its bytes and, unless too deep, what is in it.
    indirect case message(raw: [UInt8], MIMEPart?)
  }

  init(headers: HeaderBlock, content: Content, hints: Charset.Hints, inDigest: Bool = false) {
    self.headers = headers
    self.content = content
    type = ContentField(headers.first("content-type") ?? [], hints: hints)
    disposition = headers.first("content-disposition").map { ContentField($0, hints: hints) }
    let slash = type.value.firstIndex(of: "/")
    if let slash, slash != type.value.startIndex, type.value.index(after: slash) != type.value.endIndex {
      mediaType = type.value
    } else {
      mediaType = inDigest && type.value.isEmpty ? "message/rfc822" : "text/plain"
    }
  }

  /// The part's own name, as a person would read it: Content-Disposition before Content-Type. Nil if unnamed.
  var name: String? {
    for candidate in [disposition?.parameters["filename"], type.parameters["name"]] {
      if let candidate, !candidate.isEmpty { return candidate }
    }
    return nil
  }

  /// The charset label as written, nil where none is given.
  var charsetLabel: String? { type.parameters["charset"].flatMap { $0.isEmpty ? nil : $0 } }

  var contentID: String? {
    headers.first("content-id").flatMap { MessageID.own(in: $0) }
  }

  /// This part and all below it in order of appearance, not entering messages.
  func walk(_ visit: (MIMEPart) -> Void) {
    visit(self)
    if case .multipart(let parts) = content { for part in parts { part.walk(visit) } }
  }
}
