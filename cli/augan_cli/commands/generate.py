"""`augan generate`: unfiltered synthetic images or rows."""

from typing import Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import Format, Json, Model, Out, Seed, resolve_bundle


@handle_errors
def generate(
    n: Annotated[int, typer.Option("--n", help="Number of images or rows to write.")],
    model: Model = None,
    out: Out = None,
    seed: Seed = 0,
    format: Format = None,
    as_json: Json = False,
) -> None:
    """Write unfiltered synthetic images or rows, with the class frequencies of the training."""
    bundle = resolve_bundle(model, "generator")
    from augan.augment.api import generate_folder
    from augan_cli.output import print_augmentation

    result = generate_folder(bundle, n, out, seed=seed, format=format)
    print_augmentation(result, as_json)
