/// Why a TIFF, or one page of it, is not taken for a fax: a bounded code to count, a sentence for the person who reads
/// it.
public struct TIFFFault: Error, Hashable, Sendable, Codable {
  public enum Code: String, Hashable, Sendable, Codable, CaseIterable {
    case empty
    case tooLarge = "too-large"
    case notATIFF = "not-a-tiff"
    /// A structure begins in the file and ends beyond it.
    case truncated
    /// A directory refers back to one already read.
    case directoryLoop = "directory-loop"
    /// A directory without entries, or with more than any writer makes.
    case badDirectory = "bad-directory"
    case tooManyPages = "too-many-pages"
    /// A tag that every page must have is missing, doubled or has a senseless value.
    case badTag = "bad-tag"
    case dimensions
    /// The picture data lies outside the file.
    case stripOutsideFile = "strip-outside-file"
    /// Readable by others perhaps, but not a way in which faxes are stored.
    case unsupported
    /// The directory is sound, the picture data is not.
    case undecodable
  }
  public var code: Code
  /// Counted from 1; nil when the file as a whole is meant.
  public var page: Int?
  public var text: String

  public init(_ code: Code, page: Int? = nil, _ text: String) {
    self.code = code
    self.page = page
    self.text = text
  }
}

/// What is read at most. A fax of 500 pages of the finest resolution passes; a file made to exhaust memory does not.
public struct TIFFLimits: Hashable, Sendable {
  public var bytes = 32 << 20
  public var pages = 500
  public var width = 5_000
  public var height = 20_000
  /// Over all pages: the bound on time. 500 fine A4 pages have 2.0 × 10⁹.
  public var pixels = 4_000_000_000
  /// Of one page that is not black and white, which is decoded at four bytes a pixel.
  public var colourPixels = 24_000_000
  public var directoryEntries = 256
  public init() {}
}
