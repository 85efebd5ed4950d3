/// What Outlook hides in `winmail.dat`: attachments and the text.
///
/// A stream of attributes: level (1 message, 2 attachment), id, length, data, checksum. Attachment data is one
/// attribute; the true name is often only in the MAPI properties of attAttachment. Every length is checked against
/// what is left; a stream that breaks off gives what was whole before. Source: [MS-OXTNEF] §2.1.
struct TNEF: Sendable {
  struct File: Sendable {
    var name: String?
    var bytes: [UInt8]
    var contentID: String?
  }
  var files: [File] = []
  var text: String?
  var html: [UInt8]?

  init?(_ bytes: [UInt8], hints: Charset.Hints, maximumFiles: Int = 200) {
    guard bytes.count >= 6, bytes[0] == 0x78, bytes[1] == 0x9f, bytes[2] == 0x3e, bytes[3] == 0x22 else { return nil }
    var reader = LittleEndian(bytes, at: 6)
    var codePage: String?
    while let level = reader.byte(), let attribute = reader.uint32(), let length = reader.uint32(),
      let data = reader.bytes(Int(length)), reader.uint16() != nil
    {
      switch attribute & 0xffff {
      case 0x9007 where level == 1:  // attOemCodepage
        var inner = LittleEndian(data, at: 0)
        codePage = inner.uint32().map { "CP\($0)" }
      case 0x800c where level == 1:  // attBody
        text = Charset.decode(Array(data.prefix { $0 != 0 }), label: codePage, hints: hints)
      case 0x9003 where level == 1:  // attMAPIProps
        let properties = MAPIProperties(data, codePage: codePage, hints: hints)
        text = text ?? properties.text[0x1000]
        html = html ?? properties.binary[0x1013]
      case 0x9002 where level == 2:  // attAttachRendData: a new attachment begins
        guard files.count < maximumFiles else { return }
        files.append(File(name: nil, bytes: [], contentID: nil))
      case 0x800f where level == 2:  // attAttachData
        if !files.isEmpty { files[files.count - 1].bytes = data }
      case 0x8010 where level == 2:  // attAttachTitle
        if !files.isEmpty, files[files.count - 1].name == nil {
          let name = Charset.decode(Array(data.prefix { $0 != 0 }), label: codePage, hints: hints)
          files[files.count - 1].name = name.isEmpty ? nil : name
        }
      case 0x9005 where level == 2:  // attAttachment: MAPI properties of the attachment
        guard !files.isEmpty else { break }
        let properties = MAPIProperties(data, codePage: codePage, hints: hints)
        if let name = properties.text[0x3707] ?? properties.text[0x3704] ?? properties.text[0x3001] {
          files[files.count - 1].name = name
        }
        files[files.count - 1].contentID = properties.text[0x3712]
        if files[files.count - 1].bytes.isEmpty, let body = properties.binary[0x3701] {
          files[files.count - 1].bytes = body
        }
      default: break
      }
    }
  }
}

/// A property list: the texts and byte strings in it by property id. Source: [MS-OXTNEF] §2.1.3.4.
private struct MAPIProperties {
  var text: [UInt32: String] = [:]
  var binary: [UInt32: [UInt8]] = [:]

  init(_ data: [UInt8], codePage: String?, hints: Charset.Hints) {
    var reader = LittleEndian(data, at: 0)
    guard let count = reader.uint32(), count <= 2_000 else { return }
    for _ in 0..<count {
      guard let tag = reader.uint32() else { return }
      let type = tag & 0xfff
      let multiple = tag & 0x1000 != 0
      let id = tag >> 16
      if id >= 0x8000 {
        guard reader.bytes(16) != nil, let kind = reader.uint32() else { return }
        if kind == 0 {
          guard reader.uint32() != nil else { return }
        } else {
          guard let length = reader.uint32(), reader.padded(Int(length)) != nil else { return }
        }
      }
      var values: UInt32 = 1
      if multiple || [0x1e, 0x1f, 0x0d, 0x102].contains(type) {
        guard let given = reader.uint32(), given <= 2_000 else { return }
        values = given
      }
      for _ in 0..<values {
        switch type {
        case 0x02, 0x0b: guard reader.bytes(4) != nil else { return }
        case 0x03, 0x04, 0x0a: guard reader.bytes(4) != nil else { return }
        case 0x05, 0x06, 0x07, 0x14, 0x40: guard reader.bytes(8) != nil else { return }
        case 0x48: guard reader.bytes(16) != nil else { return }
        case 0x1e, 0x1f, 0x0d, 0x102:
          guard let length = reader.uint32(), let value = reader.padded(Int(length)) else { return }
          if type == 0x1e {
            let trimmed = Array(value.prefix { $0 != 0 })
            if !trimmed.isEmpty { text[id] = Charset.decode(trimmed, label: codePage, hints: hints) }
          } else if type == 0x1f {
            var name = Charset.decode(value, label: "utf-16le", hints: hints)
            while name.last == "\0" { name.removeLast() }
            if !name.isEmpty { text[id] = name }
          } else {
            binary[id] = type == 0x0d ? Array(value.dropFirst(16)) : value
          }
        default: return
        }
      }
    }
  }
}

private struct LittleEndian {
  let data: [UInt8]
  var index: Int
  init(_ data: [UInt8], at index: Int) {
    self.data = data
    self.index = index
  }
  mutating func byte() -> UInt8? {
    guard index < data.count else { return nil }
    defer { index += 1 }
    return data[index]
  }
  mutating func uint16() -> UInt16? {
    guard index + 2 <= data.count else { return nil }
    defer { index += 2 }
    return UInt16(data[index]) | UInt16(data[index + 1]) << 8
  }
  mutating func uint32() -> UInt32? {
    guard let low = uint16(), let high = uint16() else { return nil }
    return UInt32(low) | UInt32(high) << 16
  }
  mutating func bytes(_ count: Int) -> [UInt8]? {
    guard count >= 0, count <= data.count - index else { return nil }
    defer { index += count }
    return Array(data[index..<(index + count)])
  }
  /// `count` bytes and what fills them up to a multiple of four.
  mutating func padded(_ count: Int) -> [UInt8]? {
    guard let value = bytes(count) else { return nil }
    index = min(data.count, index + (4 - count % 4) % 4)
    return value
  }
}
