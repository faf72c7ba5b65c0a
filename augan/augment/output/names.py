"""What folders of synthetic samples are called."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from augan.bundle import Bundle

MAX_NAMES = 60  # characters of class names in the name of a folder


def class_folder(class_name: str) -> str:
    """Return a class name as that of a folder; two classes never share one.

    What a path would read as structure is written as in addresses: "a/b" becomes "a%2Fb".
    """
    core = class_name.strip(" .")
    before, _, after = class_name.partition(core) if core else (class_name, "", "")
    plain = "".join(
        c if c.isalnum() or c in " -_.+()" else quote(c, safe="", errors="surrogatepass")
        for c in core
    )
    edges = ["".join(f"%{ord(c):02X}" for c in text) for text in (before, after)]
    return plain.join(edges) or "%"


def augment_name(
    classes: Sequence[str], n: int | None, to: int | None, seed: int, unusual: Sequence[str] = ()
) -> str:
    """Return the name of the folder for what `augment_folder` is asked for.

    Parameters
    ----------
    n, to
        How many of each class; None and how many to balance to, None for the largest class.
    unusual
        What is asked for beside that, so that it does not take the place of the usual images.
    """
    names = "+".join(class_folder(name) for name in classes)
    if len(names) > MAX_NAMES:
        names = f"{len(classes)}-classes"
    amount = f"n{n}" if n is not None else f"balance{'' if to is None else to}"
    return "-".join(["augment", names, amount, f"seed{seed}", *unusual])


def default_out(bundle: Bundle, out: str | Path | None, name: str) -> Path:
    """Return `out`, or the folder `name` beside the bundle.

    Raises
    ------
    BundleError
        Neither is known.
    """
    return bundle.saved_path().parent / name if out is None else Path(out)
