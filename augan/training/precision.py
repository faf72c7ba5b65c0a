"""Whether this machine computes in bfloat16 itself; where it does not, it is slower in it."""

from pathlib import Path

from augan.exceptions import ConfigError

_PROCESSOR = Path("/proc/cpuinfo")
_GPU = Path("/dev/nvidiactl")
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last is Arm's


def check_precision(dtype: str) -> None:
    """Raise ConfigError if the machine does not know the type."""
    if dtype == "float32" or _GPU.exists() or _FLAGS & _flags():
        return
    raise ConfigError(
        "training.dtype=bfloat16 needs a processor that multiplies it itself, and /proc/cpuinfo "
        "names none of avx512_bf16, amx_bf16 and bf16; leave --dtype out"
    )


def _flags() -> set[str]:
    try:
        text = _PROCESSOR.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return {
        flag
        for name, _, flags in lines
        if name.strip().casefold() in ("flags", "features")
        for flag in flags.split()
    }
