import Channels
import Testing

@Suite struct IdentifierTests {
  @Test func `an identifier reads back from what it shows`() {
    for millisecond in 0..<1_000 {
      let id = ArrivalID(at: Timestamp(milliseconds: 1_795_532_671_000 + Int64(millisecond)))
      #expect(id.description.hasPrefix("arrival_"))
      #expect(ArrivalID(id.description) == id)
    }
  }

  @Test func `later identifiers sort later, as values and as text`() {
    let start = Timestamp(milliseconds: 1_795_532_671_000)
    let ids = (0..<5_000).map { ArrivalID(at: start + .microseconds($0 * 3)) }
    #expect(ids == ids.sorted())
    #expect(ids.map(\.description) == ids.map(\.description).sorted())
  }

  @Test(arguments: [
    "", "arrival", "arrival_", "attempt_01h455vb4pex5vsknk084sn02q", "arrival_81h455vb4pex5vsknk084sn02q",
    "arrival_01H455VB4PEX5VSKNK084SN02Q", "arrival_01h455vb4pex5vsknk084sn02", "arrival_01h455vb4pex5vsknk084sn02qq",
    "arrival_01h455vb4pex5vsknk084sn02i",
  ])
  func `what is no identifier of the kind is not read`(text: String) { #expect(ArrivalID(text) == nil) }
}
