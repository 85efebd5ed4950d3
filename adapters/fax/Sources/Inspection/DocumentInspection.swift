/// What Liaison makes of one TIFF, as `liaison inspect fax` prints it.
public struct DocumentInspection: Encodable, Sendable {
  public struct Page: Encodable, Sendable {
    public var number: Int
    public var width: Int
    public var height: Int
    public var xResolution: Double
    public var yResolution: Double
    /// `standard`, `fine`, `superfine` or `other`.
    public var resolution: String
    public var widthMillimetres: Int
    public var heightMillimetres: Int
    public var coding: String?
    public var bitsPerPixel: Int
    public var readable: Bool
    public var rows: Int
    public var damagedRows: Int
    public var blackness: Double
    public var preview: Size?
    public var fingerprint: PageFingerprint?
    public var error: String?
  }
  public struct Size: Encodable, Sendable {
    public var width: Int
    public var height: Int
  }
  public struct Problem: Encodable, Sendable, Hashable {
    public var code: String
    public var page: Int?
    public var text: String
  }
  public var file: String
  public var kind = "document"
  public var bytes: Int
  /// `fax` when every page is whole, `partial` when some can be shown, `unreadable` when none.
  public var verdict: String
  public var pages: Int
  public var readablePages: Int
  public var tsi: String?
  public var caller: String?
  public var callerName: String?
  public var did: String?
  public var subaddress: String?
  public var receivedAt: String?
  public var receiveSeconds: Int?
  public var software: String?
  public var pageDetails: [Page]
  public var errors: [Problem]

  /// Blocking. Never throws: what cannot be read is said in `errors`.
  public init(file: String, bytes: [UInt8], limits: TIFFLimits = TIFFLimits()) {
    self.file = file
    self.bytes = bytes.count
    let reading = FaxReading(bytes, limits: limits)
    pages = reading.pages.count
    readablePages = reading.readablePages
    verdict = reading.isWhole ? "fax" : reading.readablePages > 0 ? "partial" : "unreadable"
    tsi = reading.origin?.tsi
    caller = reading.origin?.caller
    callerName = reading.origin?.callerName
    did = reading.origin?.did
    let first = reading.pages.first?.header
    subaddress = first?.subaddress
    receivedAt = first?.dateTime
    receiveSeconds = first?.receiveSeconds
    software = first?.software
    pageDetails = reading.pages.map { Page($0) }
    errors = reading.faults.map { Problem(code: $0.code.rawValue, page: $0.page, text: $0.text) }
  }
}

extension DocumentInspection.Page {
  init(_ page: FaxReading.Page) {
    let header = page.header
    number = header.number
    width = header.width
    height = header.height
    xResolution = (header.xResolution * 100).rounded() / 100
    yResolution = (header.yResolution * 100).rounded() / 100
    resolution = header.resolutionName
    widthMillimetres = Int((Double(header.width) / header.xResolution * 25.4).rounded())
    heightMillimetres = Int((Double(header.height) / header.yResolution * 25.4).rounded())
    coding = header.coding?.rawValue
    bitsPerPixel = header.bitsPerPixel
    readable = page.shownRows > 0
    rows = page.shownRows
    damagedRows = page.damagedRows
    blackness = (page.blackness * 10_000).rounded() / 10_000
    preview =
      page.shownRows > 0
      ? .init(
        width: header.width,
        height: Int((Double(page.shownRows) * header.xResolution / header.yResolution).rounded())) : nil
    fingerprint = page.fingerprint
    error = page.fault?.text
  }
}

extension TIFFPageHeader {
  /// The vertical resolution by its name in T.4; modems write 98 or 96, 196 or 192.
  public var resolutionName: String {
    switch yResolution {
    case 90..<110: "standard"
    case 180..<215: "fine"
    case 380..<410: "superfine"
    default: "other"
    }
  }
}
