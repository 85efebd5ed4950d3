import Channels
import ContactModel

/// One way out: an adapter, and what the dispatcher must know of it.
public struct OutboundLink: Sendable {
  public var channel: OutboundChannel
  public var adapter: any ChannelAdapter
  /// Whom the customer sees as the sender; nil leaves it to the adapter.
  public var from: Address?
  /// How many may be handed over at once. Small: each may be in doubt after a crash. 1 for calls.
  public var window: Int
  /// How long after the hand-over the peer can still be asked; beyond it a doubt is for good.
  public var memory: Duration
  /// How long after an inquiry that learned nothing the next one follows.
  public var inquiryEvery: Duration
  /// Handed over by the dialler and no worker: a call needs an agent.
  public var isDialled = false
  /// How many chargeable parts a content would be sent as, for previews; nil where the channel has no parts.
  public var parts: (@Sendable (Dispatch.Content) -> Int?)?
  /// Asked before each look for work: true while an operator has paused the channel. What is in hand is settled, and
  /// doubts are asked about, all the same.
  public var isHeld: @Sendable () -> Bool = { false }

  public init(
    channel: OutboundChannel, adapter: any ChannelAdapter, from: Address? = nil, window: Int = 10,
    memory: Duration = .seconds(86_400), inquiryEvery: Duration = .seconds(60),
    parts: (@Sendable (Dispatch.Content) -> Int?)? = nil
  ) {
    self.channel = channel
    self.adapter = adapter
    self.from = from
    self.window = window
    self.memory = memory
    self.inquiryEvery = inquiryEvery
    self.parts = parts
  }
}
