"""Command `augan translate`: images of one camera in the look of another camera."""

from pathlib import Path
from typing import Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FollowLinksOption,
    JsonOption,
    ModelOption,
    OutOption,
    SeedOption,
    resolve_bundle,
)

_Images = Annotated[Path, typer.Argument(help="Folder of images (flat or nested), or one image.")]
_Direction = Annotated[
    str,
    typer.Option(help="old-to-new, or new-to-old for images of the new camera."),
]


@handle_errors
def translate_command(
    images: _Images,
    model: ModelOption = None,
    direction: _Direction = "old-to-new",
    out: OutOption = None,
    seed: SeedOption = 0,
    follow_links: FollowLinksOption = False,
    as_json: JsonOption = False,
) -> None:
    """Translate images of the old camera to the look of the new camera, or back.

    The model comes from augan train OLD --translate-to NEW. The files keep their names and folders
    and are listed in manifest.csv. Another seed gives another translation of each image. After an
    interruption, the same command continues.
    """
    from augan.translate.request import TranslationRequest

    request = TranslationRequest(images, direction, seed, follow_links)  # type: ignore[arg-type]
    part = "translator" if request.direction == "old-to-new" else "back_translator"
    bundle = resolve_bundle(model, part)
    from augan.translate.api import translate_folder
    from augan_cli.output import print_translation

    print_translation(translate_folder(bundle, request, out), as_json)
