import CTiff

extension PageImage {
  /// A PNG of one bit a pixel (about 20 kB for a written page), with the resolution in it.
  ///
  /// The pixels are written as they are: square them first if the reader ignores resolution, as browsers do.
  /// Source: PNG (ISO/IEC 15948) §11.2, colour type 0, bit depth 1; pHYs §11.3.5.3.
  public func png() -> [UInt8] {
    var scanlines: [UInt8] = []
    scanlines.reserveCapacity((stride + 1) * height)
    for row in 0..<height {
      scanlines.append(0)  // filter: none
      for byte in bits[row * stride..<(row + 1) * stride] { scanlines.append(~byte) }
    }
    var out: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
    out.appendChunk("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [1, 0, 0, 0, 0])
    let perMetre = { (dpi: Double) in bigEndian(UInt32((dpi / 0.0254).rounded())) }
    out.appendChunk("pHYs", perMetre(xResolution) + perMetre(yResolution) + [1])
    out.appendChunk("IDAT", deflated(scanlines))
    out.appendChunk("IEND", [])
    return out
  }
}

/// A zlib stream (RFC 1950) of `bytes`.
func deflated(_ bytes: [UInt8], level: Int32 = 6) -> [UInt8] {
  let bound = Int(compressBound(uLong(bytes.count)))
  return [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
    var length = uLong(bound)
    // Cannot fail: the buffer is as large as zlib asks for and the level is valid.
    let result = compress2(buffer.baseAddress, &length, bytes, uLong(bytes.count), level)
    count = result == Z_OK ? Int(length) : 0
  }
}

/// What a zlib stream holds; nil if it is damaged, ends early or is larger than `limit`.
func inflated(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
  var stream = z_stream()
  guard inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
  defer { inflateEnd(&stream) }
  var input = bytes
  var out: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  return input.withUnsafeMutableBufferPointer { input in
    stream.next_in = input.baseAddress
    stream.avail_in = uInt(input.count)
    while true {
      let result = chunk.withUnsafeMutableBufferPointer { buffer in
        stream.next_out = buffer.baseAddress
        stream.avail_out = uInt(buffer.count)
        return inflate(&stream, Z_NO_FLUSH)
      }
      out.append(contentsOf: chunk[..<(chunk.count - Int(stream.avail_out))])
      guard out.count <= limit else { return nil }
      if result == Z_STREAM_END { return out }
      guard result == Z_OK, stream.avail_in > 0 || stream.avail_out == 0 else { return nil }
    }
  }
}

private func bigEndian(_ value: UInt32) -> [UInt8] {
  [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
}

extension [UInt8] {
  fileprivate mutating func appendChunk(_ name: String, _ data: [UInt8]) {
    append(contentsOf: bigEndian(UInt32(data.count)))
    let body = Array(name.utf8) + data
    append(contentsOf: body)
    append(contentsOf: bigEndian(UInt32(crc32(0, body, uInt(body.count)))))
  }
}
