"""Tests of the registry: names without imports, order, messages, registration at run time."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest

from augan import registry as registry_module
from augan.choices import LOSSES, Loss
from augan.config import Config
from augan.exceptions import ConfigError
from augan.registry import Registry

CURRENT: list[Registry] = []  # of a file that a test imports


@dataclass(frozen=True)
class Fruit:
    """Declaration of a fruit."""

    name: str
    description: str = ""
    ripe: object = field(default=None)


FILES = {
    "pear.py": """
import does_not_exist
from somewhere import FRUITS, Fruit

@FRUITS.register(Fruit("pear", description="long " "stem", ripe=lambda month: month > 8))
def pear(): ...

FRUITS.register(Fruit("quince"), pear)
""",
    "notes.py": "register = None\n",
}


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    """Return a registry of a package with the entries pear and quince, which cannot be imported."""
    (tmp_path / "garden").mkdir()
    (tmp_path / "garden" / "pear.py").write_text(FILES["pear.py"])
    (tmp_path / "garden" / "notes.py").write_text(FILES["notes.py"])
    monkeypatch.setattr(registry_module, "_PACKAGE", tmp_path)
    return Registry("fruit", Fruit, "augan.garden")


def test_entries_are_known_without_importing_their_file(fruits):
    assert fruits.names() == ("pear", "quince")
    assert fruits.describe() == {"pear": "long stem", "quince": ""}
    assert fruits.get("pear").ripe(9)
    assert "pear" in fruits
    assert len(fruits) == 2
    assert [fruit.name for fruit in fruits] == ["pear", "quince"]
    with pytest.raises(ModuleNotFoundError):  # the file itself is imported by `load` only
        fruits.load("pear")


def test_an_unknown_name_is_refused_with_all_names(fruits):
    for call in (fruits.get, fruits.load):
        with pytest.raises(ConfigError) as caught:
            call("plum")
        assert str(caught.value) == "unknown fruit 'plum'; choose one of pear, quince"


def test_entries_of_the_block_are_removed_at_its_end(fruits):
    with fruits.temporary():
        decorated = fruits.register(Fruit("plum"))("a plum")
        assert decorated == fruits.load("plum") == "a plum"
        assert fruits.names() == ("pear", "quince", "plum")
    assert fruits.names() == ("pear", "quince")


@pytest.mark.parametrize("name", ["pear", "plum"])
def test_a_name_is_registered_once(fruits, name):
    with fruits.temporary():
        fruits.register(Fruit("plum"), "a plum")
        with pytest.raises(ValueError, match=f"the name '{name}' is taken by another fruit"):
            fruits.register(Fruit(name), "another")


def test_two_files_with_one_name(fruits, tmp_path):
    (tmp_path / "garden" / "later.py").write_text('FRUITS.register(Fruit("pear"), 1)\n')
    with pytest.raises(ValueError, match="registered in two files"):
        fruits.names()


def test_a_declaration_that_needs_its_file_imports_it(tmp_path, monkeypatch):
    module = """
from tests.test_registry import CURRENT, Fruit
COLOR = "yellow"
CURRENT[0].register(Fruit("banana", description=f"a {COLOR} fruit"), len)
"""
    (tmp_path / "grove").mkdir()
    (tmp_path / "grove" / "__init__.py").write_text("")
    (tmp_path / "grove" / "banana.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry_module, "_PACKAGE", tmp_path / "grove")
    grove = Registry("fruit", Fruit, "grove")
    monkeypatch.setattr(sys.modules[__name__], "CURRENT", [grove])
    assert grove.describe() == {"banana": "a yellow fruit"}
    assert grove.load("banana") is len


def test_threads_see_a_complete_registry(fruits, monkeypatch):
    started = threading.Event()
    read = fruits._read_file

    def read_slowly(module, file):
        started.set()
        time.sleep(0.05)
        read(module, file)

    monkeypatch.setattr(fruits, "_read_file", read_slowly)
    thread = threading.Thread(target=fruits.names)
    thread.start()
    started.wait()
    names = fruits.names()
    thread.join()
    assert names == ("pear", "quince")


REGISTRIES = [
    ("augan.choices", "ARCHITECTURES"),
    ("augan.choices", "LOSSES"),
    ("augan.choices", "REGULARIZERS"),
    ("augan.choices", "DIFFAUGMENT_POLICIES"),
    ("augan.choices", "CORRUPTIONS"),
    ("augan.training.stages.base", "STAGES"),
]


def test_entries_of_augan_are_described_without_tensorflow():
    code = f"""
import sys
from importlib import import_module
for module, name in {REGISTRIES}:
    assert getattr(import_module(module), name).describe()
    print(name, [name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{name} []" for _, name in REGISTRIES]


@pytest.mark.parametrize(("module", "name"), REGISTRIES)
def test_every_entry_has_a_description_and_loads(module, name):
    registry = getattr(import_module(module), name)
    assert len(registry)
    for entry in registry:
        assert entry.description
        assert not entry.description.endswith(".")
        assert registry.load(entry.name) is not None


def test_a_setting_takes_an_entry_that_is_registered_later():
    with pytest.raises(ConfigError, match=r"gan\.loss: input should be 'minimax', .*, got 'toy'"):
        Config().override(["gan.loss=toy"])
    with LOSSES.temporary():
        LOSSES.register(Loss("toy", description="a toy"), "any")
        assert Config().override(["gan.loss=toy"]).gan.loss == "toy"
