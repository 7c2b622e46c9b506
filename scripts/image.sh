#!/usr/bin/env bash
# The steps of the image, for deploy/docker/Dockerfile and for tests/image alike, so that what is
# tested is what is shipped even where no engine is. As root, on Debian or what is made of it:
#
#   image.sh build      what the image needs from this checkout: /opt/busted, with all extras; VENV
#                       names another place, as scripts/deb.sh needs it
#   image.sh runtime    what it needs besides, in the last stage: one library, the command, a user
#
# The first needs a compiler and leaves it behind; the last stage takes /opt/busted from it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${VENV-/opt/busted}

# apt_install PACKAGE...: and keep no lists of packages, which would be half of a small layer.
apt_install() {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
    rm -rf /var/lib/apt/lists/*
}

build() {
    apt_install clang llvm libbpf-dev
    python3 -m venv $venv
    $venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements/runtime.lock
    # What builds the wheel: the version that pyproject.toml names.
    $venv/bin/pip wheel -q --disable-pip-version-check --no-cache-dir --no-deps -w /tmp/dist .
    $venv/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-deps /tmp/dist/busted-*.whl
    # The image installs nothing more.
    $venv/bin/pip uninstall -q -y pip setuptools
    rm -rf /tmp/dist
}

runtime() {
    # Where Python is the distribution's, as in tests/image; the images of Python have their own.
    if command -v python3 >/dev/null; then
        apt_install libbpf1 ca-certificates
    else
        apt_install libbpf1 ca-certificates python3
    fi
    ln -sf /opt/busted/bin/busted /usr/local/bin/busted
    mkdir -p /usr/share/busted
    ln -sfn "$(/opt/busted/bin/python -c 'import busted; print(busted.__path__[0])')/policies" /usr/share/busted/policies
    getent passwd busted >/dev/null || useradd --system --uid 65532 --no-create-home --shell /usr/sbin/nologin busted
}

case "${1-}" in
build | runtime) "$1" ;;
*)
    echo "usage: image.sh build | runtime" >&2
    exit 2
    ;;
esac
