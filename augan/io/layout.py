"""Names of the files and folders that augan writes, for writers and readers alike."""

from pathlib import Path
from typing import Final

REPORT_FILE: Final = "report.html"  # in every folder of results

# A training: the folder of a run, such as runs/digits-1.
RUNS_FOLDER: Final = Path("runs")
LATEST_LINK: Final = "latest"  # in the folder of runs, to the newest run
BUNDLE_FILE: Final = "bundle.augan"
RUN_FILE: Final = "run.json"  # settings and data that a resumed run must share
RUN_SUMMARY_FILE: Final = "summary.json"
METRICS_LOG_FILE: Final = "metrics.jsonl"
SKIPPED_FILE: Final = "skipped.csv"
SAMPLES_FOLDER: Final = "samples"
TRANSLATION_PREVIEW_FILE: Final = "translation.png"  # old, translated and new images
CHECKPOINTS_FOLDER: Final = "checkpoints"
TENSORBOARD_FOLDER: Final = "tensorboard"

# `augan augment` and `augan generate`.
MANIFEST_FILE: Final = "manifest.csv"
SUMMARY_FILE: Final = "summary.json"
RESUME_LOG_FILE: Final = "resume.jsonl"  # while the job runs
SYNTHETIC_ARRAYS_FILE: Final = "synthetic.npz"
SYNTHETIC_TABLE_FILE: Final = "synthetic.csv"
FIRST_IMAGES_SUFFIX: Final = "-first-images.png"  # next to the folder of results

# `augan detect`.
DETECTION_FILE: Final = "detection.json"
SCORES_FILE: Final = "scores.csv"
PENDING_SCORES_FILE: Final = ".undecided.csv"  # the scores before the threshold is known
OVERLAYS_FOLDER: Final = "overlays"
MAPS_FOLDER: Final = "maps"
MOST_ANOMALOUS_FILE: Final = "most-anomalous.png"
DETECTION_FILES: Final = (
    *(SCORES_FILE, DETECTION_FILE, OVERLAYS_FOLDER, MAPS_FOLDER),
    *(REPORT_FILE, MOST_ANOMALOUS_FILE),
)

# `augan evaluate`.
EVALUATION_FILE: Final = "evaluation.json"
DETECTION_EVALUATION_FILES: Final = (EVALUATION_FILE, SCORES_FILE, REPORT_FILE, OVERLAYS_FOLDER)
PREDICTIONS_FILE: Final = "predictions.jsonl"
PREVIEW_FILE: Final = "preview.png"

# `augan export`.
PARITY_FILE: Final = "parity.json"

# `--shard`.
SHARD_FILE: Final = "shard.json"  # in the folder of a complete shard
JOB_FILE: Final = "job.json"  # in the folder of a shard that is being made

# A folder with one of these files holds results, and no images to train on or to score.
RESULT_MARKERS: Final = frozenset({BUNDLE_FILE, DETECTION_FILE, EVALUATION_FILE})
