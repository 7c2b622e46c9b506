#!/usr/bin/env bash
# Packs what `VENV=/usr/lib/busted scripts/image.sh build` made on this machine into a Debian package:
#
#   deb.sh DIRECTORY     writes DIRECTORY/busted_VERSION_ARCHITECTURE.deb, and prints its name
#
# It holds Busted with all extras and locked versions of what it needs, for the Python of the release
# that it is made on; the service, which is not started before somebody says so; its configuration
# and the policies. As root, so that the files in it are root's.
set -euo pipefail
target=$(readlink -f "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=/usr/lib/busted
version=$($venv/bin/python -c 'import busted; print(busted.__version__)')
minor=$($venv/bin/python -c 'import sys; print(sys.version_info[1])')
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

mkdir -p "$tree"/{DEBIAN,usr/bin,usr/lib,usr/share/busted,usr/share/doc/busted,lib/systemd/system,etc/busted}
cp -a $venv "$tree/usr/lib/"
# Bytecode is made by postinst, as for other packages: it is a third of the size.
find "$tree/usr/lib/busted" -name __pycache__ -prune -exec rm -rf {} +
ln -s ../lib/busted/bin/busted "$tree/usr/bin/busted"
ln -s "../../lib/busted/lib/python3.$minor/site-packages/busted/policies" "$tree/usr/share/busted/policies"
sed 's|/usr/local/bin/busted|/usr/bin/busted|' deploy/systemd/busted.service >"$tree/lib/systemd/system/busted.service"
cp -r deploy/systemd/drop-ins "$tree/usr/share/doc/busted/"
install -m 644 deploy/config.toml "$tree/etc/busted/config.toml"
cp docs/service.md docs/settings.md CHANGELOG.md "$tree/usr/share/doc/busted/"
$venv/bin/python -m xtask shell-files "$tree/usr"
# Where Debian's zsh looks for what packages bring.
mv "$tree/usr/share/zsh/site-functions" "$tree/usr/share/zsh/vendor-completions"
gzip -9n "$tree"/usr/share/man/man1/*.1
# Of what comes with it the licenses stand in each *.dist-info.
cat LICENSE bpf/LICENSE >"$tree/usr/share/doc/busted/copyright"

cat >"$tree/DEBIAN/control" <<END
Package: busted
Version: $version
Architecture: $architecture
Maintainer: The Busted project
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f 1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), libbpf1, ca-certificates
Description: shows what AI agents on this host really say and do
 Reads plaintext at the TLS library with eBPF, tells prompts, answers and tool calls, and stops
 what policy forbids. Start it with: systemctl enable --now busted
END
echo /etc/busted/config.toml >"$tree/DEBIAN/conffiles"

cat >"$tree/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    /usr/lib/busted/bin/python -m compileall -q /usr/lib/busted/lib || true
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # After an upgrade; at first it is not running.
        systemctl try-restart busted.service || true
    fi
fi
END
cat >"$tree/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now busted.service || true
fi
find /usr/lib/busted -name __pycache__ -prune -exec rm -rf {} +
END
cat >"$tree/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ]; then
    # Of a service with DynamicUser=yes the first are links to the second.
    rm -rf /var/lib/busted /var/lib/private/busted /var/log/busted /var/log/private/busted
    rmdir /etc/busted 2>/dev/null || true
fi
END
chmod 755 "$tree"/DEBIAN/{postinst,prerm,postrm}
mkdir -p "$target"
dpkg-deb --root-owner-group -Zxz --build "$tree" "$target/busted_${version}_$architecture.deb" >/dev/null
echo "$target/busted_${version}_$architecture.deb"
