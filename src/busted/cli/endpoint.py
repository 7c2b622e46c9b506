"""Where to listen, as options say it: ADDRESS:PORT."""

from __future__ import annotations

import click

from busted.agent.endpoint import Endpoint
from busted.agent.settings import Address, WrongValue


def endpoint(_: click.Context, __: click.Parameter, text: str | None) -> Endpoint | None:
    """Return what the text of an option says. Raises BadParameter."""
    try:
        chosen: Endpoint | None = Address().of_text(text or "")
    except WrongValue as error:
        raise click.BadParameter(f"{error}.") from error
    return chosen
