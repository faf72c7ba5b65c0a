"""Benchmark pages: every table agrees with the result rows, and every page can be found."""

import re

import pytest
import yaml

from tools.docs import benchmark_tables
from tools.docs.benchmark_tables import TABLES, outdated, page_files, rewrite, table_names
from tools.docs.tables.common import ROOT

DOCS = ROOT / "docs"
NAME = "robustness-crash-recovery"
STALE = f"before\n<!-- table: {NAME} -->\n| 0.123 |\n<!-- end -->\nafter\n"


def test_every_table_agrees_with_the_result_rows():
    stale = [page.name for page in outdated(page_files())]
    assert not stale, f"run `{benchmark_tables.COMMAND}`"


def test_every_table_is_shown_exactly_once():
    shown = [name for page in page_files() for name in table_names(page.read_text("utf-8"))]
    assert sorted(shown) == sorted(TABLES)


def test_a_stale_table_is_replaced_and_the_text_around_it_stays():
    page = rewrite(STALE)
    assert "0.123" not in page
    assert page.startswith(f"before\n<!-- table: {NAME} -->\n| command |")
    assert page.endswith("<!-- end -->\nafter\n")
    assert rewrite(page) == page


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- table: no-such -->\n<!-- end -->\n", "no table is called no-such"),
        (f"<!-- table: {NAME} -->\n| a |\n", "expected `<!-- end -->`"),
        (f"<!-- table: {NAME} -->\n<!-- table: {NAME} -->\n<!-- end -->\n", "expected `<!-- end"),
    ],
)
def test_wrong_markers_are_refused(page, message):
    with pytest.raises(ValueError, match=message):
        rewrite(page)


def test_check_fails_on_a_stale_page_and_changes_nothing(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(STALE, encoding="utf-8")
    monkeypatch.setattr(benchmark_tables, "PAGES", (page,))
    monkeypatch.setattr(benchmark_tables, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as ended:
        benchmark_tables.main(["--check"])
    assert ended.value.code == 1
    assert "page.md is out of date" in capsys.readouterr().err
    assert page.read_text("utf-8") == STALE
    benchmark_tables.main([])
    assert page.read_text("utf-8") == rewrite(STALE)
    benchmark_tables.main(["--check"])


def test_every_page_is_in_the_index_and_in_the_navigation():
    pages = {page.name for page in (DOCS / "benchmarks").glob("*.md")} - {"index.md"}
    index = (DOCS / "benchmarks" / "index.md").read_text("utf-8")
    assert set(re.findall(r"\]\(([\w-]+\.md)\) \|", index)) == pages
    navigation = yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    for name in (*pages, "index.md"):
        assert f"benchmarks/{name}" in navigation
    assert "research-log.md" in navigation


def test_every_module_that_a_page_runs_exists():
    modules = set()
    for page in page_files():
        modules |= set(
            re.findall(r"python -m ((?:benchmarks|tools)\.[\w.]+)", page.read_text("utf-8"))
        )
    assert len(modules) > 15
    files = {name: (ROOT / name.replace(".", "/")).with_suffix(".py") for name in modules}
    assert not sorted(name for name, file in files.items() if not file.exists())
