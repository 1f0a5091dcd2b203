#!/bin/sh
# clean_root.sh - runs Volley's two commands in a Debian root that has nothing installed.
#
#   tests/clean_root.sh SUITE [CHECK...]      SUITE: bookworm, trixie
#                                             CHECK: demo, demo-user, test, shell (default:
#                                             demo demo-user test, each in a fresh root)
#
# Needs root, debootstrap and the network.  The commit HEAD is what is tested.  A base root
# is made once for each suite and kept as a tarball in $CLEAN_ROOT_CACHE
# (~/.cache/volley-roots); roots for checks live in $CLEAN_ROOT_WORK (/var/tmp) and are
# removed at the end unless KEEP=1.  Package sources, proxy and credentials are those of
# this machine, with the suite's name put in; they are copied at run time only.
#
# A check runs in its own mount and process namespace: nothing stays mounted or running.
set -eu

self=$(readlink -f "$0")
top=$(dirname "$(dirname "$self")")

# ---- inside the namespaces -----------------------------------------------------------------

run_inside() {
    root=$1
    check=$2
    mount -t proc proc "$root/proc"
    mount --bind /sys "$root/sys"
    mount --bind /dev "$root/dev"
    mkdir -p "$root/dev/shm"
    mount -t tmpfs shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts" ||
        mount --bind /dev/pts "$root/dev/pts"
    enter="chroot $root env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 TERM=dumb"
    for name in http_proxy https_proxy no_proxy; do
        eval "value=\${$name:-}"
        [ -n "$value" ] && enter="$enter $name=$value"
    done
    # Someone who types `make demo` has make, and sudo unless he is root.
    $enter apt-get update -q
    $enter DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends make sudo
    case $check in
    demo) $enter HOME=/root make -C /root/volley demo ;;
    test) $enter HOME=/root make -C /root/volley test ;;
    shell) $enter HOME=/root bash -i ;;
    demo-user)
        $enter useradd -m -s /bin/bash tester
        echo 'tester ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/tester"
        mv "$root/root/volley" "$root/home/tester/volley"
        $enter chown -R tester: /home/tester
        $enter su - tester -c 'make -C volley demo'
        ;;
    esac
    # What Volley leaves running would be seen here; the namespace takes it down afterwards.
    left=$($enter ps -eo comm= | grep -E 'redis|valkey|volley|master|smtpd|knotd' || true)
    if [ -n "$left" ]; then
        echo "clean_root: still running after '$check':"
        echo "$left"
        return 1
    fi
}

if [ "${1:-}" = --inside ]; then
    run_inside "$2" "$3"
    exit
fi

# ---- the base root of a suite --------------------------------------------------------------

suite=${1:?usage: clean_root.sh bookworm|trixie [demo|demo-user|test|shell]...}
shift
[ $# -gt 0 ] || set -- demo demo-user test
cache=${CLEAN_ROOT_CACHE:-${HOME:-/root}/.cache/volley-roots}
work=${CLEAN_ROOT_WORK:-/var/tmp}
base=$cache/$suite.tar
mkdir -p "$cache"

base_make() {
    echo "clean_root: making the base root of $suite (once)"
    root=$(mktemp -d "$work/volley-base.XXXXXX")
    unshare -m debootstrap --variant=minbase --include=ca-certificates,procps "$suite" "$root" \
        ${CLEAN_ROOT_MIRROR:+"$CLEAN_ROOT_MIRROR"} >"$cache/$suite.log" 2>&1 || {
        tail -n 5 "$cache/$suite.log"
        rm -rf --one-file-system "$root"
        return 1
    }
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar --numeric-owner -C "$root" -cf "$base.tmp" . && mv "$base.tmp" "$base"
    rm -rf --one-file-system "$root"
}

# Puts this machine's package sources for Debian into a root, for its suite.
apt_copy() {
    root=$1
    # shellcheck source=/dev/null
    . /etc/os-release
    rm -f "$root/etc/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [ -s "$file" ] && sed "s/\\b$VERSION_CODENAME\\b/$suite/g" "$file" >"$root$file"
    done
    if [ -d /etc/apt/auth.conf.d ]; then
        cp -R /etc/apt/auth.conf.d/. "$root/etc/apt/auth.conf.d/"
    fi
    apt-config dump Acquire >"$root/etc/apt/apt.conf.d/99host"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ -d /usr/local/share/ca-certificates ]; then
        cp -RL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
        chroot "$root" update-ca-certificates >/dev/null 2>&1 || true
    fi
}

[ -s "$base" ] || base_make

# ---- the checks ----------------------------------------------------------------------------

root=
cleanup() {
    if [ -n "$root" ] && [ -z "${KEEP:-}" ]; then
        rm -rf --one-file-system "$root"
    fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

failed=0
for check in "$@"; do
    root=$(mktemp -d "$work/volley-$suite.XXXXXX")
    tar --numeric-owner -C "$root" -xf "$base"
    chmod 755 "$root" # a user has to get through "/", whatever the tarball says
    apt_copy "$root"
    mkdir "$root/root/volley"
    git -C "$top" archive HEAD | tar -C "$root/root/volley" -x
    start=$(date +%s)
    log=$cache/$suite-$check.log
    echo "clean_root: $suite: $check (log in $log)"
    status=0
    if [ "$check" = shell ]; then
        unshare -m -p -f --kill-child "$self" --inside "$root" "$check" || status=$?
    else
        unshare -m -p -f --kill-child "$self" --inside "$root" "$check" >"$log" 2>&1 || status=$?
        tail -n 25 "$log"
    fi
    echo "clean_root: $suite: $check: exit $status after $(($(date +%s) - start)) s"
    [ "$status" -eq 0 ] || failed=1
    cleanup
    root=
done
exit $failed
