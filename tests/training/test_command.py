"""``python -m training`` as a person uses it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from training import config
from training.__main__ import app

TINY = Path(config.__file__).resolve().parent / "configs" / "tiny.toml"


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def test_fit_writes_a_model_and_shows_its_figures(runner, tmp_path):
    models = tmp_path / "models"
    result = runner.invoke(
        app, ["fit", str(TINY), "--models", str(models), "--runs", str(tmp_path / "runs")]
    )
    assert result.exit_code == 0, result.output
    assert (models / "fe-k" / "tiny" / "card.json").is_file()
    assert "theory shift" in result.output
    assert "oxidation_state" in result.output
    assert "FeO" in result.output


def test_a_misspelt_key_ends_the_command_with_its_name(runner, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(TINY.read_text(encoding="utf-8") + "\nseeds = 3\n", encoding="utf-8")
    result = runner.invoke(app, ["fit", str(path)])
    assert result.exit_code == 1
    assert "seeds" in result.output


def test_help_says_what_is_resumed(runner):
    result = runner.invoke(app, ["fit", "--help"])
    assert result.exit_code == 0
    assert "resumes where it stopped" in result.output
