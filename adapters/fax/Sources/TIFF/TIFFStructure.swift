/// The pages of a TIFF as its directories declare them, without touching the picture data.
///
/// libtiff stops at the first bad directory and returns the pages before it as if that were all (specs/fax.md trap 28),
/// and accepts 4,294,967,280 × 4,294,967,280. So the chain is walked here first, in bytes: every offset is checked
/// against the file, a directory seen twice ends the walk, and what is wrong is said with its page. Pages before
/// the fault are kept: a fax whose last page was cut off still shows the others, marked.
/// Source: TIFF 6.0 §2; BigTIFF as in libtiff's "BigTIFF Design"; RFC 3949 profile F.
public struct TIFFStructure: Sendable {
  public var pages: [TIFFPageHeader] = []
  /// What ended the walk before its regular end; nil if the chain was whole.
  public var fault: TIFFFault?
  public var isBig = false

  public init(_ bytes: [UInt8], limits: TIFFLimits = TIFFLimits()) {
    do {
      let reader = try TIFFReader(bytes, limits: limits)
      isBig = reader.isBig
      try walk(reader, limits: limits)
    } catch let fault as TIFFFault {
      self.fault = fault
    } catch {
      self.fault = TIFFFault(.badDirectory, "\(error)")
    }
  }

  private mutating func walk(_ reader: TIFFReader, limits: TIFFLimits) throws {
    var next = try reader.firstDirectory()
    var seen: Set<UInt64> = []
    guard next != 0 else { throw TIFFFault(.badDirectory, "the header names no page directory") }
    while next != 0 {
      let number = pages.count + 1
      guard seen.insert(next).inserted else {
        throw TIFFFault(.directoryLoop, page: number, "the directory after page \(number - 1) is one already read")
      }
      // Directories of reduced copies count too: a chain of them is as long.
      guard seen.count <= limits.pages else {
        throw TIFFFault(.tooManyPages, "more than \(limits.pages) pages")
      }
      let directory: TIFFDirectory
      do {
        directory = try reader.directory(at: next)
      } catch let fault as TIFFFault {
        throw TIFFFault(fault.code, page: number, "page \(number): \(fault.text)")
      }
      // NewSubfileType, bit 0: a reduced copy of another page, not a page.
      if (directory.number(254, reader) ?? 0) & 1 == 0 {
        pages.append(TIFFPageHeader(number: number, directory: directory, reader: reader, limits: limits))
      }
      next = directory.next
    }
    if pages.isEmpty { throw TIFFFault(.badDirectory, "every directory describes a reduced copy, none a page") }
  }
}

/// One page directory: where each tag's values lie.
struct TIFFDirectory {
  struct Entry {
    var type: UInt16
    var count: UInt64
    var offset: UInt64
    var byteCount: UInt64
  }
  var offset: UInt64
  var next: UInt64 = 0
  var entries: [UInt16: Entry] = [:]
  /// Tags of a known type whose values are said to lie outside the file.
  var outside: [UInt16] = []

  /// The first value of an integer tag; nil if the tag is missing, of another type or outside the file.
  func number(_ tag: UInt16, _ reader: TIFFReader) -> UInt64? { numbers(tag, reader, atMost: 1)?.first }

  func numbers(_ tag: UInt16, _ reader: TIFFReader, atMost limit: Int) -> [UInt64]? {
    guard let entry = entries[tag], let width = [1: 1, 3: 2, 4: 4, 16: 8][entry.type] else { return nil }
    guard entry.offset + entry.byteCount <= UInt64(reader.bytes.count) else { return nil }
    let count = Int(min(entry.count, UInt64(limit)))
    return (0..<count).map { reader.integer(at: Int(entry.offset) + $0 * width, width: width) }
  }

  func text(_ tag: UInt16, _ reader: TIFFReader, atMost limit: Int = 1_024) -> String? {
    guard let entry = entries[tag], entry.type == 2 || entry.type == 1 else { return nil }
    guard entry.offset + entry.byteCount <= UInt64(reader.bytes.count) else { return nil }
    let start = Int(entry.offset)
    let raw = reader.bytes[start..<start + min(Int(entry.byteCount), limit)].prefix { $0 != 0 }
    return raw.isEmpty ? nil : String(decoding: raw, as: UTF8.self)
  }

  /// RATIONAL (type 5); also the integer some writers give.
  func rational(_ tag: UInt16, _ reader: TIFFReader) -> Double? {
    guard let entry = entries[tag] else { return nil }
    guard entry.type == 5, entry.count >= 1 else { return number(tag, reader).map(Double.init) }
    guard entry.offset + 8 <= UInt64(reader.bytes.count) else { return nil }
    let numerator = reader.integer(at: Int(entry.offset), width: 4)
    let denominator = reader.integer(at: Int(entry.offset) + 4, width: 4)
    return denominator == 0 ? nil : Double(numerator) / Double(denominator)
  }
}

/// Integers of a TIFF in its own byte order, each read checked against the file.
struct TIFFReader {
  let bytes: [UInt8]
  let isBig: Bool
  private let littleEndian: Bool
  private let limits: TIFFLimits

  init(_ bytes: [UInt8], limits: TIFFLimits) throws {
    guard !bytes.isEmpty else { throw TIFFFault(.empty, "the file is empty") }
    guard bytes.count <= limits.bytes else {
      throw TIFFFault(.tooLarge, "\(bytes.count) bytes, at most \(limits.bytes) are read")
    }
    switch bytes.prefix(2) {
    case [0x49, 0x49]: littleEndian = true
    case [0x4d, 0x4d]: littleEndian = false
    default:
      throw TIFFFault(.notATIFF, "begins with \(TIFFReader.nature(of: bytes)), not with a TIFF byte order mark")
    }
    guard bytes.count >= 8 else { throw TIFFFault(.truncated, "\(bytes.count) bytes: the header is cut off") }
    self.bytes = bytes
    self.limits = limits
    let magic = littleEndian ? UInt16(bytes[2]) | UInt16(bytes[3]) << 8 : UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    switch magic {
    case 42: isBig = false
    case 43: isBig = true
    default: throw TIFFFault(.notATIFF, "version \(magic) where 42 or 43 (BigTIFF) belongs")
    }
  }

  /// What a file of another kind seems to be, for the person who has to ask for it again.
  static func nature(of bytes: [UInt8]) -> String {
    let known: [(String, [UInt8])] = [
      ("%PDF (a PDF)", Array("%PDF".utf8)), ("%! (PostScript)", Array("%!".utf8)),
      ("the mark of a PNG", [0x89, 0x50, 0x4e, 0x47]), ("the mark of a JPEG", [0xff, 0xd8, 0xff]),
      ("the mark of a ZIP or office file", [0x50, 0x4b, 0x03, 0x04]), ("the mark of a GIF", Array("GIF8".utf8)),
    ]
    if let (name, _) = known.first(where: { bytes.starts(with: $0.1) }) { return name }
    return "bytes " + bytes.prefix(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }

  /// The caller has checked that `offset + width` lies in the file.
  func integer(at offset: Int, width: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<width {
      let byte = UInt64(bytes[offset + (littleEndian ? width - 1 - index : index)])
      value = value << 8 | byte
    }
    return value
  }

  func firstDirectory() throws -> UInt64 {
    guard isBig else { return integer(at: 4, width: 4) }
    guard bytes.count >= 16 else { throw TIFFFault(.truncated, "BigTIFF header is cut off") }
    guard integer(at: 4, width: 2) == 8, integer(at: 6, width: 2) == 0 else {
      throw TIFFFault(.notATIFF, "BigTIFF header with offsets that are not 8 bytes long")
    }
    return integer(at: 8, width: 8)
  }

  func directory(at offset: UInt64) throws -> TIFFDirectory {
    let size = UInt64(bytes.count)
    let countWidth = isBig ? 8 : 2
    let entryWidth = isBig ? 20 : 12
    let offsetWidth = isBig ? 8 : 4
    guard offset >= 8, offset < size, size - offset >= UInt64(countWidth) else {
      throw TIFFFault(.truncated, "its directory is said to be at byte \(offset) of \(size)")
    }
    let start = Int(offset)
    let count = integer(at: start, width: countWidth)
    guard count > 0 else { throw TIFFFault(.badDirectory, "its directory at byte \(offset) has no entries") }
    guard count <= UInt64(limits.directoryEntries) else {
      throw TIFFFault(.badDirectory, "its directory has \(count) entries, at most \(limits.directoryEntries) are read")
    }
    let end = start + countWidth + Int(count) * entryWidth + offsetWidth
    guard end <= bytes.count else {
      throw TIFFFault(.truncated, "its directory ends at byte \(end) of \(size)")
    }
    var directory = TIFFDirectory(offset: offset)
    for index in 0..<Int(count) {
      let at = start + countWidth + index * entryWidth
      let tag = UInt16(integer(at: at, width: 2))
      let type = UInt16(integer(at: at + 2, width: 2))
      let values = integer(at: at + 4, width: offsetWidth)
      let unit = type < typeSizes.count ? typeSizes[Int(type)] : 0
      let (total, overflow) = values.multipliedReportingOverflow(by: unit)
      guard unit > 0 else { continue }  // a type of a later TIFF: as good as missing
      guard !overflow, total <= size else {
        directory.outside.append(tag)
        continue
      }
      let inline = total <= UInt64(offsetWidth)
      let location = inline ? UInt64(at + 4 + offsetWidth) : integer(at: at + 4 + offsetWidth, width: offsetWidth)
      guard location <= size - total else {
        directory.outside.append(tag)
        continue
      }
      // The first of doubled tags counts, as in libtiff.
      if directory.entries[tag] == nil {
        directory.entries[tag] = TIFFDirectory.Entry(type: type, count: values, offset: location, byteCount: total)
      }
    }
    directory.next = integer(at: end - offsetWidth, width: offsetWidth)
    return directory
  }
}

/// Bytes a value, by type: BYTE, ASCII, SHORT, LONG, RATIONAL, … (TIFF 6.0 §2; 16 to 18 BigTIFF). 0: no such type.
private let typeSizes: [UInt64] = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8]
