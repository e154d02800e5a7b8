"""Measure what series tell: mixtures, repeats, advice, damage, speed, beside larch's own.

    python tests/benchmarks/series.py
    python tests/benchmarks/series.py --only repeats advice
    python tests/benchmarks/series.py --operando linio2_first_charge.parquet

Mixtures are of shipped measured compounds, a spectrum per absorbing atom: edge steps are divided
out before they are mixed. Noise is .3 % of the step and each axis is off by .05 eV, where nothing
else is said. larch (the extra `peers`) is asked the same in the same process, or left out.
"""

import argparse
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer
from rankaae_stream.loading import default_analysis
from rankaae_stream.report import Estimate, Report
from rankaae_stream.series.changes import drift
from rankaae_stream.series.mixtures import mix
from rankaae_stream.series.repeats import Repeat, merge
from rankaae_stream.series.resolve import Resolved, resolve
from rankaae_stream.series.stack import Stack, stack
from rankaae_stream.spectra.normalize import normalize
from rankaae_stream.spectrum import K_EDGES, Edge, NormalizationRanges, Origin, Spectrum

SPECTRA = resources.folder("profiles/spectra")
RELATIVE = np.r_[np.arange(-150.0, -20.0, 5.0), np.arange(-20.0, 180.0, 0.6)]
NORMAL = 1.6449
NOISE, JITTER = 0.003, 0.05

PAIRS = {
    "FeO, Fe2O3": ("Fe", "Fe/FeO_rt_01", "Fe/Fe2O3_rt_01", 2.0, 3.0),
    "MnO, MnO2": ("Mn", "Mn/mn_mno", "Mn/mn_mno2", 2.0, 4.0),
    "Cr2O3, K2CrO4": ("Cr", "Cr/cr2o3_rt_001", "Cr/k2cro4_rt_001", 3.0, 6.0),
    "V2O3, V2O5": ("V", "V/V2O3", "V/V2O5", 3.0, 5.0),
    "Fe2O3, Fe metal": ("Fe", "Fe/Fe2O3_rt_01", "Fe/Fe_metal_rt_01", 3.0, 0.0),
    "NiO, Ni metal": ("Ni", "extra/ni_nio", "foils/Ni", 2.0, 0.0),
    "MnO, Mn metal": ("Mn", "Mn/mn_mno", "foils/Mn", 2.0, 0.0),
}


@cache
def compound(element: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Energies and the spectrum of a shipped compound with an edge step of 1."""
    read, e0 = read_spectrum(SPECTRA / f"{name}.xdi"), K_EDGES[element]
    norm = normalize(read.energy, read.mu, e0, NormalizationRanges()).norm
    energy = e0 + RELATIVE
    again = normalize(
        energy, np.interp(energy, read.energy, norm), e0, NormalizationRanges()
    ).edge_step
    return read.energy, norm / again


def curve(element: str, name: str, moved: float = 0.0) -> np.ndarray:
    return np.interp(K_EDGES[element] + RELATIVE + moved, *compound(element, name))


def scan(
    element: str, mu: np.ndarray, rng: np.random.Generator, noise: float, name: str = ""
) -> Report:
    energy = K_EDGES[element] + RELATIVE
    return infer(energy, mu + noise * rng.normal(size=energy.size), element, source=name)


def mixed(pair: str, shares: np.ndarray, seed: int) -> list[Report]:
    element, first, last, _, _ = PAIRS[pair]
    rng, found = np.random.default_rng(seed), []
    for i, share in enumerate(shares):
        moved = JITTER * rng.normal()
        mu = (1.0 - share) * curve(element, first, moved) + share * curve(element, last, moved)
        found.append(scan(element, mu, rng, NOISE, f"s{i}"))
    return found


def repeats(pair: str, number: int, noise: float, seed: int) -> list[Report]:
    """Repeats of the first of two compounds; what is refused is left out."""
    element, first, *_ = PAIRS[pair]
    rng = np.random.default_rng(seed)
    scans = [scan(element, curve(element, first), rng, noise, f"r{i}") for i in range(number)]
    return [one for one in scans if one.refusal is None]


def resolved(scans: Sequence[Report], **options: Any) -> Resolved:
    found = resolve(scans, default_analysis(), **options)
    assert isinstance(found, Resolved)
    return found


def state(report: Report) -> Estimate:
    found = report.estimate("oxidation_state")
    assert found is not None
    return found


def half(one: Estimate) -> float:
    return max(one.high - one.value, one.value - one.low)


# ---- what is measured ------------------------------------------------------------------------


def of_mixtures(sessions: int) -> Table:
    """41 mixtures of two compounds, resolved into their purest spectra, or into given ones."""
    table = _table(
        "41 mixtures of two compounds",
        *("", "ends", "from the line of the ends, e", "from the truth", "a single spectrum"),
        *("held, %", "fractions held, %", "half-width"),
    )
    shares = np.linspace(0.0, 1.0, 41)
    for pair, (element, first, last, low, high) in PAIRS.items():
        truth = low + (high - low) * shares
        for given in (False, True):
            line, off, alone, held, sure, wide = ([] for _ in range(6))
            for seed in range(sessions):
                rng = np.random.default_rng(1000 + seed)
                ends = [
                    scan(element, curve(element, one, JITTER * rng.normal()), rng, NOISE)
                    for one in (first, last)
                ]
                found = resolved(mixed(pair, shares, seed), ends=ends if given else ())
                mixtures = found.mixtures
                if mixtures is None or len(mixtures.ends) != 2:
                    continue
                order = [0, 1] if mixtures.fractions[-1, 1] > 0.5 else [1, 0]
                part, sigma = mixtures.fractions[:, order[1]], mixtures.sigma[:, order[1]]
                values = mixtures.valence
                design = np.column_stack([1.0 - shares, shares])
                ideal = design @ np.linalg.lstsq(design, values, rcond=None)[0]
                line.append(np.abs(values - ideal).max())
                off.append(np.abs(values - truth).max())
                alone.append(np.abs(found.series.valence - truth).max())
                held.append(np.mean(np.abs(values - truth) <= mixtures.half))
                sure.append(np.mean(np.abs(part - shares) <= NORMAL * sigma))
                wide.append(mixtures.half.mean())
            cells = [f"{max(one):.3f}" for one in (line, off, alone)]
            cells += [f"{100 * np.mean(one):.0f}" for one in (held, sure)]
            table.add_row(pair, "given" if given else "found", *cells, f"{np.mean(wide):.2f}")
    return table


def of_operando(path: Path) -> Table:
    """A first charge with a known valence: columns energy, mu, reference, oxidation_state."""
    import pandas as pd

    rows = pd.read_parquet(path)
    scans = [
        infer(*map(np.asarray, (r.energy, r.mu)), "Ni", reference=np.asarray(r.reference))
        for r in rows.itertuples()
    ]
    truth = rows.oxidation_state.to_numpy()
    found = resolved(scans)
    assert found.mixtures is not None
    table = _table(str(path.name), "", "mean error, e", "largest", "held, %")
    for name, values, halves in (
        ("a single spectrum", found.series.valence, found.series.half),
        (f"{found.components} components", found.mixtures.valence, found.mixtures.half),
    ):
        off = np.abs(values - truth)
        table.add_row(
            name, f"{off.mean():.3f}", f"{off.max():.3f}", f"{100 * np.mean(off <= halves):.0f}"
        )
    return table


def of_repeats(sessions: int) -> Table:
    """The noise's part of the interval of a mean of 16, beside a quarter of what one has."""
    table = _table(
        "16 repeats",
        *("", "noise, %", "one scatters by 90 %, e", "said of the mean, times 4"),
        *("ratio", "means scatter, times 4"),
    )
    for pair in ("FeO, Fe2O3", "MnO, MnO2", "Fe2O3, Fe metal", "V2O3, V2O5"):
        for noise in (0.01, 0.03):
            scatter, said, means = [], [], []
            for seed in range(sessions):
                scans = repeats(pair, 16, noise, seed)
                found = resolved(scans)
                if found.merged is None:
                    continue
                one = state(found.merged)
                assert one.shares is not None
                scatter.append(np.var([state(scan).value for scan in scans], ddof=1))
                said.append(one.shares.noise * half(one) ** 2)
                means.append(one.value)
            single, mean = NORMAL * np.sqrt(np.mean(scatter)), 4.0 * np.sqrt(np.mean(said))
            real = 4.0 * NORMAL * np.std(means, ddof=1)
            cells = (f"{single:.4f}", f"{mean:.4f}", f"{mean / single:.2f}", f"{real:.4f}")
            table.add_row(pair.split(",")[0], f"{100 * noise:g}", *cells)
    return table


def of_advice(sessions: int) -> Table:
    """Sessions that go on until the target is reached, beside what was advised before."""
    table = _table(
        "advice on repeats of Fe2O3, sessions that had not reached the target yet",
        *("noise, %", "target, e", "after", "sessions", "within one, %", "within half, %"),
        *("`no number helps`, %", "median advised, needed"),
    )
    for noise, target in ((0.03, 0.187), (0.05, 0.2), (0.07, 0.22)):
        for after in (4, 6):
            pairs = []
            for seed in range(sessions):
                scans = repeats("Fe2O3, Fe metal", 24, noise, seed)
                halves = {}
                for number in range(after, len(scans) + 1):
                    found = resolved(scans[:number], stop_at=target)
                    if found.merged is not None:
                        halves[number] = half(state(found.merged))
                    if number == after:
                        advised = found.advice
                needed = next((n for n, wide in halves.items() if wide <= target), None)
                if needed is not None and needed > after and advised is not None:
                    pairs.append((None if advised.more is None else after + advised.more, needed))
            told = [(a, b) for a, b in pairs if a is not None]
            near = sum(abs(a - b) <= 1 for a, b in told)
            half_off = sum(abs(a - b) <= max(1.0, 0.5 * b) for a, b in told)
            total = max(len(pairs), 1)
            middle = [statistics.median(one) for one in zip(*told, strict=True)] or ["", ""]
            table.add_row(
                f"{100 * noise:g}",
                f"{target:g}",
                str(after),
                str(len(pairs)),
                *(f"{100 * one / total:.0f}" for one in (near, half_off, len(pairs) - len(told))),
                f"{middle[0]}, {middle[1]}",
            )
    return table


def of_damage(sessions: int) -> Table:
    """Sessions of 60 repeats, looked at after each from the fifth on."""
    table = _table("damage", "trend, standard deviations a repeat", "ever called sure, %", "at")
    for trend in (0.0, 0.05, 0.1, 0.2, 0.5):
        rng, found = np.random.default_rng(5), []
        for _ in range(sessions):
            values = rng.normal(size=60) + trend * np.arange(60)
            looks = (drift(values[:n]) for n in range(5, 61))
            found.append(next((n for n, one in enumerate(looks, 5) if one and one.sure), None))
        sure = [n for n in found if n is not None]
        at = f"{statistics.median(sure):g}" if len(sure) > sessions / 2 else ""
        table.add_row(f"{trend:g}", f"{100 * len(sure) / sessions:.1f}", at)
    return table


def of_scale() -> Table:
    """Seconds and memory of `resolve` for many spectra."""
    table = _table("resolve", "spectra", "", "seconds", "more memory, MB")
    for number in (100, 2000, 12_000):
        for kind, last in (("mixtures", 1.0), ("repeats", 0.0)):
            scans = _many(number, last)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            took = _seconds(lambda scans=scans: resolved(scans, stop_at=0.1), 3)
            more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0
            table.add_row(str(number), kind, f"{took:.3f}", f"{more:.0f}")
    return table


def _many(number: int, last: float) -> list[Report]:
    """Reports on mixtures from Fe2O3 to FeO, made of two answers and noise."""
    rng = np.random.default_rng(0)
    ends = [scan("Fe", curve("Fe", name), rng, 0.0) for name in ("Fe/Fe2O3_rt_01", "Fe/FeO_rt_01")]
    a, b = (one.curves for one in ends)
    m, n = (one.measured for one in ends)
    assert a is not None
    assert b is not None
    assert m is not None
    assert n is not None
    found = []
    for share in np.linspace(0.0, last, number):
        moved = JITTER * rng.normal()
        flat = (1.0 - share) * a.flat + share * b.flat
        mu = (1.0 - share) * m.mu + share * n.mu
        flat = np.interp(a.energy + moved, a.energy, flat) + NOISE * rng.normal(size=flat.size)
        mu = np.interp(m.energy + moved, m.energy, mu) + NOISE * rng.normal(size=mu.size)
        one = replace(ends[0], curves=replace(a, flat=flat), measured=replace(m, mu=mu))
        found.append(one)
    return found


def of_peers() -> Table | None:
    """larch's merge_groups and lincombo_fit on the same arrays: time, and error of the answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from larch import Group
            from larch.io import merge_groups
            from larch.math import lincombo_fit
        except ImportError:
            return None
    table = _table("beside larch", "", "ours, ms", "larch, ms", "ratio", "error", "error of larch")

    scans = _shifted(16)
    truth = curve("Fe", "Fe/Fe2O3_rt_01")
    groups = [Group(energy=one.spectrum.energy, mu=one.spectrum.mu) for one in scans]
    ours, theirs = merge(scans), merge_groups(groups)
    took = [_seconds(lambda: merge(scans), 20), _seconds(lambda: merge_groups(groups), 20)]
    axis = K_EDGES["Fe"] + RELATIVE
    errors = [
        _near_edge(axis, np.interp(axis, x, y) - truth)
        for x, y in ((ours.spectrum.energy, ours.spectrum.mu), (theirs.energy, theirs.mu))
    ]
    _row(table, "merge of 16 scans, each on its own axis", took, errors, "of the step, rms")

    shares = np.linspace(0.0, 1.0, 100)
    rng = np.random.default_rng(9)
    names = ("Fe/FeO_rt_01", "Fe/Fe2O3_rt_01")
    ends, _ = stack([scan("Fe", curve("Fe", one), rng, 0.0, one) for one in names])
    series, _ = stack(mixed("FeO, Fe2O3", shares, 3))
    assert ends is not None
    assert series is not None
    parts = [
        Group(energy=series.energy, norm=end, label=name)
        for end, name in zip(ends.flat, names, strict=True)
    ]

    def larch(shift: bool) -> np.ndarray:
        fits = [
            lincombo_fit(Group(energy=series.energy, norm=row), parts, vary_e0=shift)
            for row in series.flat
        ]
        return np.array([fit.weights[names[1]] for fit in fits])

    def fit(stacked: Stack) -> np.ndarray:
        return mix(stacked, ends.flat, names, ends.valence, ends.half).fractions[:, 1]

    for shift in (False, True):
        took = [_seconds(lambda: fit(series), 10), _seconds(lambda s=shift: larch(s), 2)]
        errors = [float(np.std(one - shares)) for one in (fit(series), larch(shift))]
        kind = "with a shift each" if shift else "axes as they are"
        _row(table, f"fractions of 100 mixtures, {kind} in larch", took, errors, "rms")
    return table


def _shifted(number: int) -> list[Repeat]:
    rng, found = np.random.default_rng(4), []
    for i in range(number):
        energy = K_EDGES["Fe"] + RELATIVE + 0.3 * rng.normal()
        mu = np.interp(energy, *compound("Fe", "Fe/Fe2O3_rt_01")) + 0.01 * rng.normal(
            size=energy.size
        )
        edge = Edge("Fe", "K", K_EDGES["Fe"])
        found.append(Repeat(Spectrum(energy, mu, edge, Origin(f"r{i}")), 1.0, 0.01))
    return found


def _near_edge(energy: np.ndarray, off: np.ndarray) -> float:
    near = (energy > K_EDGES["Fe"] - 12.0) & (energy < K_EDGES["Fe"] + 60.0)
    return float(np.sqrt(np.mean(off[near] ** 2)))


# ---- showing it --------------------------------------------------------------------------------


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title)


def _row(table: Table, name: str, took: Sequence[float], errors: Sequence[float], of: str) -> None:
    ours, theirs = took
    table.add_row(
        name,
        f"{1e3 * ours:.2f}",
        f"{1e3 * theirs:.2f}",
        f"{theirs / ours:.0f}",
        f"{errors[0]:.5f} {of}",
        f"{errors[1]:.5f}",
    )


def _seconds(function: Callable[[], Any], times: int) -> float:
    """Median of single calls."""
    each = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        each.append(time.perf_counter() - started)
    return statistics.median(each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parts: dict[str, Callable[[int], Table | None]] = {
        "mixtures": lambda n: of_mixtures(max(n // 10, 2)),
        "repeats": of_repeats,
        "advice": of_advice,
        "damage": lambda n: of_damage(25 * n),
        "scale": lambda _: of_scale(),
        "peers": lambda _: of_peers(),
    }
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument(
        "--operando", type=Path, help="a parquet table of a series, see of_operando"
    )
    chosen = parser.parse_args()
    console = Console(width=150)
    for name in chosen.only:
        table = parts[name](chosen.sessions)
        console.print(table if table is not None else f"{name}: larch is not installed")
    if chosen.operando is not None:
        console.print(of_operando(chosen.operando))


if __name__ == "__main__":
    main()
