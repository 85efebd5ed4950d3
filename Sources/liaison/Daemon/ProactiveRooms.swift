import API
import Channels
import ContactModel
import Logging
import Outbound
import ServiceLifecycle
import Store

/// What campaigns and preferences bring into the daemon: a runner, operations of the API, a page for customers.
struct ProactiveRooms {
  let runner: CampaignRunner
  let routes: [Route]
  let publicMounts: [Mount]

  init(
    _ wiring: Configuration.PreferenceWiring, database: Database, secrets: Secrets, cursors: CursorSigner,
    parameters: ParametersInForce, channels: [WiredChannel], now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    let link = PreferenceLink(secret: secrets.key(for: "preference link"), lifetimeDays: Int64(wiring.linkDays))
    let base = wiring.pageBase
    runner = CampaignRunner(
      database: database, zones: ZoneCatalog(), profile: { parameters.purposes },
      links: Set(channels.flatMap(\.outbound).map(\.channel)),
      link: { customer in base.map { "\($0)/preferences/\(link.token(for: customer, at: now()))" } }, clock: now,
      logger: logger)
    routes =
      CampaignResources(database: database, cursors: cursors, runner: runner).routes
      + PreferenceResources(database: database, profile: { parameters.purposes }, link: link, pageBase: base).routes
    publicMounts = [
      PreferencePage(
        database: database, link: link, profile: { parameters.purposes },
        bank: LocalizedText(zh: wiring.bankNameZh, en: wiring.bankNameEn), now: now, logger: logger
      ).mount
    ]
  }

  /// Ended by the group: what it does is taken up again at the next start.
  var service: Running {
    Running("campaigns") { [runner] in await cancelWhenGracefulShutdown { await runner.run() } }
  }
}
