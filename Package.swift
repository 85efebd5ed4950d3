// swift-tools-version:6.2
import PackageDescription

// The rooms and their arrows. A target may import what it depends on here and nothing else
// (`--explicit-target-dependency-import-check error`). A sixth channel is one entry under "Channels' adapters", one
// dependency of `liaison`, a file in its folder Wiring and a line in ChannelKinds.

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let coreMetrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "liaison",
  products: [.executable(name: "liaison", targets: ["liaison"])],
  dependencies: [
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", "3.12.3"..<"5.0.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
  ],
  targets: [
    // The seam and the bank's words.
    .target(name: "Channels", swiftSettings: strict),
    .target(name: "ContactModel", dependencies: ["Channels"], swiftSettings: strict),

    // The store.
    .systemLibrary(
      name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CLibpq", path: "Sources/CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(
      name: "Store", dependencies: ["Channels", "ContactModel", "CSQLite", "CLibpq", crypto], swiftSettings: strict),

    // What the daemon does.
    .target(name: "Customers", dependencies: ["Store", "ContactModel", "Channels", crypto], swiftSettings: strict),
    .target(
      name: "Intake", dependencies: ["Customers", "Store", "ContactModel", "Channels", logging], swiftSettings: strict),
    .target(name: "Desk", dependencies: ["Store", "ContactModel", "Channels", logging], swiftSettings: strict),
    .target(
      name: "API",
      dependencies: [
        "Desk", "Outbound", "Customers", "Store", "ContactModel", "Channels", asyncHTTPClient, crypto, logging,
        coreMetrics, serviceLifecycle, nioCore, nioPosix, nioHTTP1, nioSSL,
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "JWTKit", package: "jwt-kit"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
      ],
      exclude: ["README.md"], swiftSettings: strict),

    .target(name: "Outbound", dependencies: ["Store", "ContactModel", "Channels", logging], swiftSettings: strict),

    // Channels' adapters.
    .target(
      name: "Telephony", dependencies: ["Channels", crypto, logging, nioCore, nioPosix, nioSSL],
      path: "adapters/telephony/Sources", swiftSettings: strict),
    .systemLibrary(
      name: "CTiff", path: "adapters/fax/CTiff", pkgConfig: "libtiff-4",
      providers: [.apt(["libtiff-dev", "zlib1g-dev"])]),
    .target(
      name: "Fax", dependencies: ["Channels", "CTiff", crypto, logging, nioCore, nioPosix],
      path: "adapters/fax/Sources", swiftSettings: strict),
    .systemLibrary(
      name: "CGMime", path: "adapters/email/CGMime", pkgConfig: "gmime-3.0", providers: [.apt(["libgmime-3.0-dev"])]),
    .systemLibrary(
      name: "CEsmtp", path: "adapters/email/CEsmtp", pkgConfig: "libesmtp-1.0",
      providers: [.apt(["libesmtp-dev", "libssl-dev"])]),
    .systemLibrary(
      name: "CCurl", path: "adapters/email/CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .target(
      name: "CCurlShims", dependencies: ["CCurl"], path: "adapters/email/CCurlShims", publicHeadersPath: "include"),
    .target(
      name: "Email",
      dependencies: [
        "Channels", "CGMime", "CEsmtp", "CCurl", "CCurlShims", crypto, logging, nioCore, nioPosix, nioSSL,
      ],
      path: "adapters/email/Sources", swiftSettings: strict),
    .target(
      name: "SMS",
      dependencies: ["Channels", asyncHTTPClient, crypto, logging, nioCore, nioHTTP1, nioPosix, nioSSL],
      path: "adapters/sms/Sources", swiftSettings: strict),
    .target(
      name: "WebForms", dependencies: ["Channels", crypto, yams], path: "adapters/webform/Sources",
      swiftSettings: strict),

    // A small bank and stand-in peers.
    .target(
      name: "Demo",
      dependencies: ["ContactModel", "Channels", "Email", "Fax", "SMS", logging, nioCore, nioPosix, nioSSL],
      swiftSettings: strict),

    // The program.
    .executableTarget(
      name: "liaison",
      dependencies: [
        "API", "Desk", "Outbound", "Intake", "Customers", "Store", "ContactModel", "Channels", "Telephony", "Fax",
        "Email", "SMS", "WebForms", "Demo",
        argumentParser, asyncHTTPClient, coreMetrics, crypto, logging, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
        yams,
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),

    // Figures: a program of its own, never timed tests.
    .executableTarget(
      name: "liaison-bench",
      dependencies: [
        "API", "Customers", "Demo", "Desk", "LiaisonForTests", "Outbound", "Store", "ContactModel", "Channels",
        "Telephony", "PostgresForTests", argumentParser, asyncHTTPClient, logging, nioCore, nioHTTP1, nioPosix, nioSSL,
        serviceLifecycle,
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"),
      ],
      path: "Benchmarks/liaison-bench", swiftSettings: strict),

    .executableTarget(
      name: "telephony-benchmark", dependencies: ["Telephony", "Channels"], path: "Benchmarks/telephony",
      exclude: ["README.md", "panoramisk_peer.py", "run"], swiftSettings: strict),
    .executableTarget(
      name: "SMSBench",
      dependencies: [
        "Channels", "ContactModel", "Demo", "LiaisonForTests", "SMS", "Store", asyncHTTPClient, logging, nioCore,
        nioHTTP1,
      ],
      path: "Benchmarks/SMS",
      swiftSettings: strict),

    .executableTarget(
      name: "mail-bench",
      dependencies: ["Demo", "LiaisonForTests", "Store", "ContactModel", "Channels", argumentParser],
      path: "Benchmarks/mail", swiftSettings: strict),

    // Tests.
    .target(name: "LiaisonForTests", path: "Tests/LiaisonForTests", swiftSettings: strict),
    .executableTarget(
      name: "crash-test",
      dependencies: [
        "LiaisonForTests", "Demo", "SMS", "Store", "ContactModel", "Channels", argumentParser, asyncHTTPClient, nioCore,
        nioHTTP1,
      ],
      path: "Tests/CrashTest", swiftSettings: strict),
    .executableTarget(
      name: "mail-crash-test",
      dependencies: [
        "Demo", "LiaisonForTests", "Store", "Channels", argumentParser, asyncHTTPClient, nioCore, nioHTTP1, nioPosix,
      ],
      path: "Tests/MailCrashTest", swiftSettings: strict),
    .executableTarget(
      name: "campaign-crash-test",
      dependencies: [
        "Demo", "LiaisonForTests", "Outbound", "Store", "ContactModel", "Channels", "SMS", argumentParser,
      ],
      path: "Tests/CampaignCrashTest", swiftSettings: strict),
    .testTarget(
      name: "CustomersTests", dependencies: ["Customers", "ContactModel", "Channels"], swiftSettings: strict),
    .testTarget(
      name: "IntakeTests",
      dependencies: ["Intake", "Customers", "Desk", "Store", "ContactModel", "Channels", "Telephony", logging],
      swiftSettings: strict),
    .testTarget(
      name: "DeskTests", dependencies: ["Desk", "Store", "ContactModel", "Channels", logging], swiftSettings: strict),
    .testTarget(
      name: "LiaisonTests",
      dependencies: [
        "liaison", "LiaisonForTests", "API", "Demo", "SMS", "Intake", "Outbound", "Store", "ContactModel", "Channels",
        "Email", "WebForms",
        asyncHTTPClient, crypto, logging, nioCore, nioHTTP1, nioPosix, serviceLifecycle,
      ],
      swiftSettings: strict),
    .target(
      name: "ChannelConformance", dependencies: ["Channels"], path: "Tests/ChannelConformance", swiftSettings: strict),
    .target(name: "PostgresForTests", path: "Tests/PostgresForTests", swiftSettings: strict),
    .executableTarget(
      name: "StoreCrashChild", dependencies: ["Store", "Channels"], path: "Tests/StoreCrashChild",
      swiftSettings: strict),
    .testTarget(name: "ChannelsTests", dependencies: ["Channels"], swiftSettings: strict),
    .testTarget(
      name: "ChannelConformanceTests", dependencies: ["ChannelConformance", "Channels"], swiftSettings: strict),
    .testTarget(
      name: "StoreTests", dependencies: ["Store", "Channels", "PostgresForTests", "StoreCrashChild"],
      swiftSettings: strict),
    .testTarget(
      name: "APITests",
      dependencies: [
        "API", "Channels", "ContactModel", "Customers", "Demo", "Desk", "Intake", "Outbound", "Store", "Telephony",
        "PostgresForTests", asyncHTTPClient, serviceLifecycle, logging, coreMetrics, crypto, nioCore, nioPosix,
        nioHTTP1, nioSSL,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "WebFormsTests", dependencies: ["WebForms", "ChannelConformance", "Channels"],
      path: "adapters/webform/Tests", swiftSettings: strict),
    .testTarget(
      name: "TelephonyTests",
      dependencies: ["Telephony", "ChannelConformance", "Demo", "Channels", logging, nioCore, nioPosix, nioSSL],
      path: "adapters/telephony/Tests", resources: [.copy("Fixtures")], swiftSettings: strict),
    .testTarget(
      name: "FaxTests",
      dependencies: ["Fax", "Demo", "LiaisonForTests", "ChannelConformance", "Channels", logging, nioCore, nioPosix],
      path: "adapters/fax/Tests", exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EmailTests",
      dependencies: ["Email", "ChannelConformance", "LiaisonForTests", "Channels", nioCore, nioPosix],
      path: "adapters/email/Tests",
      swiftSettings: strict),
    .testTarget(
      name: "SMSTests",
      dependencies: ["SMS", "Demo", "ChannelConformance", "Channels", logging, nioCore, nioHTTP1, nioPosix, nioSSL],
      path: "adapters/sms/Tests", exclude: ["Fixtures", "Peers"], swiftSettings: strict),
    .testTarget(
      name: "OutboundTests",
      dependencies: ["Outbound", "Store", "ContactModel", "Channels", "PostgresForTests", logging, yams],
      exclude: ["Fixtures"], swiftSettings: strict),
  ]
)
