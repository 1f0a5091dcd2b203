#!/bin/sh
# deps.sh - installs the Debian packages Volley needs, by group, only those that are missing.
#
#   .ci/deps.sh [--list] GROUP...      groups: build run test lint go
#
# Says what it installs and why before it does.  Works as root and through sudo; with
# neither it prints the command to run and exits 1.  A package that is only wanted (marked
# "opt" below) is left out with a notice when it cannot be had, or when it would push out
# something that is installed; what needs it is then skipped by the tests, with the reason.
#
# Servers come in for their programs only: nothing is started while packages are set up,
# and a service that was not there before is left disabled.
#
# --list prints the packages of the groups and installs nothing.
set -u

# group  need|opt  package  why
packages() {
    cat <<'TABLE'
build need gcc                     compiles
build need make                    compiles
build need libc6-dev               C library headers
build need liburing-dev            io_uring
build need android-libboringssl-dev TLS and DKIM signatures (BoringSSL)
build need libhiredis-dev          the Redis protocol
build need libyaml-dev             configuration files
build need libc-ares-dev           DNS
build need libidn2-dev             international domain names
run   need redis-server            holds the queue (only the program is used)
run   need tzdata                  time zones of delivery windows
test  need libcmocka-dev           unit tests
test  need python3                 test runner
test  need python3-pytest          end-to-end tests
test  need python3-redis           end-to-end tests submit through it
test  need python3-aiosmtpd        a receiver without PIPELINING
test  need python3-yaml            end-to-end tests write configurations
test  need openssl                 certificates for TLS tests
test  opt  postfix                 a real receiver (a private instance, never the service)
test  opt  knot                    a private name server for MX tests
test  opt  unbound                 a private validating resolver for MX tests
test  opt  iproute2                a network of its own for MX tests
test  opt  node-redis              the queue's README: its sample for Node
test  opt  php-cli                 its sample for PHP
test  opt  php-redis               its sample for PHP
test  opt  ruby                    its sample for Ruby
test  opt  ruby-redis              its sample for Ruby
test  opt  valgrind                leak check of a whole run
test  opt  clang                   fuzzing
test  opt  libclang-rt-dev         fuzzing
lint  opt  clang-format            form of C files
lint  opt  shellcheck              form of shell scripts
lint  opt  mandoc                  form of the manual pages
go    need golang-go               the queue's README: its sample for Go (465 MB)
go    need golang-github-gomodule-redigo-dev its sample for Go
TABLE
}

say() {
    printf 'deps: %s\n' "$*"
}

# Prints the lines of the given groups.
wanted() {
    for group in "$@"; do
        packages | awk -v g="$group" '$1 == g'
    done
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A virtual or provided package counts as known when apt can name a candidate for it.
known() {
    apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

missing() {
    wanted "$@" | while read -r _ need package why; do
        installed "$package" || printf '%s %s %s\n' "$need" "$package" "$why"
    done
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        --no-remove -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

apt_update() {
    say "reading the package lists (apt-get update)"
    as_root apt-get update -q -o DPkg::Lock::Timeout=300
}

# True when installing the package would remove something (postfix where exim4 lives).
pushes_out() {
    apt-get -s install --no-install-recommends "$1" 2>/dev/null | grep -q '^Remv '
}

policy=/usr/sbin/policy-rc.d
policy_ours=

# While packages are set up, invoke-rc.d and systemd ask this file; 101 means "do not start".
services_block() {
    [ -e "$policy" ] && return
    policy_ours=yes
    trap 'services_unblock' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

services_unblock() {
    if [ -n "$policy_ours" ]; then
        as_root rm -f "$policy"
        policy_ours=
    fi
}

# A service that came in by us is not to start at the next boot either.
service_disable() {
    if [ -e "/etc/init.d/$1" ] && command -v update-rc.d >/dev/null; then
        as_root update-rc.d "$1" disable >/dev/null 2>&1 &&
            say "$1: service left disabled; tests and demo start private instances"
    fi
}

list_only=
if [ "${1:-}" = --list ]; then
    list_only=yes
    shift
fi
for group in "$@"; do
    case $group in
    build | run | test | lint | go) ;;
    *)
        say "unknown group '$group'; groups are build, run, test, lint, go"
        exit 2
        ;;
    esac
done
if [ -n "$list_only" ]; then
    wanted "$@" | awk '{print $3}'
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: these have to be there under whatever name they have here:"
    wanted "$@" | awk '{printf "  %s", $3; $1 = $2 = $3 = ""; print " -" $0}'
    exit 0
fi

todo=$(missing "$@")
[ -z "$todo" ] && exit 0

say "these Debian packages are missing:"
printf '%s\n' "$todo" | while read -r _ package why; do
    printf '  %-26s %s\n' "$package" "$why"
done

needed=$(printf '%s\n' "$todo" | awk '$1 == "need" {print $2}')
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null ||
        { ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo -v; }; }; then
        say "installing them takes root, and sudo does not help here.  As root:"
        printf '  apt-get update && apt-get install --no-install-recommends %s\n' \
            "$(printf '%s\n' "$todo" | awk '{printf "%s ", $2}')"
        [ -z "$needed" ] && exit 0
        exit 1
    fi
fi

# Package lists are fetched when they lack something, and once more when an install fails.
updated=
for package in $(printf '%s\n' "$todo" | awk '{print $2}'); do
    if ! known "$package"; then
        apt_update || say "apt-get update failed; going on with the lists that are there"
        updated=yes
        break
    fi
done

install=
for package in $(printf '%s\n' "$todo" | awk '{print $2}'); do
    case " $(echo "$needed" | tr '\n' ' ') " in
    *" $package "*) install="$install $package" ;;
    *)
        if ! known "$package"; then
            say "$package: not in this release, left out"
        elif pushes_out "$package"; then
            say "$package: would remove installed packages, left out"
        else
            install="$install $package"
        fi
        ;;
    esac
done
[ -z "$install" ] && exit 0

services_block
# shellcheck disable=SC2086 # a list of names
if ! apt_install $install; then
    [ -n "$updated" ] && exit 1
    apt_update || exit 1
    # shellcheck disable=SC2086
    apt_install $install || exit 1
fi
for package in redis-server postfix knot unbound; do
    case "$install " in
    *" $package "*) service_disable "$package" ;;
    esac
done
services_unblock
say "done"
