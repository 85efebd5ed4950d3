import Channels

/// The one state of a message whose parts were reported one by one.
///
/// The worst decides: one part undelivered and the customer has not read the message. Delivered only if all parts are;
/// before that it is pending. Pure. Source: specs/sms.md §5.4.
public enum PartStates {
  /// `finals` are the final states of the parts that have one.
  public static func whole(_ finals: [DeliveryReport.State], parts: Int) -> DeliveryReport.State {
    if finals.contains(.undelivered) { return .undelivered }
    if finals.contains(.expired) { return .expired }
    if finals.count < parts { return .pending }
    return finals.contains(.unknown) ? .unknown : .delivered
  }
}
