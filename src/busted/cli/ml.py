"""`busted ml`: train the model of behaviour, measure one, and find what is alike."""

from __future__ import annotations

from pathlib import Path

import click

from busted import __version__
from busted.agent.config import Tables
from busted.cli.configuration import config_option

_FILES = click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
_MODEL = click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A model of `busted ml train`.  [default: the one that comes with Busted]",
)
_PLOTS = click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Draw PNG pictures into this directory.",
)


@click.group("ml")
def ml() -> None:
    """Train and measure the model of what connections behave like; needs the extra `ml`."""


@ml.command("train")
@click.option(
    "--from",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A recording of `busted monitor --record`, or a file of samples; repeatable.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the model goes.",
)
@config_option
def train(files: tuple[Path, ...], output: Path, tables: Tables) -> None:
    """Train a model.

    Of a recording, the connections that could be read are trained with: they say themselves what
    they are. It takes both streamed answers of models and other traffic, of two clients at least.
    """
    from busted.agent import behaviour_training as training

    training.require_ml()
    samples, description = training.read_all(files, tables)
    forest = training.train(samples, description, __version__)
    training.write_model(forest, output)
    model = forest.model
    click.echo(f"{len(samples)} windows, {len(model.trees)} trees, hash {model.hash[:12]}")
    if model.figures:
        click.echo(
            f"held out: precision {model.figures.precision:.3f}, recall {model.figures.recall:.3f},"
            f" calibration error {model.figures.calibration_error:.3f}"
        )


@ml.command("evaluate")
@_FILES
@_MODEL
@click.option(
    "--part",
    type=click.Choice(("train", "held_out", "unseen", "all")),
    default="all",
    help="Which samples; those of recordings are all `train`.  [default: all]",
)
@_PLOTS
@config_option
def evaluate(
    files: tuple[Path, ...], model: Path | None, part: str, plots: Path | None, tables: Tables
) -> None:
    """Measure a model on samples, or on connections of recordings that could be read."""
    from busted.agent import behaviour_training as training
    from busted.agent.behaviour import shipped_model
    from busted.ml.measure import measure

    if plots:
        training.require_ml()
    samples, _ = training.read_all(files, tables)
    forest = training.read_model(model) if model else shipped_model()
    found = measure(forest, (s for s in samples if part in ("all", s.part)))
    click.echo(f"precision {found.precision:.3f}, recall {found.recall:.3f}")
    click.echo(f"calibration error {found.calibration_error:.3f}, not LLM {found.not_llm:.3f}")
    for kind, called in found.kinds.items():
        click.echo(
            f"{kind}: {called.windows} windows, llm {called.llm}, "
            f"generic {called.generic}, unknown {called.unknown}"
        )
    if plots:
        for picture in training.draw(found, training.made(plots)):
            click.echo(f"drew {picture}")


@ml.command("discover")
@_FILES
@_MODEL
@_PLOTS
@config_option
def discover(
    files: tuple[Path, ...], model: Path | None, plots: Path | None, tables: Tables
) -> None:
    """Find what is alike among the windows that the model knows nothing of (HDBSCAN)."""
    from busted.agent import behaviour_training as training
    from busted.agent.behaviour import shipped_model

    training.require_ml()
    samples, _ = training.read_all(files, tables)
    forest = training.read_model(model) if model else shipped_model()
    picture = training.made(plots) / "clusters.png" if plots else None
    for number, cluster in enumerate(training.discover(samples, forest, picture), 1):
        click.echo(f"cluster {number}: {cluster.windows} windows, {cluster.kinds}")
        for name, value in cluster.typical.items():
            click.echo(f"  {name}: {value}")
