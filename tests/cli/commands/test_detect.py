"""Tests of `augan detect`."""

import json
import os
import re
from pathlib import Path

import numpy as np

from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.io.images import write_png
from tests.cli._helpers import (
    Augan,
    add_run,
    invoke,
    only_object,
    read_table,
    write_as,
    write_digits,
)


def test_detect_nested_folders_lists_unreadable_files(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images/good/deep"), 3)
    pixels = digits("test").images[0]
    write_png("images/colour.png", np.repeat(pixels, 3, axis=-1))
    write_png("images/deep.png", pixels.astype(np.uint16) * 257)
    Path("images/empty.png").write_bytes(b"")
    Path("images/half.png").write_bytes(Path("images/good/deep/000.png").read_bytes()[:60])
    Path("images/notes.txt").write_text("no image")
    result = augan("detect", "images")
    rows = read_table(Path("runs/a/detect-images/scores.csv"))
    assert [row["path"] for row in rows] == [
        "colour.png",
        "deep.png",
        "empty.png",
        "good/deep/000.png",
        "good/deep/001.png",
        "good/deep/002.png",
        "half.png",
    ]
    unusable = {row["path"] for row in rows if row["anomaly"] == ""}
    assert unusable == {"colour.png", "deep.png", "empty.png", "half.png"}
    for name, reason in (("colour", "channel"), ("deep", "uint16"), ("empty", "empty")):
        assert re.search(rf"{name}\.png .*{reason}", result.stdout)
    summary = only_object(augan("detect", "images", "--json"))
    assert summary["num_scored"] == 3
    assert {entry["path"] for entry in summary["unreadable"]} == unusable
    assert all(entry["reason"] for entry in summary["unreadable"])


def test_detect_files_with_undecodable_names_are_scored(
    augan: Augan, digits_bundle: Bundle
) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 12)
    write_as(b"images/part\xff/\xe9.png", Path("images/000.png").read_bytes())
    write_as(b"images/\xfe-bad.png", b"no image")
    printed = augan("detect", "images", "--far", "0.9").stdout
    assert r"unreadable: \udcfe-bad.png (" in printed
    assert r"  part\udcff/\udce9.png" in printed  # of the highest scores, which are flagged
    out = Path("runs/a/detect-images")
    table = (out / "scores.csv").read_bytes()
    lines = {line.split(b",")[0]: line.split(b",") for line in table.splitlines()}
    assert lines[b"part\xff/\xe9.png"][1:] == lines[b"000.png"][1:]
    assert lines[b"part\xff/\xe9.png"][3] == b"1"
    assert set(lines[b"\xfe-bad.png"][1:]) == {b""}
    assert os.path.isfile(b"runs/a/detect-images/overlays/part\xff/\xe9.png.png")
    summary = only_object(augan("detect", "images", "--far", "0.9", "--json"))
    assert [os.fsencode(one["path"]) for one in summary["unreadable"]] == [b"\xfe-bad.png"]
    assert b"part\xff/\xe9.png" in {os.fsencode(one["path"]) for one in summary["most_anomalous"]}
    # What is cut into shards and put together is the same to the byte.
    for share in ("0/2", "1/2"):
        augan("detect", "images", "--far", "0.9", "--shard", share, "--out", f"s{share[0]}")
    augan("merge", "whole", "s0", "s1")
    assert Path("whole/scores.csv").read_bytes() == table


def test_detect_one_image_writes_one_row(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 2)
    augan("detect", "images/001.png", "--out", "scores")
    (row,) = read_table(Path("scores/scores.csv"))
    assert row["path"] == "001.png"
    summary = only_object(augan("detect", "images/001.png", "--json"))
    assert Path(summary["out"]).parent == Path("runs/a")


def test_detect_flags_more_at_a_higher_rate(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 40)
    counts = {}
    for far in (0.01, 0.5):
        summary = only_object(augan("detect", "images", "--far", far, "--json"))
        assert summary["guarantee"]["far"] == far
        counts[far] = summary["num_anomalies"]
    assert counts[0.01] < counts[0.5]
    assert 5 < counts[0.5] < 35


def test_detect_fail_on_anomaly_exits_with_1(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 30)
    image = np.full((8, 8, 1), 255, np.uint8)
    image[:4, 4:] = 0
    write_png(Path("images/odd.png"), image)
    write_png(Path("mask.png"), image)
    wanted = ("detect", "images", "--far", "0.2", "--json", "--fail-on-anomaly")
    done = invoke(*wanted, "--save-maps", "--ignore-mask", "mask.png")
    summary = json.loads(done.stdout)
    assert (done.exit_code, summary["num_anomalies"] > 0) == (1, True)
    out = Path(summary["out"])
    assert Path(summary["report"]) == out / "report.html"
    assert (out / "report.html").is_file()
    assert (out / "scores.csv").is_file()
    assert len(list((out / "maps").iterdir())) == 31
    assert (summary["method"], summary["methods"]) == ("auto", ["auto", "fanogan"])
    assert summary["masked_fraction"] == 0.75
    assert augan(*wanted[:-1]).exit_code == 0
    quiet = invoke("detect", "images/000.png", "--far", "0.01", "--fail-on-anomaly")
    assert quiet.exit_code == ("1 of 1" in quiet.stdout)
    assert "Exit with 1" in re.sub(r"[\s│]+", " ", invoke("detect", "--help").stdout)


def test_detect_names_the_files_that_it_does_not_look_at(
    augan: Augan, digits_bundle: Bundle
) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 4)
    assert augan("detect", "images", "--require-all").exit_code == 0
    Path("images/photo.nef").write_bytes(b"II*\0\x08\0\0\0")
    Path("images/notes.txt").write_text("x")
    done = invoke("detect", "images", "--require-all")
    assert done.exit_code == 1
    assert "of 4 images flagged as anomalies; 2 files not looked at" in done.stdout
    assert "not looked at: photo.nef (it is a camera raw image" in done.stdout
    summary = only_object(augan("detect", "images", "--json"))
    assert [file["path"] for file in summary["not_looked_at"]] == ["notes.txt", "photo.nef"]
    record = json.loads(Path(summary["out"], "detection.json").read_text())
    assert record["num_not_looked_at"] == 2
    assert record["not_looked_at"] == summary["not_looked_at"]
    page = Path(summary["report"]).read_text()
    assert "2 files not looked at" in page
    assert "photo.nef" in page
    Path("images/bad.png").write_text("no image")
    Path("images/photo.nef").unlink()
    Path("images/notes.txt").unlink()
    assert invoke("detect", "images", "--require-all").exit_code == 1
    error = invoke("detect", "images", "--require-all", "--shard", "0/2")
    assert error.exit_code == 2
    assert "pass --require-all to augan merge" in error.stderr


def test_several_images_are_scored_in_one_folder(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "a")
    write_digits(Path("images"), 4)
    result = only_object(augan("detect", "images/000.png", "images/002.png", "--json"))
    assert result["num_scored"] == 2
    (out,) = Path("runs/a").glob("detect-*/")
    assert [row["path"] for row in read_table(out / "scores.csv")] == ["000.png", "002.png"]
    augan("detect", "images/003.png")
    assert Path("runs/a/detect-003/scores.csv").is_file()
