#!/bin/sh
# Redirects a pod's or task's TCP traffic to throughline, which must run with `transparent: on`.
#
#   rules.sh up --proxy-uid 1337 --app-ports 3000        # callers' connections and the app's calls
#   rules.sh down                                        # as if it had never been there
#   rules.sh show
#
# It runs in the network namespace of the app, with NET_ADMIN (an init container). The proxy itself runs
# under a user of its own, which is how the kernel tells its calls from the app's.
# To run it again replaces what it made before. If the proxy is gone and the rules are not, connections are
# refused: nothing passes by unseen.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: rules.sh up [OPTION VALUE]... | down | show

  --proxy-uid UID             the user that throughline runs as; what it calls is left alone (needed)
  --app-ports P,P             ports of the app whose callers are redirected; none: only its calls are
  --inbound-port PORT         where throughline takes callers (15006)
  --outbound-port PORT        where throughline takes calls (15001)
  --exclude-ports P,P         ports that calls go to directly (53)
  --exclude-addresses A,A     addresses and networks that calls go to directly
                              (169.254.0.0/16; for IPv6 fe80::/10,fd00:ec2::/32)
  --family 4|6                IPv4 (the default) or IPv6; throughline must listen in the same
TEXT
    exit 2
}

fail() { printf 'rules.sh: %s\n' "$1" >&2; exit 2; }

action=${1:-}
case $action in up | down | show) shift ;; *) usage ;; esac

proxy_uid='' app_ports='' inbound_port=15006 outbound_port=15001
exclude_ports=53 exclude_addresses='' family=4
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 has no value"
    case $1 in
        --proxy-uid) proxy_uid=$2 ;;
        --app-ports) app_ports=$2 ;;
        --inbound-port) inbound_port=$2 ;;
        --outbound-port) outbound_port=$2 ;;
        --exclude-ports) exclude_ports=$2 ;;
        --exclude-addresses) exclude_addresses=$2 ;;
        --family) family=$2 ;;
        *) fail "$1 is no option; see rules.sh without any" ;;
    esac
    shift 2
done
case $family in
    4) tables=iptables loopback=127.0.0.0/8 metadata=169.254.0.0/16 ;;
    6) tables=ip6tables loopback=::1/128 metadata=fe80::/10,fd00:ec2::/32 ;;
    *) fail "--family $family is neither 4 nor 6" ;;
esac
command -v "$tables" >/dev/null || fail "$tables is missing; install iptables"

nat() { "$tables" --wait --table nat "$@"; }
each() { printf '%s\n' "$1" | tr ',' '\n' | sed '/^$/d'; }
ports() {
    for port in $(each "$2"); do
        case $port in '' | *[!0-9]*) fail "$1 $2: $port is no port" ;; esac
        if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then fail "$1 $2: $port is no port"; fi
    done
}

# A chain of ours goes in two steps: nobody may jump to it any more, and then it may not hold anything.
remove() {
    while nat --delete "$2" --jump "$1" 2>/dev/null; do :; done
    nat --flush "$1" 2>/dev/null || return 0
    nat --delete-chain "$1"
}
down() {
    remove THROUGHLINE_IN PREROUTING
    remove THROUGHLINE_OUT OUTPUT
}

up() {
    case $proxy_uid in
        '' | *[!0-9]*) fail "--proxy-uid ${proxy_uid:-(none)}: say the number of the user that throughline runs as" ;;
    esac
    ports --app-ports "$app_ports"
    ports --inbound-port "$inbound_port"
    ports --outbound-port "$outbound_port"
    ports --exclude-ports "$exclude_ports"
    down
    # A failure half way must not leave half of it.
    trap 'down' EXIT

    nat --new-chain THROUGHLINE_IN
    for port in $(each "$app_ports"); do
        nat --append THROUGHLINE_IN --protocol tcp --dport "$port" \
            --jump REDIRECT --to-ports "$inbound_port"
    done

    nat --new-chain THROUGHLINE_OUT
    nat --append THROUGHLINE_OUT --match owner --uid-owner "$proxy_uid" --jump RETURN
    nat --append THROUGHLINE_OUT --out-interface lo --jump RETURN
    for network in "$loopback" $(each "${exclude_addresses:-$metadata}"); do
        nat --append THROUGHLINE_OUT --destination "$network" --jump RETURN
    done
    for port in $(each "$exclude_ports"); do
        nat --append THROUGHLINE_OUT --protocol tcp --dport "$port" --jump RETURN
    done
    nat --append THROUGHLINE_OUT --protocol tcp --jump REDIRECT --to-ports "$outbound_port"

    # Last, so that nothing is redirected before all is there.
    nat --append PREROUTING --jump THROUGHLINE_IN
    nat --append OUTPUT --jump THROUGHLINE_OUT
    trap - EXIT
}

case $action in
    up) up ;;
    down) down ;;
    show)
        nat --list-rules THROUGHLINE_IN 2>/dev/null || echo "no callers are redirected"
        nat --list-rules THROUGHLINE_OUT 2>/dev/null || echo "no calls are redirected"
        ;;
esac
