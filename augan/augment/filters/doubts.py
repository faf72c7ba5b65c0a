"""What speaks against a generator itself, whatever passes the filters."""

from augan.bundle import Bundle
from augan.data.modalities.registry import sample_noun

LEARNED = 0.25  # of the kernel distance before training; what learns at all is soon far below


def doubts(bundle: Bundle) -> tuple[str, ...]:
    """Return what the user should know before using what a bundle's generator draws."""
    steps = bundle.metrics.get("steps", {}).get("gan")
    if steps is None:  # trained in memory, by a sampler, which measures nothing
        return ()
    noun, found = sample_noun(bundle.preprocessing), bundle.metrics.get("fidelity")
    if not found:
        return (
            f"what the generator draws after its {steps:,} updates was never measured, because too "
            f"few {noun} were held out or the monitor was off: look at some before you use them",
        )
    distance, untrained = found["kernel_distance"], found["untrained_kernel_distance"]
    if distance <= LEARNED * untrained:
        return ()
    return (
        f"the generator has learned little in its {steps:,} updates: the kernel distance of its "
        f"{noun} to held-out real ones is {distance:.3g}, where an untrained one has "
        f"{untrained:.3g}; train longer, or look at some before you use them",
    )
