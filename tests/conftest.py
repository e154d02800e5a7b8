"""Shared by all tests: hypothesis without deadlines, one Tiled server a session."""

import gc
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium without a screen, as a context; it saves files in the folder given."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs):
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    @contextmanager
    def open_in(folder):
        options = webdriver.ChromeOptions()
        options.binary_location = programs[0]
        for flag in (*CHROMIUM, f"user-data-dir={folder / 'profile'}"):
            options.add_argument(f"--{flag}")
        saving = {
            "download.default_directory": str(folder),
            "profile.default_content_setting_values.automatic_downloads": 1,
        }
        options.add_experimental_option("prefs", saving)
        driver = webdriver.Chrome(options, Service(programs[1]))
        try:
            yield driver
        finally:
            driver.quit()

    return open_in


CHROMIUM = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
    "window-size=1440,1000",
)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory, pytestconfig):
    """Folder for pictures of the page, which the run names at its end."""
    folder = tmp_path_factory.mktemp("screenshots")
    pytestconfig.stash[SCREENSHOTS] = folder
    return folder


SCREENSHOTS = pytest.StashKey[Path]()


def pytest_terminal_summary(terminalreporter, config):
    """Say where the pictures are."""
    folder = config.stash.get(SCREENSHOTS, None)
    if folder is not None:
        terminalreporter.write_line(f"screenshots of the page: {folder}")


SERVICES = {"server", "browser"}
"""Fixtures that start one."""


def pytest_collection_modifyitems(items):
    """Mark as `services` what needs the Tiled server or a browser, through whichever fixture."""
    for item in items:
        if SERVICES & set(item.fixturenames):
            item.add_marker("services")


def pytest_collection_finish():
    """Let the collector pass over what is loaded for good: it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)  # else it looks at the rest more often, as that is less now


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """A developer's own profile settings must not decide a test."""
    for name in os.environ:
        if name.startswith("RANKAAE_STREAM_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The one embedded Tiled server of a test session."""
    from rankaae_stream.server.tiled_server import EmbeddedServer

    with EmbeddedServer(tmp_path_factory.mktemp("tiled")) as running:
        yield running


@pytest.fixture
def engine():
    """A RunEngine of this test's own."""
    from engines import run_engine

    with run_engine() as made:
        yield made


@pytest.fixture(scope="session")
def root() -> Path:
    """Top level of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def documents():
    """A step scan's documents, (name, doc) in order, from plain arrays."""

    def make(energy, i0, it, ir=None, *, uid="run", stop=True, exit_status="success", **start):
        keys = {"mono-energy": energy, "ic-i0": i0, "ic-it": it}
        if ir is not None:
            keys["ic-ir"] = ir
        data_key = {"source": "test", "dtype": "number", "shape": []}
        yield "start", {"uid": uid, "time": 1000.0, "element": "Fe", **start}
        yield (
            "descriptor",
            {
                "uid": f"{uid}-d",
                "run_start": uid,
                "name": "primary",
                "time": 1000.0,
                "data_keys": dict.fromkeys(keys, data_key),
            },
        )
        for i in range(len(energy)):
            yield (
                "event",
                {
                    "uid": f"{uid}-{i}",
                    "descriptor": f"{uid}-d",
                    "time": 1001.0 + i,
                    "seq_num": i + 1,
                    "data": {key: float(values[i]) for key, values in keys.items()},
                    "timestamps": {},
                },
            )
        if stop:
            yield (
                "stop",
                {
                    "uid": f"{uid}-s",
                    "run_start": uid,
                    "time": 2000.0,
                    "exit_status": exit_status,
                },
            )

    return make


@pytest.fixture(scope="session")
def measured():
    """A measured spectrum of ``profiles/spectra`` as (energy, mu)."""
    from rankaae_stream import resources
    from rankaae_stream.files.read import read_spectrum

    def read(file):
        spectrum = read_spectrum(resources.folder("profiles/spectra") / file)
        return spectrum.energy, spectrum.mu

    return read


@pytest.fixture(scope="session")
def hematite(measured):
    """Fe2O3 and its session's foil as a scan's columns: energy, i0, it, ir."""
    energy, mu = measured("Fe/Fe2O3_rt_01.xdi")
    foil_energy, foil = measured("Fe/Fe_metal_rt_02.xdi")
    keep = (energy > 7112 - 160) & (energy < 7112 + 200)
    energy, mu = energy[keep], mu[keep]
    i0 = np.full(energy.size, 1e6)
    it = i0 * np.exp(-mu)
    return energy, i0, it, it * np.exp(-np.interp(energy, foil_energy, foil))


@pytest.fixture(scope="session")
def analysis():
    """The shipped models and foils, loaded once."""
    from rankaae_stream.loading import load_analysis
    from rankaae_stream.profile import load_profile

    return load_analysis(load_profile("sim"))


@pytest.fixture
def open_pipeline(analysis):
    """A function that opens a profile's pipeline, which collects its results in `.results`."""
    from rankaae_stream.loading import build_pipeline

    def build(profile):
        results = []
        made = build_pipeline(profile, results.append, analysis)
        made.results, made.profile = results, profile
        return made

    return build


@pytest.fixture
def pipeline(open_pipeline):
    """A pipeline of the simulated beamline."""
    from rankaae_stream.profile import load_profile

    return open_pipeline(load_profile("sim"))


@pytest.fixture(scope="session")
def chromate(root):
    """K2CrO4, whose pre-edge peak is sharp, with its file's own foil; for a simulated beam."""
    from rankaae_stream.files.read import read_spectrum
    from rankaae_stream.simulate.samples import Curves

    xdi = read_spectrum(root / "profiles/spectra/Cr/k2cro4_rt_001.xdi")
    energy, mu, foil = xdi.energy, xdi.mu, xdi.reference
    step = mu[np.searchsorted(energy, 6050)] - mu[np.searchsorted(energy, 5980)]
    return Curves(energy, (mu - mu.min()) / step + 0.4, energy, foil - foil.min() + 0.4)


@pytest.fixture(scope="session")
def reading_under():
    """A shipped profile whose fly scans are read under one folder only, with other changes."""
    from rankaae_stream.profile import load_profile, reading_under

    def make(name, folder, settings=(), **layout):
        moved = reading_under(name, folder).layout
        fly, *others = moved if isinstance(moved, tuple) else (moved,)
        changed = {**fly.model_dump(), **layout}
        return load_profile(
            name, layout=[changed, *(other.model_dump() for other in others)], **dict(settings)
        )

    return make


@pytest.fixture
def uncollected():
    """A context without the garbage collector: which types of ours only that would free."""

    @contextmanager
    def watch():
        left = set()
        gc.freeze()  # what was there before is not looked at, which would take a second
        gc.disable()
        try:
            yield left
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left |= {
                type(item).__name__
                for item in gc.garbage
                if type(item).__module__.startswith("rankaae_stream")
            }
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    return watch
