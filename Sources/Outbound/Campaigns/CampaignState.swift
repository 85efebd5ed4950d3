import ContactModel

/// Where a campaign stands. Each state says who moves it on.
public enum CampaignState: String, Hashable, Sendable, Codable, CaseIterable {
  /// Its author writes it.
  case draft
  /// It was found complete; a second person approves it, or its author changes it.
  case checked
  /// A second person stands for it; somebody sets its time.
  case approved
  /// Waits for its time. The clock starts it.
  case scheduled
  /// Its plan is written and carried out. People pause it; its end, or the budget, stop it.
  case running
  /// Nothing is claimed. People resume or cancel it.
  case paused
  /// Everybody in it has an outcome. Final.
  case finished
  /// Withdrawn; what was under way ends by itself. Final.
  case cancelled

  public var isFinal: Bool { self == .finished || self == .cancelled }
  /// Its plan may be carried out.
  public var isLive: Bool { self == .running || self == .paused }
}

/// What is done with a campaign.
public enum CampaignAct: String, Hashable, Sendable, Codable, CaseIterable {
  case create, edit, check, approve, schedule, start, pause, resume, finish, cancel
}

extension CampaignState {
  /// Where an act leads; nil where it is not allowed. Pure. An edit takes approval back.
  public func after(_ act: CampaignAct) -> CampaignState? {
    switch (self, act) {
    case (.draft, .edit), (.checked, .edit), (.approved, .edit): .draft
    case (.draft, .check), (.checked, .check): .checked
    case (.checked, .approve): .approved
    case (.approved, .schedule), (.scheduled, .schedule): .scheduled
    case (.scheduled, .start): .running
    case (.running, .pause): .paused
    case (.paused, .resume): .running
    case (.running, .finish): .finished
    case (.draft, .cancel), (.checked, .cancel), (.approved, .cancel), (.scheduled, .cancel), (.running, .cancel),
      (.paused, .cancel):
      .cancelled
    default: nil
    }
  }

  /// What may be done now.
  public var acts: [CampaignAct] { CampaignAct.allCases.filter { after($0) != nil } }
}
