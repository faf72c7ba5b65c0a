"""Command `augan generate`: unfiltered synthetic images or rows."""

from typing import Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FormatOption,
    JsonOption,
    ModelOption,
    OutOption,
    SeedOption,
    resolve_bundle,
)


@handle_errors
def generate_command(
    n: Annotated[int, typer.Option("--n", help="Number of images or rows to write.")],
    model: ModelOption = None,
    out: OutOption = None,
    seed: SeedOption = 0,
    format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write unfiltered synthetic images or rows, with the class frequencies of the training."""
    bundle = resolve_bundle(model, "generator")
    from augan.augment.api import generate_folder
    from augan_cli.output import print_augmentation

    result = generate_folder(bundle, n, out, seed=seed, format=format)
    print_augmentation(result, as_json)
