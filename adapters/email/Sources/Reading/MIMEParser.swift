import CGMime

/// Structure and transfer encodings by GMime; headers by us.
///
/// The headers of the message are read from its bytes (HeaderBlock) and GMime is given only those that say how the
/// body is built: so a broken header cannot cost the body, nor the other way round. What GMime cannot take apart (a
/// multipart without a boundary, one whose boundary never comes) is kept as one text part: nothing is dropped.
/// Runs on the MIME thread alone (MIMEThread); GObjects do not leave this file.
enum MIMEParser {
  /// Deeper parts are kept as undivided bytes.
  static let maximumDepth = 40
  /// More parts than that are not taken apart.
  static let maximumParts = 1_000

  static func parse(_ bytes: UnsafeBufferPointer<UInt8>, hints: Charset.Hints, headers: HeaderBlock, bodyStart: Int)
    -> MIMEPart
  {
    let body = UnsafeBufferPointer(rebasing: bytes[min(bodyStart, bytes.count)...])
    // Nothing to take apart and nothing to undo.
    let encoding = headers.text("content-transfer-encoding")?.lowercased() ?? ""
    if ["", "7bit", "8bit", "binary"].contains(encoding) {
      let whole = MIMEPart(headers: headers, content: .leaf(Array(body)), hints: hints)
      if whole.mediaType.begins(with: "text/") { return whole }
    }
    var head: [UInt8] = []
    for field in headers.fields where structural.contains(field.name) {
      // A second Content-Type would win in GMime; the first is what other readers take.
      if head.containsField(field.name) { continue }
      head += Array(field.name.utf8)
      head += [0x3a, 0x20]
      head += field.value.filter { $0 != 0x0a && $0 != 0x0d }
      head.append(0x0a)
    }
    head.append(0x0a)
    var source = head
    source.reserveCapacity(head.count + body.count)
    source.append(contentsOf: body)
    var walker = Walker(hints: hints)
    let root: MIMEPart? = source.withUnsafeBytes { raw in
      guard
        let stream = g_mime_stream_mem_new_with_buffer(raw.baseAddress?.assumingMemoryBound(to: CChar.self), raw.count)
      else { return nil }
      defer { g_object_unref(stream) }
      guard let parser = g_mime_parser_new_with_stream(stream) else { return nil }
      defer { g_object_unref(parser) }
      guard let message = g_mime_parser_construct_message(parser, nil) else { return nil }
      defer { g_object_unref(message) }
      guard let object = g_mime_message_get_mime_part(message) else { return nil }
      return walker.part(object, headers: headers, depth: 0, inDigest: false)
    }
    guard var root else { return MIMEPart(headers: headers, content: .leaf(Array(body)), hints: hints) }
    if case .multipart(let parts) = root.content, parts.isEmpty, !body.allSatisfy(isSpace) {
      root.content = .leaf(Array(body))
      root.mediaType = "text/plain"
    } else if case .leaf(let content) = root.content, content.isEmpty, !body.isEmpty,
      root.mediaType.hasPrefix("multipart/")
    {
      root.content = .leaf(Array(body))
      root.mediaType = "text/plain"
    } else if case .leaf = root.content, root.mediaType.hasPrefix("multipart/") {
      root.mediaType = "text/plain"
    }
    return root
  }

  private static let structural: Set<String> = [
    "content-type", "content-transfer-encoding", "content-disposition", "mime-version",
  ]
}

extension [UInt8] {
  fileprivate func containsField(_ name: String) -> Bool {
    let key = Array(name.utf8) + [0x3a]
    guard count >= key.count else { return false }
    var start = 0
    while start < count {
      if self[start...].starts(with: key) { return true }
      guard let end = self[start...].firstIndex(of: 0x0a) else { return false }
      start = end + 1
    }
    return false
  }
}

private struct Walker {
  let hints: Charset.Hints
  var parts = 0

  init(hints: Charset.Hints) { self.hints = hints }

  mutating func part(
    _ object: UnsafeMutablePointer<GMimeObject>, headers: HeaderBlock, depth: Int, inDigest: Bool
  ) -> MIMEPart {
    parts += 1
    if depth >= MIMEParser.maximumDepth || parts > MIMEParser.maximumParts {
      return MIMEPart(headers: headers, content: .leaf(serialised(object)), hints: hints, inDigest: inDigest)
    }
    if cgmime_is_multipart(object) != 0 {
      let multipart = UnsafeMutableRawPointer(object).assumingMemoryBound(to: GMimeMultipart.self)
      let count = g_mime_multipart_get_count(multipart)
      var node = MIMEPart(headers: headers, content: .multipart([]), hints: hints, inDigest: inDigest)
      let digest = node.mediaType == "multipart/digest"
      var children: [MIMEPart] = []
      for index in 0..<max(0, count) {
        guard let child = g_mime_multipart_get_part(multipart, index) else { continue }
        children.append(part(child, headers: headerBlock(of: child), depth: depth + 1, inDigest: digest))
        if parts > MIMEParser.maximumParts { break }
      }
      if children.isEmpty, depth > 0 {
        var bytes: [UInt8] = []
        if let prologue = g_mime_multipart_get_prologue(multipart) { bytes = Array(cString: prologue) }
        node.content = .leaf(bytes)
        node.mediaType = "text/plain"
      } else {
        node.content = .multipart(children)
      }
      return node
    }
    if cgmime_is_message_part(object) != 0 {
      let holder = UnsafeMutableRawPointer(object).assumingMemoryBound(to: GMimeMessagePart.self)
      var raw: [UInt8] = []
      var inner: MIMEPart?
      if let message = g_mime_message_part_get_message(holder) {
        let whole = UnsafeMutableRawPointer(message).assumingMemoryBound(to: GMimeObject.self)
        raw = serialised(whole)
        if let body = g_mime_message_get_mime_part(message) {
          var block = headerBlock(of: whole)
          block.fields += headerBlock(of: body).fields
          inner = part(body, headers: block, depth: depth + 1, inDigest: false)
        }
      }
      return MIMEPart(headers: headers, content: .message(raw: raw, inner), hints: hints, inDigest: inDigest)
    }
    var bytes: [UInt8] = []
    if cgmime_is_part(object) != 0 {
      let leaf = UnsafeMutableRawPointer(object).assumingMemoryBound(to: GMimePart.self)
      if let wrapper = g_mime_part_get_content(leaf) { bytes = decoded(wrapper) }
    } else {
      bytes = serialised(object)
    }
    return MIMEPart(headers: headers, content: .leaf(bytes), hints: hints, inDigest: inDigest)
  }

  private func decoded(_ wrapper: UnsafeMutablePointer<GMimeDataWrapper>) -> [UInt8] {
    collect { g_mime_data_wrapper_write_to_stream(wrapper, $0) }
  }

  private func serialised(_ object: UnsafeMutablePointer<GMimeObject>) -> [UInt8] {
    collect { g_mime_object_write_to_stream(object, nil, $0) }
  }

  private func collect(_ write: (UnsafeMutablePointer<GMimeStream>) -> Int) -> [UInt8] {
    guard let stream = g_mime_stream_mem_new() else { return [] }
    defer { g_object_unref(stream) }
    _ = write(stream)
    let memory = UnsafeMutableRawPointer(stream).assumingMemoryBound(to: GMimeStreamMem.self)
    guard let array = g_mime_stream_mem_get_byte_array(memory), let data = array.pointee.data else { return [] }
    return Array(UnsafeBufferPointer(start: data, count: Int(array.pointee.len)))
  }

  private func headerBlock(of object: UnsafeMutablePointer<GMimeObject>) -> HeaderBlock {
    var block = HeaderBlock()
    guard let list = g_mime_object_get_header_list(object) else { return block }
    for index in 0..<g_mime_header_list_get_count(list) {
      guard let header = g_mime_header_list_get_header_at(list, index), let name = g_mime_header_get_name(header)
      else { continue }
      var value: [UInt8] = []
      if let raw = g_mime_header_get_raw_value(header) {
        value = Array(cString: raw).filter { $0 != 0x0a && $0 != 0x0d }
      }
      block.fields.append(HeaderBlock.Field(name: String(cString: name).lowercased(), value: value))
    }
    return block
  }
}

extension [UInt8] {
  fileprivate init(cString: UnsafePointer<CChar>) {
    var count = 0
    while cString[count] != 0 { count += 1 }
    self = cString.withMemoryRebound(to: UInt8.self, capacity: count) {
      Array(UnsafeBufferPointer(start: $0, count: count))
    }
  }
}
