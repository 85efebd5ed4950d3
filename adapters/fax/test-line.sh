#!/bin/bash
# adapters/fax/test-line.sh [--slow]: the fax tests over a real telephone line (what `make test-fax` runs; root).
#
# Starts two software modems, two HylaFAX servers and an exchange (../shared/peers/fax), runs the adapter's LineTests and
# the daemon's FaxLineTests, stops what it started. Audio is in real time: 5 minutes, with --slow (no answer, a person, a
# cut line) 13. SWIFT_TEST is the command that runs tests. Needs the Debian packages of packages.list.
set -u
cd "$(dirname "$0")/../.." || exit 1
peers=$(cd ../shared/peers/fax 2>/dev/null && pwd) || { echo "no ../shared/peers/fax: not run"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 1; }
base=$(mktemp -d /var/tmp/liaison-fax-line.XXXXXX)
"$peers/fax-line.sh" start "$base" --switch "$peers/iaxswitch.py" </dev/null
# Sessions of a server that was restarted outlive it: they name the same folder, which is ours alone.
end() {
  "$peers/fax-line.sh" stop "$base"
  for pid in $(pgrep -f "^hfaxd .*$base/"); do kill -9 "$pid"; done
  rm -rf "$base"
}
trap end EXIT
for _ in $(seq 80); do
  [ "$(cat "$base"/*/status/ttyIAX* 2>/dev/null | grep -c idle)" = 2 ] && break
  sleep 0.5
done
[ "${1-}" = --slow ] && export LIAISON_FAX_SLOW=1
export LIAISON_FAX_LINE=$base
# One after the other: there is one line.
result=0
for suite in 'FaxTests\.LineTests' 'LiaisonTests\.FaxLineTests'; do
  ${SWIFT_TEST:-swift test} --filter "$suite" || result=1
done
exit $result
