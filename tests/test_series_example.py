"""The page on an operando charge shows what its commands and its code print."""

import os
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest

NUMBER = re.compile(r"(?<![\w.])[+-]?\d+\.?\d*")


def alike(line, expected):
    """Whether two lines have the same words, and numbers that differ by rounding at most."""
    if NUMBER.sub("#", line).split() != NUMBER.sub("#", expected).split():
        return False
    found, wanted = (np.array([float(n) for n in NUMBER.findall(x)]) for x in (line, expected))
    return np.allclose(found, wanted, rtol=0.02, atol=0.021)


def check(printed, expected):
    """Find each expected line, in their order; between neighbours others only where `...` is."""
    lines = iter(line for line in printed.splitlines() if line.strip())
    gap = False
    for wanted in expected.strip().splitlines():
        if wanted == "...":
            gap = True
            continue
        line = next((line for line in lines if not gap or alike(line, wanted)), "")
        assert alike(line, wanted), f"{line!r} instead of {wanted!r}"
        gap = False


@pytest.mark.slow
def test_every_command_and_every_number_of_the_page_is_true(root, tmp_path, monkeypatch, capsys):
    page = (root / "rankaae_stream/docs/series-example.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    make = runpy.run_path(str(root / "rankaae_stream/docs/make_series_example.py"))
    make["write_scans"](tmp_path / "scans")
    pairs = re.findall(r"```(sh|python)\n([^`]*)```\n+```text\n([^`]*)```", page)
    assert [language for language, *_ in pairs] == ["sh", "sh", "python", "python"]
    names = {}
    for language, code, expected in pairs:
        if language == "python":
            exec(code, names)
            check(capsys.readouterr().out, expected)
            continue
        _, *arguments = shlex.split(code)
        done = subprocess.run(
            [sys.executable, "-m", "rankaae_stream", *arguments],
            env={**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        check(done.stdout, expected)
    assert (tmp_path / "series.png").stat().st_size > 10_000
