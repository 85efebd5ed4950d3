import Channels

extension ConfigurationReader {
  /// How numbers are written where the channel stands; the same keys for every kind of channel that has numbers.
  func numberPlan(area: String? = nil) -> NumberPlan {
    let area = string("area_code", default: area ?? "none")
    return NumberPlan(
      countryCode: string("country_code", default: "86"),
      areaCode: area == "none" ? nil : area,
      trunkPrefix: string("trunk_prefix", default: "0"),
      internationalPrefix: string("international_prefix", default: "00"),
      serviceCodePrefixes: strings("service_code_prefixes", default: ["106", "95", "96"]))
  }
}
