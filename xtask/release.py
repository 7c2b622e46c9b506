"""The files of a release, in dist/: `python -m xtask release-files` (make release-files).

The wheel and the source, a bill of materials (CycloneDX) of what they bring and what the lock has
them install, SHA256SUMS of all that lies in dist/ of this version, and its signature where a key is
given. Nothing in them depends on when, where or by whom they were made.

Left out of the bill: which package needs which, since the lock does not tell.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from xtask import versions

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LOCK = ROOT / "requirements/runtime.lock"
# What is baked into the dashboard's page.
WEB_LOCK = ROOT / "src/busted/ui/web/package-lock.json"
SUMS = "SHA256SUMS"
# An armored secret key of GnuPG, without a passphrase.
KEY_VARIABLE = "BUSTED_RELEASE_KEY"

# `name==1.2 ; marker \`, as uv writes it.
_LOCKED = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))? \\$", re.MULTILINE)

Object = dict[str, Any]


def main() -> int:
    """Make all files, and say which; 1 when one cannot be made."""
    version = versions.current()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST)]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        return 1
    bill = DIST / f"busted-{version}.cdx.json"
    bill.write_text(json.dumps(bill_of_materials(version), indent=2) + "\n")
    files = sorted(file for file in DIST.iterdir() if is_of(version, file.name))
    (DIST / SUMS).write_text(checksums(files))
    print("\n".join(f"made dist/{each.name}" for each in [*files, DIST / SUMS]))
    print(sign(DIST / SUMS, os.environ.get(KEY_VARIABLE, "")))
    return 0


def bill_of_materials(version: str) -> Object:
    """Return what Busted consists of: https://cyclonedx.org/docs/1.6/json/."""
    components = [
        *(_component("pypi", *row) for row in _LOCKED.findall(LOCK.read_text())),
        *(_component("npm", *row) for row in _of_the_page()),
    ]
    root = {"bom-ref": "busted", "type": "application", "name": "busted", "version": version}
    # The same components are the same bill.
    identity = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([root, components]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity}",
        "version": 1,
        "metadata": {
            "component": {**root, "licenses": [{"expression": "MIT AND GPL-2.0-only"}]},
        },
        "components": components,
    }


def _component(ecosystem: str, name: str, version: str, marker: str) -> Object:
    # https://github.com/package-url/purl-spec: an @ before a scope is escaped.
    purl = f"pkg:{ecosystem}/{name.replace('@', '%40')}@{version}"
    made: Object = {
        "bom-ref": purl,
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
    }
    if marker:
        made["properties"] = [{"name": "busted:marker", "value": marker}]
    return made


def _of_the_page() -> list[tuple[str, str, str]]:
    """Return name, version and no marker of each npm package that is not for building only."""
    packages = json.loads(WEB_LOCK.read_text())["packages"]
    return [
        (path.rpartition("node_modules/")[2], package["version"], "")
        for path, package in packages.items()
        if path and not package.get("dev")
    ]


def is_of(version: str, name: str) -> bool:
    """Tell whether a file of dist/ is one of this version, by its name."""
    return re.match(rf"busted[-_]{re.escape(version)}(?![0-9])(?!\.[0-9])", name) is not None


def checksums(files: list[Path]) -> str:
    """Return the lines that `sha256sum --check` takes."""
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)


def sign(file: Path, key: str) -> str:
    """Sign a file with this key, into FILE.asc, and return what was done.

    Without a key there is no signature, and none of an earlier run stays.
    """
    signature = file.with_name(f"{file.name}.asc")
    signature.unlink(missing_ok=True)
    if not key:
        return f"not signed: {KEY_VARIABLE} holds no key"
    # A keyring that ends with this, so that no other key can be taken.
    with tempfile.TemporaryDirectory(prefix="busted-release-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        subprocess.run([*gpg, "--import"], input=key, text=True, check=True)
        try:
            subprocess.run(
                [*gpg, "--armor", "--detach-sign", "--output", signature, file], check=True
            )
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)
    return f"signed: dist/{signature.name}"


if __name__ == "__main__":
    sys.exit(main())
