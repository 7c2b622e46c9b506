#!/usr/bin/env bash
# Prepares this machine to build, run and test Busted from this checkout:
#   1. Debian/Ubuntu packages that are missing (root only; without root it says which)
#   2. .venv with the locked dependencies, hashes checked, and Busted itself, editable
#   3. the eBPF objects
#   4. the Node.js packages that the end-to-end tests drive, and that build the dashboard's page
# `setup.sh guests` installs what boots other kernels too (make vm-test).
# Safe to repeat: what is up to date is left alone. Writes only below this checkout, apart
# from the packages of step 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}
digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
have() { command -v "$1" >/dev/null 2>&1; }

mkdir -p .cache
# `make run` beside `make test` on a fresh clone: the second waits for the first.
if have flock; then
    exec 9>.cache/setup.lock
    flock 9
fi

# --- 1. Packages: what must be there, and the package that brings it.

apt_updated=
apt_update() {
    [ -n "$apt_updated" ] && return
    apt-get update -q
    apt_updated=yes
}

# install WHY PACKAGE...: what cannot be installed is told at the end. Only Python is worth
# stopping for: without the others some things still work.
install() {
    local why=$1
    shift
    if [ "$(id -u)" != 0 ] || ! have apt-get; then
        missing+=("$why: install $* (only root can)")
        return
    fi
    say "$why: installing $*"
    apt_update >.cache/apt.log 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" \
            >>.cache/apt.log 2>&1 </dev/null ||
        missing+=("$why: apt-get install $* failed: $(tail -n 1 .cache/apt.log)")
}

# install_stopped UNIT WHY PACKAGE...: the same for a server that only tests start: its service runs
# neither now nor after the next boot.
install_stopped() {
    local unit=$1
    shift
    systemctl mask --runtime "$unit" >/dev/null 2>&1 || true
    install "$@"
    systemctl disable "$unit" >/dev/null 2>&1 || true
    systemctl unmask --runtime "$unit" >/dev/null 2>&1 || true
}

# Whether the distribution has the package, installed or not.
available() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

# Ubuntu's bpftool is a wrapper that fails where the tools of the running kernel are not there;
# those of another kernel do as well.
have_bpftool() {
    PATH=$PATH:/usr/sbin bpftool version >/dev/null 2>&1 || compgen -G '/usr/lib/linux-tools/*/bpftool' >/dev/null
}

# `grep -q` would leave early and, with pipefail, fail a writer that is not done.
have_library() { PATH=$PATH:/sbin ldconfig -p | grep -F "$1" >/dev/null; }

missing=()
have clang || install "no clang" clang
have gcc && [ -e /usr/include/stdlib.h ] || install "no C compiler" gcc libc6-dev
[ -e /usr/include/openssl/ssl.h ] || install "no headers of OpenSSL" libssl-dev
have llvm-strip || install "no llvm-strip" llvm
[ -e /usr/include/bpf/bpf_helpers.h ] || install "no headers of libbpf" libbpf-dev
have_library libbpf.so.1 || install "no libbpf.so.1" libbpf1
have curl || install "no curl" curl
have nghttpx || install "no nghttpx" nghttp2-proxy
[ -x /usr/local/go/bin/go ] || have go || install "no Go" golang-go
have chromium || install "no chromium" chromium fonts-dejavu-core
have wget || install "no wget, which brings GnuTLS" wget
have_library libcurl-nss.so.4 || ! available libcurl3-nss || install "no libcurl on NSS" libcurl3-nss
have ip || install "no ip" iproute2
have unshare && have nsenter && have flock || install "no unshare, nsenter or flock" util-linux
have nats-server || install_stopped nats-server "no nats-server" nats-server
PATH=$PATH:/usr/sbin have rsyslogd && compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null ||
    install_stopped rsyslog "no rsyslog with TLS" rsyslog rsyslog-openssl
have git || install "no git" git
have groff || install "no groff, which reads manual pages" groff-base
have gpg && have gpgconf && have gpg-agent || install "no gpg, which signs releases" gpg gpg-agent gpgconf
# Its tools check the unit; installed beside another init it starts nothing.
have systemd-analyze || install "no systemd-analyze" systemd
[ -e /etc/ssl/certs/ca-certificates.crt ] || install "no CA certificates" ca-certificates
if ! have node; then
    install "no node" nodejs npm
elif ! have npm; then
    install "no npm" npm
fi
if ! have_bpftool; then
    # Debian has a package for it; Ubuntu up to 24.04 ships it with the kernel's tools.
    [ "$(id -u)" = 0 ] && have apt-get && apt_update >.cache/apt.log 2>&1
    if available bpftool; then
        install "no bpftool" bpftool
    else
        install "no bpftool" linux-tools-common linux-tools-generic
    fi
fi

# A tool out of a package that would also start a service: it is unpacked, not installed.
unpack() {
    local tool=$1 package=$2
    [ -x ".cache/tools/$tool" ] && return
    if ! have apt-get; then
        missing+=("no $tool: it comes with the package $package")
        return
    fi
    say "fetching $tool"
    [ "$(id -u)" = 0 ] && apt_update >.cache/apt.log 2>&1
    rm -rf .cache/tools/unpacked && mkdir -p .cache/tools/unpacked
    if (cd .cache/tools && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb unpacked) \
        >>.cache/apt.log 2>&1; then
        mv ".cache/tools/unpacked/usr/bin/$tool" .cache/tools/
    else
        missing+=("no $tool: apt-get download $package failed: $(tail -n 1 .cache/apt.log)")
    fi
    rm -rf .cache/tools/unpacked .cache/tools/"$package"_*.deb
}
have promtool || unpack promtool prometheus

if [ "${1-}" = guests ]; then
    have qemu-system-x86_64 || install "no QEMU" qemu-system-x86
    # Both packages have the same command; only one of them needs no libraries.
    [ -e /usr/share/doc/busybox-static ] || install "no static busybox" busybox-static
    PATH=$PATH:/sbin:/usr/sbin have depmod || install "no depmod" kmod
fi

# --- 2. Python.

suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
complete() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
    python=
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        suitable "$python" && return
    done
    python=
}

if [ ! -x .venv/bin/python ] || ! suitable .venv/bin/python; then
    find_python
    if [ -z "$python" ]; then
        install "no Python 3.11 or later" python3 python3-venv
        find_python
    fi
    [ -n "$python" ] || fail "no Python 3.11 or later; install python3 (Debian 12, Ubuntu 24.04 or later have it)."
    if ! complete "$python"; then
        install "$python cannot make a virtual environment" \
            "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    complete "$python" || fail "$python cannot make a virtual environment (no ensurepip)." "${missing[@]}"
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

wanted=$(digest requirements/dev.lock pyproject.toml)
if [ "$(cat .venv/setup.stamp 2>/dev/null)" != "$wanted" ]; then
    say "installing the locked Python packages"
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e '.[full]'
    echo "$wanted" >.venv/setup.stamp
fi

# --- 3. eBPF objects; without a compiler the pure parts still work.

if have clang && have llvm-strip; then
    .venv/bin/python -m xtask build-ebpf
else
    missing+=("the eBPF objects are not built: no clang or no llvm-strip")
fi

# --- 4. Node.js packages, each set beside a copy of its lock.

# npm_packages WHERE FROM WHAT
npm_packages() {
    local where=$1 from=$2 what=$3 wanted
    [ -e "$from/package-lock.json" ] && have npm || return 0
    wanted=$(digest "$from/package.json" "$from/package-lock.json")
    [ "$(cat "$where/setup.stamp" 2>/dev/null)" = "$wanted" ] && return
    say "installing $what"
    rm -rf "$where"
    mkdir -p "$where"
    cp "$from/package.json" "$from/package-lock.json" "$where/"
    if npm ci --prefix "$where" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >.cache/npm.log 2>&1; then
        echo "$wanted" >"$where/setup.stamp"
    else
        missing+=("$what: npm ci failed: $(tail -n 1 .cache/npm.log)")
    fi
}
npm_packages .cache/node tests/e2e/clients "the Node.js clients of the end-to-end tests"
npm_packages .cache/web src/busted/ui/web "what builds the dashboard's page"

if [ ${#missing[@]} -gt 0 ]; then
    say "not everything is here; what needs it will say so:"
    printf '  %s\n' "${missing[@]}"
fi
