/// A whole fax as read from its TIFF: every page with its picture or with the reason why there is none.
public struct FaxReading: Sendable {
  public struct Page: Sendable {
    public var header: TIFFPageHeader
    /// Rows that can be shown: all of them, those before the damage, or 0.
    public var shownRows: Int
    /// Part of what is shown that is black.
    public var blackness: Double
    public var damagedRows: Int
    public var fault: TIFFFault?
    public var fingerprint: PageFingerprint?
  }
  public var pages: [Page] = []
  /// Faults of the file as a whole, then of its pages, in their order.
  public var faults: [TIFFFault] = []
  public var origin: FaxOrigin?
  public var isBig: Bool

  /// Pages that can be shown, wholly or in part.
  public var readablePages: Int { pages.count { $0.shownRows > 0 } }
  /// Every page is there and whole; damaged rows, as line noise makes them, do not count against it.
  public var isWhole: Bool { faults.isEmpty && !pages.isEmpty }

  /// Decodes everything within `limits`, one page in memory at a time; `show` gets each page that can be shown, with
  /// its
  /// number. Blocking: some 10 ms a page.
  public init(
    _ bytes: [UInt8], limits: TIFFLimits = TIFFLimits(), order: CallIDOrder = .standard,
    show: (Int, PageImage) -> Void = { _, _ in }
  ) {
    let structure = TIFFStructure(bytes, limits: limits)
    isBig = structure.isBig
    if let fault = structure.fault { faults.append(fault) }
    origin = structure.pages.first.flatMap { FaxOrigin($0, order: order) }
    guard !structure.pages.isEmpty else { return }
    var budget = limits.pixels
    do {
      var decoder = try TIFFDecoder(bytes)
      for header in structure.pages {
        var page = Page(header: header, shownRows: 0, blackness: 0, damagedRows: 0, fault: header.fault)
        defer {
          if page.fault == nil { page.fault = header.defect }
          if let fault = page.fault { faults.append(fault) }
          pages.append(page)
        }
        guard header.fault == nil else { continue }
        budget -= header.width * header.height
        guard budget >= 0 else {
          page.fault = TIFFFault(
            .dimensions, page: header.number,
            "page \(header.number): more than \(limits.pixels) pixels in all pages together")
          continue
        }
        do throws(TIFFFault) {
          let decoded = try decoder.decode(header)
          page.shownRows = decoded.image.height
          page.blackness = decoded.image.blackness
          page.damagedRows = decoded.damagedRows
          page.fault = decoded.fault
          page.fingerprint = PageFingerprint(decoded.image)
          show(header.number, decoded.image)
        } catch {
          page.fault = error
        }
      }
    } catch {
      faults.append(error)
      pages = structure.pages.map { Page(header: $0, shownRows: 0, blackness: 0, damagedRows: 0, fault: error) }
    }
  }
}
