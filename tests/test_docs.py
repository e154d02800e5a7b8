"""The guides are true of the code: their paths, names and examples exist."""

import ast
import importlib
import re
import sys

import numpy as np
import pytest

from rankaae_stream.loading import default_analysis

PAGES = (
    "README.md",
    ".github/CONTRIBUTING.md",
    "profiles/README.md",
    "profiles/tiled/README.md",
    "rankaae_stream/README.md",
    "training/README.md",
    "training/data/README.md",
    *(
        f"rankaae_stream/docs/{name}.md"
        for name in ("answers", "files", "models", "past-scans", "series", "series-example")
    ),
)
PACKAGES = ("rankaae_stream", "training")


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_of_a_guide_exists(root, page):
    text = without_code((root / page).read_text(encoding="utf-8"))
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    paths = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+)?|[\w-]+\.py)`", text)
    here, base = (root / page).parent, (root, root / "rankaae_stream", root / "training")
    missing = [link for link in links if not (here / link).exists()]
    missing += [path for path in paths if not any((at / path).exists() for at in (here, *base))]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_dotted_name_of_a_guide_can_be_imported(root, page):
    text = (root / page).read_text(encoding="utf-8")
    for name in set(re.findall(r"`((?:rankaae_stream|training)(?:\.\w+)+)`", text)):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


def imported(path):
    """Top-level names of what a module, or all modules of a folder, import."""
    files = path.rglob("*.py") if path.is_dir() else [path]
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_in_the_guide_of_its_package_with_the_libraries_it_imports(root, package):
    text = (root / package / "README.md").read_text(encoding="utf-8")
    named = {}
    for names, cell in re.findall(r"^\| (`.*?) \| .*? \| (.*?) ?\|$", text, flags=re.MULTILINE):
        named |= dict.fromkeys(re.findall("`(.*?)`", names), cell.replace("-", "_"))
    for path in (root / package).iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if name.startswith((".", "__init__", "__pycache__", "_data", "docs", "runs")):
            continue
        if path.is_dir() or path.suffix == ".py":
            assert f"`{name}`" in text or name == "__main__.py"
            libraries = {*imported(path)} - {*sys.stdlib_module_names, "numpy", *PACKAGES}
            assert not [library for library in libraries if library not in named[name]], name


def test_every_flag_and_refusal_is_explained(root):
    text = (root / "rankaae_stream/docs/answers.md").read_text(encoding="utf-8")
    names = set()
    for path in (root / "rankaae_stream").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "")
            if called in ("Flag", "Refusal", "Refused") and isinstance(node.args[0], ast.Constant):
                names.add(node.args[0].value)
    assert len(names) > 20
    assert not [name for name in names if f"`{name}`" not in text]


def test_the_example_of_what_if_curves_runs(root):
    text = (root / "rankaae_stream/docs/models.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)[1], names)
    assert names["curves"].shape == (3, 256)
    assert names["energy"].shape == (256,)
    model = default_analysis().models["Fe K"]
    np.testing.assert_array_equal(names["curves"], model.what_if("oxidation_state", [2, 2.5, 3]))
