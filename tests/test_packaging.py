"""What reaches a user: wheel, sdist, imports, and the rules of the house."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from rankaae_stream import resources
from rankaae_stream.model.folder import shipped_models

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """Wheel and sdist of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    # Without isolation the build needs no network; the test extra has its backend.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=root)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_carries_models_profiles_and_spectra_but_no_training(built):
    with zipfile.ZipFile(built[0]) as archive:
        names = archive.namelist()
    data = "rankaae_stream/_data"
    assert f"{data}/profiles/sim.toml" in names
    assert f"{data}/profiles/spectra/foils/Fe.xdi" in names
    for key in shipped_models():
        assert f"{data}/models/{key}/encoder.onnx" in names
    for name in ("index.html", "app.js", "app.css", "icon.svg"):
        assert f"rankaae_stream/dashboard/static/{name}" in names
    unwanted = ("/web/", "node_modules", "/docs/")
    assert not [name for name in names if any(part in name for part in unwanted)]
    assert not [name for name in names if name.startswith(("training/", "tests/"))]


def test_the_sdist_carries_what_a_checkout_needs(built):
    with tarfile.open(built[1]) as archive:
        names = [name.split("/", 1)[-1] for name in archive.getnames()]
    for name in ("models/index.json", "profiles/sim.toml", "training/network/train.py", "LICENSE"):
        assert name in names


def test_an_installed_wheel_lists_its_models_outside_the_checkout(built, tmp_path):
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", built[0])
    # The dependencies come from this environment's folder: what is tested is
    # that the package, alone in its own, finds its data.
    site = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {**os.environ, "PYTHONPATH": site}
    code = (
        "import sys; sys.path.sort(key=lambda p: 'bare' not in p); import rankaae_stream as r; "
        "assert 'bare' in r.__file__, r.__file__; "
        "from rankaae_stream.commands.cli import app; app()"
    )
    listed = run(python, "-c", code, "models", cwd=tmp_path, env={**environment, "COLUMNS": "150"})
    for key in shipped_models():
        assert key.split("/")[1] in listed
    version = run(python, "-c", code, "--version", cwd=tmp_path, env=environment)
    assert "checkout" not in version


def test_the_code_version_names_the_commit_of_a_checkout(root):
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    commit = run("git", "-C", root, "rev-parse", "--short", "HEAD").strip()
    assert f"+checkout.{commit}" in resources.code_version()


def test_importing_the_package_imports_no_dependency():
    code = (
        "import sys; before = set(sys.modules); import rankaae_stream; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    assert run(sys.executable, "-c", code).strip() == "['rankaae_stream']"


def test_the_live_side_never_imports_training_or_its_libraries():
    code = (
        "import sys; import rankaae_stream.callback, rankaae_stream.commands.demo; "
        "print([m for m in ('torch', 'training', 'larch', 'pymatgen', 'onnx', 'matplotlib') "
        "if m in sys.modules])"
    )
    assert run(sys.executable, "-c", code).strip() == "[]"


def test_a_room_imports_no_framework_for_its_numerical_files():
    # A re-export in model/__init__.py would load ONNX Runtime with a card.
    code = (
        "import sys; import rankaae_stream.model.card, rankaae_stream.model.estimates, "
        "rankaae_stream.spectra.library, rankaae_stream.documents.sweeps, "
        "rankaae_stream.results.compose; "
        "print([m for m in ('onnxruntime', 'bluesky', 'tiled', 'pydantic') if m in sys.modules])"
    )
    assert run(sys.executable, "-c", code).strip() == "[]"


def test_no_module_breaks_the_rules_of_the_house(root):
    run(
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as c; c()",
        cwd=root,
    )


def test_help_teaches():
    text = run(sys.executable, "-m", "rankaae_stream", "--help")
    assert "demo" in text
    assert "models" in text
    text = run(sys.executable, "-m", "rankaae_stream", "demo", "--help")
    for option in ("--quick", "--keep", "--element", "--directory", "--dashboard"):
        assert option in text
    text = run(sys.executable, "-m", "rankaae_stream", "check", "--help")
    for option in ("--run", "--online", "--verbose", "--json", "Exit status 1"):
        assert option in text
