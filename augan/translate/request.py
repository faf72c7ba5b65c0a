"""Request of `augan translate`: what the user asks for, before any bundle is known."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from augan.checks import check_choice, check_flag, check_instance, check_path, check_seed_number

Direction = Literal["old-to-new", "new-to-old"]
DIRECTIONS: tuple[Direction, ...] = ("old-to-new", "new-to-old")


@dataclass(frozen=True)
class TranslationRequest:
    """Request for translations of images on disk.

    Attributes
    ----------
    images : path
        A folder, flat or nested, or one image file.
    direction : {"old-to-new", "new-to-old"}
        From the old to the new camera (default), or back.
    seed : int
        Seed of the noise, 0 to 2**31 - 1; default: 0. Another seed gives another translation of
        each image. The translation back has no noise.
    follow_links : bool
        Whether links to folders are searched too. Default: False.

    Raises
    ------
    ConfigError
        The direction or the seed is none, or `follow_links` is not True or False.
    DataError
        `images` is not a path.

    Examples
    --------
    >>> TranslationRequest("old/dent", seed=1).direction
    'old-to-new'
    """

    images: str | Path
    direction: Direction = "old-to-new"
    seed: int = 0
    follow_links: bool = False

    def __post_init__(self) -> None:
        hint = "translate arrays with augan.load_translator(RUN).translate(images)"
        object.__setattr__(self, "images", check_path("images", self.images, hint))
        check_choice("direction", self.direction, DIRECTIONS)
        object.__setattr__(self, "seed", check_seed_number(self.seed))
        object.__setattr__(self, "follow_links", check_flag("follow_links", self.follow_links))

    def to_dict(self) -> dict[str, Any]:
        """Return all options as a JSON-able dict; the constructor takes the same names."""
        return asdict(self)


def check_translation_request(request: Any) -> TranslationRequest:
    """Return the argument `request` of a function; ConfigError if it is no request."""
    return check_instance("request", request, TranslationRequest, 'TranslationRequest("old/dent")')
