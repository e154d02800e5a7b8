"""A made-up element whose spectra are steps, and a judge that reads them exactly."""

from types import SimpleNamespace

import numpy as np
import pytest

from rankaae_stream.inference import infer_file, read_foil
from rankaae_stream.model.card import (
    DomainRule,
    ModelCard,
    MonotoneMap,
    Output,
    TheoryShift,
)
from rankaae_stream.report import FoilShift
from rankaae_stream.spectrum import Edge, EnergyGrid, NormalizationRanges, Origin, Spectrum
from training.config import Config
from training.descriptors import DESCRIPTORS
from training.evaluation.on_measured import analysis_of
from training.measured import standards
from training.measured.standards import Standard
from training.simulated.dataset import Simulated

E0 = 7112.0
GRID = EnergyGrid(-12.0, 60.0, 256)
RELATIVE = GRID.relative()


def edge_of(valence):
    """Energy of a made-up compound's step, eV from the tabulated edge."""
    return 4.0 + 3.0 * np.asarray(valence, dtype=float)


def step(valence, energy=RELATIVE):
    """A step of 2 eV at the valence's energy, (n, g)."""
    at = edge_of(valence)[..., None]
    return 0.5 * (1.0 + np.tanh(energy - at))


AS_IT_IS = MonotoneMap(np.array([1.0]), np.array([1.0]))
"""A calibration that changes nothing."""


class StepJudge:
    """Reads the valence from the area below a spectrum, which is linear in it.

    Latent 0 is the step's energy, latent 1 is free and always the same.
    """

    def __init__(self, half: float = 0.3, draws=step, threshold: float = 0.5) -> None:
        valences = np.array([0.0, 8.0])
        maps = (MonotoneMap(edge_of(valences), valences),) * 2
        output = Output(
            "oxidation_state", "e", 0, (0.0, 8.0), maps, 0.9, half, 0.0, AS_IT_IS, "measured"
        )
        self.card = ModelCard(
            id="0" * 64,
            name="steps",
            version="1",
            files={},
            edge=Edge("Fe", "K", E0),
            grid=GRID,
            normalization=NormalizationRanges(),
            theory_shift=TheoryShift(0.0, 0.0, {}),
            members=2,
            latent=2,
            outputs=(output,),
            domain=DomainRule((-8.0, 46.0), ("oxides", "others"), threshold, -12.0, 1.0),
            raw={"data": {"spectra": {"train": 60}}},
        )
        self._draws = draws

    def encode(self, flat):
        """Spectra (n, g) to latents (2, n, 2)."""
        flat = np.asarray(flat, dtype=float)
        area = np.trapezoid(flat, RELATIVE, axis=1)
        latent = np.stack([60.0 - area, np.zeros(len(flat))], axis=1)
        return np.stack([latent, latent])

    def judge(self, aligned):
        """Oxides are steps: what differs from one by 0.05 or more is none."""
        energy = np.arange(-8.0, 46.5)
        off = np.abs(np.asarray(aligned) - 0.5 * (1.0 + np.tanh(energy))).max(axis=1)
        return np.stack([np.zeros(len(off)), 40.0 * (off - 0.05)], axis=1)

    def decode(self, latent):
        """Latents (m, n, 2) to spectra (m, n, g)."""
        return self._draws((np.asarray(latent)[..., 0] - 4.0) / 3.0)


def _standard(
    compound, valence, role="standard", reach=(-200.0, 300.0), file="", flat=None, axis=0.1
):
    energy = E0 + np.arange(*reach, 0.25)
    labels = np.full(len(DESCRIPTORS), np.nan)
    labels[0] = valence
    shape = step(valence, energy - E0) if flat is None else flat(energy - E0)
    name = file or f"{compound}.xdi"
    return Standard(
        file=name,
        compound=compound,
        role=role,
        oxidation_state=valence,
        coordination_number=6.0,
        spectrum=Spectrum(energy, shape, Edge("Fe", "K", E0), Origin(name)),
        foil="foil.xdi",
        shift=FoilShift(0.0, axis, 0.01, "foils/Fe.xdi", 0.0),
        session="",
        labels=labels,
    )


def _simulated(compounds=30, copies=3):
    """Steps of valence 2, 3 and 4, `copies` of each compound, the first of them native."""
    valence = np.repeat(2.0 + np.arange(compounds) % 3, copies)
    axis = np.arange(-24.0, 72.1, 0.25)
    labels = np.full((valence.size, len(DESCRIPTORS)), np.nan)
    labels[:, 0] = valence
    return Simulated(
        energy=axis,
        mu=step(valence, axis),
        first=np.full(valence.size, -12.0),
        last=np.full(valence.size, 70.0),
        labels=labels,
        group=np.repeat([f"M{i}O" for i in range(compounds)], copies),
        sources=(("made-up", "0"),),
        native=np.tile(np.arange(copies) == 0, compounds),
        own_host=np.ones(valence.size, dtype=bool),
        ambiguous=np.zeros(valence.size, dtype=bool),
    )


def _config():
    return Config.model_validate(
        {
            "name": "steps",
            "version": "1",
            "element": "Fe",
            "data": {"simulated": "none", "core_hole_width": 1.0},
            "network": {"descriptors": ["oxidation_state"], "free": 1},
            "calibration": {"copies": 2},
        }
    )


def _inferred(model):
    """What `infer` says of every measured file of a model's element, by file.

    As a person would ask: a foil of the session as --foil, a foil's own scan as its foil.
    """
    analysis = analysis_of(model)
    reports = {}
    for one in standards.load(model.card.edge.element):
        element = model.card.edge.element
        other = one.foil not in ("", standards.CHANNEL)
        foil = read_foil(standards.find_file(one.foil), element) if other else None
        path = standards.find_file(one.file)
        (answer,) = infer_file(path, element, foil=foil, analysis=analysis)
        reports[one.file] = answer.report
    return reports


@pytest.fixture(scope="session")
def inferred():
    """Ask `infer` about every measured file of a model's element."""
    return _inferred


@pytest.fixture
def steps():
    """Everything made up: judge, standards, simulated sites and configuration."""
    return SimpleNamespace(
        judge=StepJudge,
        standard=_standard,
        simulated=_simulated,
        config=_config(),
        step=step,
        relative=RELATIVE,
    )
