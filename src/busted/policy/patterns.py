r"""Makes a regular expression mean in regorus what it means in OPA.

OPA has RE2, where `\w`, `\d`, `\s` and `\b` are ASCII; regorus has the crate `regex`, where they
are Unicode. Only they are written otherwise, in the source of the policy, as it stands between the
quotes. `\B` stays as it is, since the crate has no ASCII form of it for text.

Reference: https://github.com/google/re2/wiki/Syntax; https://docs.rs/regex/latest/regex/#syntax
"""

from __future__ import annotations

_MEMBERS = {"d": "0-9", "w": "0-9A-Za-z_", "s": "{0}t{0}n{0}f{0}r "}


def as_re2(source: str, *, raw: bool) -> str:
    """Return a pattern as it is to be written for the crate; `raw`: it stands in back-quotes."""
    backslash = "\\" if raw else "\\\\"
    written: list[str] = []
    at = 0
    # Where the bracket expression began that this is in.
    opened: int | None = None
    while at < len(source):
        if source.startswith(backslash, at):
            after = at + len(backslash)
            # What is escaped may be a backslash, which is two in quotes.
            size = len(backslash) if source.startswith(backslash, after) else 1
            letter = source[after : after + size]
            written.append(_class(letter, backslash, inside=opened is not None))
            at = after + size
            continue
        character = source[at]
        if opened is None and character == "[":
            opened = at + 2 if source.startswith("[^", at) else at + 1
            written.append(source[at:opened])
            # A bracket that comes first is a member.
            if source.startswith("]", opened):
                written.append("]")
                opened += 1
            at = opened
            continue
        if (
            opened is not None
            and source.startswith("[:", at)
            and (end := source.find(":]", at)) > 0
        ):
            written.append(source[at : end + 2])
            at = end + 2
            continue
        if opened is not None and character == "]":
            opened = None
        written.append(character)
        at += 1
    return "".join(written)


def _class(letter: str, backslash: str, *, inside: bool) -> str:
    members = _MEMBERS.get(letter.lower(), "").format(backslash)
    if letter == "b" and not inside:
        return f"(?-u:{backslash}b)"
    if not members:
        return backslash + letter
    if letter.isupper():
        return f"[^{members}]"
    return members if inside else f"[{members}]"
