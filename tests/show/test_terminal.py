"""What comes from elsewhere does not steer the terminal that it is printed to."""

import json
import logging
import re
import unicodedata
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from rankaae_stream import resources
from rankaae_stream.commands.cli import app
from rankaae_stream.printable import get_logger, printable
from rankaae_stream.show.terminal import Terminal

EVIL = (
    "a\x1b]0;title\x07\x1b[31m\x1b]52;c;aGk=\x1b\\\x08\x0b\x0c\r\x00\x7f"
    "\x85\x9b31m\x9d0;t\x9c\u202eb\u2066c\u2069\u200f\u2028d"
)
STYLES = re.compile(r"\x1b\[[0-9;]*m")
"""What the console itself writes for colours."""


def steers(text: str) -> set[str]:
    """The characters of a text that a terminal would follow."""
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    return {char for char in text if char != "\n" and unicodedata.category(char) in kinds}


@given(st.text())
def test_a_printable_text_has_no_control_characters_and_keeps_the_others(text):
    assert not {char for char in printable(text) if ord(char) < 32 or 126 < ord(char) < 160} - {
        "\n"
    }
    plain = "".join(char for char in text if not steers(char) and char.isprintable())
    assert printable(plain) == plain
    assert printable(printable(text)) == printable(text)


def test_whatever_is_printed_passes_the_same_place():
    for terminal in (None, True):
        console = Terminal(file=StringIO(), width=200, force_terminal=terminal)
        table = Table(title=EVIL, caption=EVIL)
        table.add_column(EVIL)
        table.add_row(Text(EVIL, style="bold"))
        for item in (EVIL, Text(EVIL), table, Panel(EVIL, title=EVIL)):
            console.print(item, markup=False, soft_wrap=isinstance(item, str))
        console.print_json(json.dumps({"x": EVIL}))
        with Progress(console=console, disable=terminal is None) as progress:
            progress.add_task(EVIL, total=1)
        with console.status(EVIL):
            pass
        said = STYLES.sub("", console.file.getvalue())
        own = re.sub(r"\x1b\[(\?25[lh]|[0-9]*[AKG]|1A)|\r", "", said)  # of a bar that is drawn anew
        assert steers(own) == set()
        assert "a]0;title[31m]52;c;aGk=" in said


def test_a_line_keeps_its_colours_and_its_width():
    console = Terminal(file=StringIO(), width=20, force_terminal=True, color_system="standard")
    console.print("[red]a\x1b[2Jb[/]", highlight=False)
    assert console.file.getvalue() == "\x1b[31ma[2Jb\x1b[0m\n"


def test_a_log_is_printable_with_its_traceback(caplog):
    logger = get_logger("rankaae_stream.a_test")
    logger.warning("sample %s: %d points", EVIL, 3)
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception("left out")
    formatted = [logging.Formatter().format(record) for record in caplog.records]
    assert steers("".join(formatted)) == set()
    assert "3 points" in formatted[0]
    assert "ValueError: a]0;title" in formatted[1]
    logger.warning("plain %s", "text")
    assert caplog.records[-1].args == ("text",)


@pytest.fixture
def named(tmp_path):
    """A spectrum in a file with a name that steers, and one that holds no spectrum."""
    content = (resources.folder("profiles/spectra") / "Fe/Fe2O3_rt_01.xdi").read_bytes()
    name = EVIL.replace("\x00", "").replace("/", "")
    (tmp_path / f"{name}.xdi").write_bytes(content)
    (tmp_path / f"{name}.txt").write_text(EVIL)
    (tmp_path / f"{name}.jsonl").write_text(EVIL)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["infer", "FOLDER"],
        ["infer", "-v", "FOLDER"],
        ["infer", "FOLDER", "--columns", f"energy={EVIL}"],
        ["infer", f"FOLDER/{EVIL}"],
        ["infer", "FOLDER", "--foil", f"FOLDER/{EVIL}"],
        ["replay", "FOLDER", "--dry-run"],
        ["replay", f"FOLDER/{EVIL}", "--dry-run"],
        ["check", f"FOLDER/{EVIL}"],
        ["check", "sim", "--run", f"FOLDER/{EVIL}"],
        ["spool", "--profile", f"FOLDER/{EVIL}"],
        ["models", "verify", f"FOLDER/{EVIL}"],
        ["dashboard", "--tiled", EVIL],
        ["demo", "--beamline", EVIL],
        ["tiled", "--files", f"FOLDER/{EVIL}"],
    ],
    ids=lambda command: " ".join(word for word in command if len(word) < 20 and "\x1b" not in word),
)
def test_no_command_lets_a_name_steer(command, named):
    words = [word.replace("FOLDER", str(named)).replace("\x00", "") for word in command]
    done = CliRunner().invoke(app, words)
    assert steers(done.output) == set()


@pytest.mark.parametrize(
    "arguments", [["check", "sim", "{}"], ["tiled", "--port", "{}"], ["spool", "{}"], ["--{}"]]
)
def test_no_wrong_argument_steers(arguments):
    done = CliRunner().invoke(app, [part.format(EVIL) for part in arguments])
    assert done.exit_code == 2
    assert "Error" in done.output
    assert steers(done.output) == set()


def test_json_keeps_what_was_read(named):
    done = CliRunner().invoke(app, ["infer", "--json", str(named)])
    (report,) = [json.loads(line) for line in done.stdout.splitlines() if "Fe" in line][:1]
    assert "\x1b]0;title" in report["source"]
    assert steers(done.stdout) == set()
