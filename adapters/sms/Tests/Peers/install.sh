#!/bin/bash
# Installs the real peers of the SMS tests: Kannel, and Jasmin 0.11.0 (0.11.1 never matches a receipt) with its Redis and
# RabbitMQ, which the tests start by themselves on loopback.   install.sh [VENV]     default: /var/tmp/liaison-peers/jasmin
set -eu
venv=${1:-/var/tmp/liaison-peers/jasmin}
apt-get install -y --no-install-recommends kannel kannel-extras redis-server rabbitmq-server
for s in kannel redis-server rabbitmq-server; do service "$s" stop || true; done
[ -x "$venv/bin/jasmind.py" ] || { python3 -m venv "$venv" && "$venv/bin/pip" -q install jasmin==0.11.0; }
