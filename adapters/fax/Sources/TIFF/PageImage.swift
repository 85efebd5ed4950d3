/// One page in black and white: rows of packed bits, most significant first, 1 = black.
public struct PageImage: Hashable, Sendable {
  public let width: Int
  public let height: Int
  public let xResolution: Double
  public let yResolution: Double
  /// `height` rows of `stride` bytes; bits past `width` are 0.
  public let bits: [UInt8]
  public var stride: Int { (width + 7) / 8 }

  public init(width: Int, height: Int, xResolution: Double, yResolution: Double, bits: [UInt8]) {
    precondition(bits.count == (width + 7) / 8 * height)
    self.width = width
    self.height = height
    self.xResolution = xResolution
    self.yResolution = yResolution
    self.bits = bits
  }

  /// Degrees clockwise.
  public enum Rotation: Int, Hashable, Sendable, CaseIterable {
    case none = 0, quarter = 90, half = 180, threeQuarters = 270
  }

  /// Part of the page that is black, 0…1.
  public var blackness: Double {
    guard !bits.isEmpty else { return 0 }
    var black = 0
    for byte in bits { black += byte.nonzeroBitCount }
    return Double(black) / Double(width * height)
  }

  public func isBlack(_ x: Int, _ y: Int) -> Bool { bits[y * stride + x >> 3] & (0x80 >> UInt8(x & 7)) != 0 }

  /// The same page with as many pixels an inch down as across: a standard page (204 × 98) becomes twice as long.
  ///
  /// Rows are repeated (or left out), never mixed: a fax has no grey. The bound on the height keeps a page that claims
  /// an absurd ratio from growing.
  public func squared(maximumHeight: Int = 40_000) -> PageImage {
    let wanted = (Double(height) * xResolution / yResolution).rounded()
    let target = max(1, min(Int(wanted), maximumHeight))
    guard target != height else { return self }
    var out: [UInt8] = []
    out.reserveCapacity(target * stride)
    for row in 0..<target {
      let source = min(height - 1, row * height / target)
      out.append(contentsOf: bits[source * stride..<(source + 1) * stride])
    }
    return PageImage(width: width, height: target, xResolution: xResolution, yResolution: xResolution, bits: out)
  }

  /// Turned clockwise.
  public func rotated(_ rotation: Rotation) -> PageImage {
    let turned = rotation == .quarter || rotation == .threeQuarters
    guard rotation != .none else { return self }
    let (w, h) = turned ? (height, width) : (width, height)
    let outStride = (w + 7) / 8
    var out = [UInt8](repeating: 0, count: outStride * h)
    for y in 0..<height {
      for x in 0..<width where isBlack(x, y) {
        let (tx, ty) =
          switch rotation {
          case .none: (x, y)
          case .quarter: (height - 1 - y, x)
          case .half: (width - 1 - x, height - 1 - y)
          case .threeQuarters: (y, width - 1 - x)
          }
        out[ty * outStride + tx >> 3] |= 0x80 >> UInt8(tx & 7)
      }
    }
    return PageImage(
      width: w, height: h, xResolution: turned ? yResolution : xResolution,
      yResolution: turned ? xResolution : yResolution, bits: out)
  }
}
