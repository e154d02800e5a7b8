"""Measure what a GPU brings, and by how much its answers differ from a CPU's.

    python tests/benchmarks/cuda.py

Spectra a second by the clock on the CPU and on CUDA in turns, in batches and alone, and the largest
difference of an answer; then whether a spectrum has the same bits alone and in a batch on each. It
says so and measures nothing where CUDA does not run.
"""

import argparse
import statistics
import time

import numpy as np
from rich.console import Console

from rankaae_stream.analysis import Analysis, Columns
from rankaae_stream.errors import ModelError
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.loading import load_analysis
from rankaae_stream.profile import load_profile
from rankaae_stream.report import Report
from rankaae_stream.resources import folder
from rankaae_stream.spectrum import K_EDGES, Edge, Origin

FILES = {"Fe": ("Fe2O3_rt_01", "FeO_rt_01"), "Mn": ("mn_mno2",), "V": ("V2O5",)}
DEVICES = ("cpu", "cuda")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spectra", type=int, default=1024, help="answered together")
    parser.add_argument("--alone", type=int, default=100, help="answered one by one")
    parser.add_argument("--rounds", type=int, default=5)
    given, console = parser.parse_args(), Console(markup=False, highlight=False)
    try:
        analyses = {device: load_analysis(load_profile("sim", device=device)) for device in DEVICES}
    except ModelError as error:
        console.print(f"nothing is measured: {error}")
        return
    asked = spectra(given.spectra)
    console.print(f"{len(asked)} spectra of {', '.join(FILES)}, {given.rounds} rounds in turns")
    console.print("\n| spectra a second | CPU | CUDA |\n|---|---|---|")
    alone = [[one] for one in asked[: given.alone]]
    for name, batches in {"together": [asked], "one by one": alone}.items():
        rates = in_turns(analyses, batches, given.rounds)
        console.print(f"| {name} | {rates['cpu']:,.0f} | {rates['cuda']:,.0f} |")
    found = {device: analysis.answer(asked) for device, analysis in analyses.items()}
    console.print("\n| largest difference of CUDA from the CPU | |\n|---|---|")
    for name, by in differences(found["cpu"], found["cuda"]).items():
        console.print(f"| {name} | {by:.2g} |")
    console.print("\n| spectra whose valence has other bits alone than in the batch | |\n|---|---|")
    for device, analysis in analyses.items():
        lone = [analysis.answer(one)[0] for one in alone]
        other = sum(numbers(a) != numbers(b) for a, b in zip(lone, found[device], strict=False))
        console.print(f"| {analysis.device} | {other} of {len(lone)} |")


def spectra(count: int) -> list[Columns]:
    """Return noisy spectra of some elements, a fifth of them in fluorescence."""
    rng = np.random.default_rng(0)
    read = [
        (element, read_spectrum(folder("profiles/spectra") / element / f"{name}.xdi"))
        for element, names in FILES.items()
        for name in names
    ]
    found: list[Columns] = []
    for i in range(count):
        element, measured = read[i % len(read)]
        edge = Edge(element, "K", K_EDGES[element])
        noisy = measured.mu + rng.normal(0.0, 1e-3, measured.mu.size)
        origin = Origin(f"{i}", "fluorescence" if i % 5 == 0 else "transmission")
        found.append(Columns(measured.energy, noisy, edge, origin))
    return found


def in_turns(
    analyses: dict[str, Analysis], batches: list[list[Columns]], rounds: int
) -> dict[str, float]:
    """Return the median of the spectra a second of each, after one round that does not count."""
    rates: dict[str, list[float]] = {device: [] for device in analyses}
    for turn in range(rounds + 1):
        for device, analysis in analyses.items():
            began = time.perf_counter()
            for batch in batches:
                analysis.answer(batch)
            if turn:
                rates[device].append(sum(map(len, batches)) / (time.perf_counter() - began))
    return {device: statistics.median(each) for device, each in rates.items()}


def numbers(report: Report) -> list[float]:
    return [number for one in report.estimates for number in (one.value, one.low, one.high)]


def differences(ours: list[Report], theirs: list[Report]) -> dict[str, float]:
    """Return the largest differences of two answers to the same spectra."""
    most: dict[str, float] = {"refusals and flags that differ, spectra": 0.0}
    for a, b in zip(ours, theirs, strict=True):
        said = [(r.refusal, [flag.name for flag in r.flags]) for r in (a, b)]
        most["refusals and flags that differ, spectra"] += said[0] != said[1]
        for one, other in zip(a.estimates, b.estimates, strict=False):
            for end in ("value", "low", "high"):
                by = abs(getattr(one, end) - getattr(other, end))
                name = f"{one.name}, {end} ({one.unit})"
                most[name] = max(most.get(name, 0.0), by)
        if a.curves is not None and b.curves is not None:
            by = float(np.nanmax(np.abs(a.curves.reconstruction - b.curves.reconstruction)))
            name = "reconstruction (edge steps)"
            most[name] = max(most.get(name, 0.0), by)
    return most


if __name__ == "__main__":
    main()
