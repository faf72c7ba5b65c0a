"""What was synthesised."""

from augan.augment.api import AugmentationResult


def augmentation_lines(result: AugmentationResult) -> list[str]:
    """Say what was written, and what became of the candidates of each class."""
    what = f" of class {result.classes[0]}" if len(result.classes) == 1 else ""
    lines = [f"warning: {text}" for text in result.warnings]
    for found in result.yields:
        why = ", ".join(f"{reason} {count}" for reason, count in found.rejected.items() if count)
        if why:
            lines.append(
                f"class {found.name}: {found.kept} kept of {found.generated} candidates; "
                f"left out: {why}"
            )
    return [*lines, f"{result.num_images} {result.noun}{what} in {result.out}"]
