"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import rankaae_stream
import training


def modules_with_examples() -> list[str]:
    found = [
        (module.name, Path(module.module_finder.path, *module.name.rpartition(".")[2:]))
        for package in (rankaae_stream, training)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.ispkg
    ]
    return [name for name, path in found if ">>> " in path.with_suffix(".py").read_text()]


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_of_a_module_give_what_they_say(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0
