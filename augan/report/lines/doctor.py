"""What `augan doctor` found."""

from collections.abc import Iterator

from augan.doctor.checks import GIB, Diagnosis, install

PURPOSES = {
    "parquet": "tables in Parquet files",
    "tensorboard": "curves of a training in TensorBoard",
    "test": "augan's own tests",
    "docs": "building the documentation",
    "bench": "benchmarks against other libraries",
}


def diagnosis_lines(found: Diagnosis) -> list[str]:
    """Say what there is, what is missing, and what to do about it."""
    lines = [f"augan {found.augan or '(version unknown)'}, Python {found.python}, {found.system}"]
    needed = [f"{p.name} {p.installed}" for p in found.packages if not p.extra and p.installed]
    lines += [f"packages: {', '.join(needed)}"] if needed else []
    lines += [*_machine(found), *_engine(found)]
    for extra in found.missing_extras:
        purpose = f" ({PURPOSES[extra]})" if extra in PURPOSES else ""
        lines.append(f"not installed: {extra}{purpose}: {install(f'augan[{extra}]')}")
    lines += [f"note: {advice}" for advice in found.notes]
    lines += [f"problem: {advice}" for advice in found.problems]
    lines.append(f"augan {'can' if found.usable else 'cannot'} work here")
    return lines


def _machine(found: Diagnosis) -> Iterator[str]:
    kind, running, room = found.processor, found.threads, found.memory
    features = "" if kind.features is None else f": {', '.join(kind.features) or 'no AVX'}"
    yield f"processor: {kind.name} ({kind.architecture}){features}"
    quota = "" if running.quota is None else f", with the time of {running.quota:g}"
    yield (
        f"cores: {running.usable} of {running.cores} may be used{quota}; "
        f"TensorFlow starts {running.started} thread{'' if running.started == 1 else 's'}"
    )
    limit = "" if room.limit is None else f", {_gib(room.limit)} allowed to this container"
    yield f"memory: {_gib(room.total)}{limit}, {_gib(room.available)} available"
    for name, place in found.disks.items():
        yield f"disk: {_gib(place.free)} free for the {name} in {place.folder}"


def _engine(found: Diagnosis) -> Iterator[str]:
    if found.engine is not None and found.engine.error is None:
        gpus = ", ".join(found.engine.gpus) or "none is seen, the processor does the work"
        yield f"GPU: {gpus}"
        yield f"start: {found.engine.seconds:.1f} s until TensorFlow is ready"


def _gib(number: int | None) -> str:
    return "unknown" if number is None else f"{number / GIB:.1f} GiB"
