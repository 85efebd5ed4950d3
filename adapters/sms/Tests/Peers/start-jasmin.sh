#!/bin/bash
# Start a real Jasmin SMS gateway (PyPI jasmin) with private Redis and RabbitMQ on loopback.
#   start-jasmin.sh DIR VENV [BASE]      VENV: virtualenv with `pip install jasmin` (Python 3.11 worked; use
#   jasmin==0.11.0: 0.11.1 from PyPI never matches a receipt, jookies/jasmin issue 1236)
#   start-jasmin.sh stop DIR
# Needs Debian redis-server and rabbitmq-server (not running as services).
# Ports (BASE default 20000): smpp server BASE+775, http api BASE+401, jcli BASE+990,
#   redis BASE+379, rabbit BASE+672, epmd BASE+369, erlang dist BASE+680.
set -u
if [ "${1:-}" = stop ]; then
  for p in jasmin redis rabbit epmd; do [ -f "$2/$p.pid" ] && kill "$(cat "$2/$p.pid")" 2>/dev/null; sleep 0.3; rm -f "$2/$p.pid"; done
  # rabbitmq-server's own pid file names the Erlang process behind its shell script
  [ -f "$2/rabbit/pid" ] && kill "$(cat "$2/rabbit/pid")" 2>/dev/null
  exit 0
fi
DIR=$(mkdir -p "$1" && cd "$1" && pwd); VENV=$2; B=${3:-20000}
mkdir -p "$DIR"/{redis,rabbit/log,rabbit/mnesia,log,store,etc/resource,home}
redis-server --port $((B+379)) --bind 127.0.0.1 --dir "$DIR/redis" --save "" --daemonize no >"$DIR/redis.out" 2>&1 & echo $! >"$DIR/redis.pid"
export HOME=$DIR/home ERL_EPMD_PORT=$((B+369)) ERL_EPMD_ADDRESS=127.0.0.1
epmd -port $((B+369)) -address 127.0.0.1 >"$DIR/epmd.out" 2>&1 & echo $! >"$DIR/epmd.pid"
cat > "$DIR/rabbitmq.conf" <<X
listeners.tcp.1 = 127.0.0.1:$((B+672))
loopback_users.guest = true
X
RS=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server | head -1)
RABBITMQ_NODENAME=jas@localhost RABBITMQ_DIST_PORT=$((B+680)) RABBITMQ_CONFIG_FILE="$DIR/rabbitmq" \
RABBITMQ_MNESIA_BASE="$DIR/rabbit/mnesia" RABBITMQ_LOG_BASE="$DIR/rabbit/log" RABBITMQ_PID_FILE="$DIR/rabbit/pid" \
RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/rabbit/plugins" RABBITMQ_CONF_ENV_FILE=/dev/null \
RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' "$RS" >"$DIR/rabbit.out" 2>&1 & echo $! >"$DIR/rabbit.pid"
for _ in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/$((B+672))) 2>/dev/null && break; sleep 0.2; done
SPEC=$(ls "$VENV"/lib/python3*/site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml | head -1)
cat > "$DIR/etc/jasmin.cfg" <<X
[smpp-server]
bind = 127.0.0.1
port = $((B+775))
billing_feature = False
[smpp-server-pb]
bind = 127.0.0.1
port = $((B+914))
[client-management]
bind = 127.0.0.1
port = $((B+989))
store_path = $DIR/store
[router]
bind = 127.0.0.1
port = $((B+988))
store_path = $DIR/store
persistence_timer_secs = 2
[service-smppclient]
[sm-listener]
[dlr]
dlr_lookup_retry_delay = 2
[amqp-broker]
host = 127.0.0.1
port = $((B+672))
spec = $SPEC
[http-api]
bind = 127.0.0.1
port = $((B+401))
billing_feature = False
[jcli]
bind = 127.0.0.1
port = $((B+990))
authentication = False
[redis-client]
host = 127.0.0.1
port = $((B+379))
X
export CONFIG_PATH=$DIR/etc/ LOG_PATH=$DIR/log ROOT_PATH=$DIR HOSTNAME=
mkdir -p "$DIR/var/log/jasmin" "$DIR/var/run" "$DIR/run" "$DIR/tmp" "$DIR/etc/jasmin/store"
unset HOSTNAME; export TMPDIR=$DIR/tmp
OPTS=; H=$("$VENV/bin/python3" "$VENV/bin/jasmind.py" --help 2>&1)   # option names differ between releases
for o in --enable-dlr-thrower --enable-dlr-lookup --enable-deliver-thrower; do case $H in *"$o "*) OPTS="$OPTS $o";; esac; done
# jasmind's lock is one file for the whole machine, and stays behind when it is killed: each gets its own
sed "s#/tmp/jasmind#$DIR/jasmind#" "$VENV/bin/jasmind.py" >"$DIR/jasmind.py"
"$VENV/bin/python3" "$DIR/jasmind.py" -c "$DIR/etc/jasmin.cfg" $OPTS >"$DIR/jasmin.out" 2>&1 & echo $! >"$DIR/jasmin.pid"
for _ in $(seq 150); do (exec 3<>/dev/tcp/127.0.0.1/$((B+990))) 2>/dev/null && break; sleep 0.2; done
echo "smpp server 127.0.0.1:$((B+775))  http http://127.0.0.1:$((B+401))/send  jcli telnet 127.0.0.1 $((B+990))"
