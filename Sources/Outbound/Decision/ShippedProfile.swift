import Foundation

extension PurposeProfileText {
  /// The profile Liaison ships, so that `liaison decide` needs no file and a new database has one to begin with.
  ///
  /// The same as config/params/purpose-profile.yaml, which says what the keys mean; a test holds them equal.
  public static func shipped() throws -> PurposeProfileText {
    try JSONDecoder().decode(PurposeProfileText.self, from: Data(shippedText.utf8))
  }

  public static let shippedText = #"""
    {
      "channels": ["phone", "sms", "email", "fax"],
      "critical": ["security", "regulatory"],
      "dnd_exempt": ["security"],
      "unknown_tz": ["Asia/Shanghai"],
      "pause_recheck_s": 60,
      "requested_slack_s": 1800,
      "flood_per_hour": 20,
      "horizon_days": 35,
      "no_minor": ["marketing", "survey", "collections"],
      "holdout_purposes": ["marketing", "care"],
      "household_purposes": ["marketing"],
      "rm_exempt": ["security", "transaction", "regulatory"],
      "stop_blocks": {
        "promo": ["marketing", "survey", "care"],
        "all": ["marketing", "survey", "care", "collections", "service", "transaction", "regulatory"]
      },
      "purposes": {
        "security": {"order": ["sms", "phone", "email"], "wait_min": 0},
        "regulatory": {"order": ["email", "sms", "phone", "fax"], "wait_min": 1440, "windows": {
          "phone": {"bank": {"from": "09:00", "to": "20:00"}}
        }},
        "transaction": {"order": ["sms", "email", "phone", "fax"], "wait_min": 0, "windows": {
          "phone": {"bank": {"from": "08:00", "to": "21:00"}}
        }},
        "service": {"order": ["sms", "email", "phone", "fax"], "wait_min": 120, "windows": {
          "phone": {"bank": {"from": "09:00", "to": "20:00"}},
          "sms": {"bank": {"from": "08:00", "to": "22:00"}}
        }},
        "care": {"order": ["sms", "phone", "email"], "wait_min": 4320, "windows": {
          "phone": {"statutory": {"from": "08:00", "to": "21:00"}, "bank": {"from": "09:00", "to": "20:00"}},
          "sms": {"statutory": {"from": "08:00", "to": "21:00"}, "bank": {"from": "09:00", "to": "20:00"}}
        }},
        "survey": {"order": ["sms", "email", "phone"], "wait_min": 4320, "windows": {
          "phone": {"statutory": {"from": "08:00", "to": "21:00"},
            "bank": {"from": "10:00", "to": "18:00", "days": [1, 2, 3, 4, 5]}},
          "sms": {"statutory": {"from": "08:00", "to": "21:00"}, "bank": {"from": "09:00", "to": "20:00"}}
        }},
        "marketing": {"order": ["sms", "email", "phone", "fax"], "opt_in": true, "wait_min": 4320, "windows": {
          "phone": {"statutory": {"from": "08:00", "to": "21:00"}, "bank": {"from": "09:00", "to": "20:00"}},
          "sms": {"statutory": {"from": "08:00", "to": "21:00"}, "bank": {"from": "09:00", "to": "20:00"}},
          "fax": {"statutory": {"from": "08:00", "to": "21:00"}}
        }},
        "collections": {"order": ["phone", "sms"], "wait_min": 1440, "windows": {
          "phone": {"statutory": {"from": "08:00", "to": "22:00"}, "bank": {"from": "09:00", "to": "20:00"}},
          "sms": {"statutory": {"from": "08:00", "to": "22:00"}, "bank": {"from": "09:00", "to": "20:00"}}
        }}
      },
      "caps": [
        {"id": "promo-all-7d", "kind": "bank", "applies": ["marketing", "survey", "care"],
          "counts": ["marketing", "survey", "care"], "n": 3, "hours": 168},
        {"id": "mkt-sms-7d", "kind": "bank", "applies": ["marketing"],
          "counts": ["marketing"], "ch": "sms", "n": 2, "hours": 168},
        {"id": "mkt-phone-7d", "kind": "bank", "applies": ["marketing"],
          "counts": ["marketing"], "ch": "phone", "n": 1, "hours": 168},
        {"id": "mkt-email-7d", "kind": "bank", "applies": ["marketing"],
          "counts": ["marketing"], "ch": "email", "n": 2, "hours": 168},
        {"id": "survey-30d", "kind": "bank", "applies": ["survey"],
          "counts": ["survey"], "n": 1, "hours": 720},
        {"id": "coll-answered-day", "kind": "statutory", "applies": ["collections"],
          "counts": ["collections"], "ch": "phone", "answered": true, "n": 3, "calendar_day": true},
        {"id": "coll-7in7", "kind": "statutory", "applies": ["collections"],
          "counts": ["collections"], "ch": "phone", "n": 7, "hours": 168}
      ]
    }
    """#
}
