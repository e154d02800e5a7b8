"""Write what this version answers on every shipped spectrum, to compare with after a change.

`answers.json` holds values, intervals, shifts, flags and refusals of each spectrum by the
model of its element, the documents that a short session publishes, and the hash of each
profile's settings. A change of structure leaves all of it as it is; a new model, or a rule
that is meant to change a number, makes it anew:

    python tests/goldens/make_answers.py
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rankaae_stream import DescriptorStream, infer
from rankaae_stream.errors import Refused
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.profile import load_profile
from rankaae_stream.spectrum import K_EDGES

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "profiles" / "spectra", ROOT / "training" / "data" / "standards")
SESSION = (("Fe/Fe2O3_rt_01.xdi", True), ("Fe/FeO_rt_01.xdi", False), ("Mn/mn_mn2o3.xdi", False))
"""Files of profiles/spectra that are scanned, and whether a foil stands behind them."""
PROFILES = ("bmm", "generic", "iss", "qas", "sim", "tes")


def main() -> None:
    """Write answers.json."""
    content = json.dumps(
        {"answers": answers(), "published": published(), "hashes": hashes()}, indent=0
    )
    Path(__file__).with_name("answers.json").write_text(content + "\n", encoding="utf-8")


def answers() -> dict[str, Any]:
    """Every shipped spectrum's answer, by file."""
    found: dict[str, Any] = {}
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.xdi")):
            name = f"{path.parent.name}/{path.name}"
            found[name] = answer(path)
    return found


def answer(path: Path) -> dict[str, Any]:
    """One file's answer, as plain values."""
    try:
        found = read_spectrum(path)
    except Refused as refused:
        return {"refusal": refused.name}
    named = found.element or path.stem
    element = path.parent.name if path.parent.name in K_EDGES else named
    report = infer(found.energy, found.mu, element, reference=found.reference)
    return {
        "refusal": report.refusal.name if report.refusal else "",
        "flags": [flag.name for flag in report.flags],
        "shift": report.shifts.calibration if report.shifts else None,
        "distance": report.domain.distance if report.domain else None,
        "estimates": {one.name: [one.value, one.low, one.high] for one in report.estimates},
    }


def published() -> list[list[Any]]:
    """The documents that a session of three scans publishes, as [name, document]."""
    found: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        stream = DescriptorStream(
            "sim",
            sinks=[lambda name, doc: found.append([name, doc])],
            to_tiled=False,
            spool=folder,
            provisional_interval=3600.0,
        )
        for number, (file, foil) in enumerate(SESSION):
            for name, doc in scan(number, file, foil=foil):
                stream(name, doc)
        stream.wait_idle(60.0)
        stream.close()
    plain = json.loads(json.dumps(found, default=lambda value: np.asarray(value).tolist()))
    return [[name, _settled(doc)] for name, doc in plain if name != "event" or _final(doc)]


def _final(event: dict[str, Any]) -> bool:
    return bool(event["data"]["complete"])


def _settled(doc: dict[str, Any]) -> dict[str, Any]:
    """A document without what may differ between two runs of one version."""
    if "seq_num" in doc:  # how many provisional events came before
        doc = {key: value for key, value in doc.items() if key not in ("uid", "seq_num")}
    if "summary" in doc:
        summary = {key: value for key, value in doc["summary"].items() if key != "code_version"}
        doc = doc | {"summary": summary}
    return {key: value for key, value in doc.items() if key not in ("code_version", "num_events")}


def scan(number: int, file: str, *, foil: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents of one step scan over a shipped spectrum, with times of its own."""
    xdi = read_spectrum(FOLDERS[0] / file)
    energy, mu, began = xdi.energy, xdi.mu, 1.8e9 + 600.0 * number
    columns = {"mono-energy": energy, "ic-i0": np.ones_like(energy), "ic-it": np.exp(-mu)}
    if foil:
        library = read_spectrum(FOLDERS[0] / "foils" / f"{file[:2]}.xdi")
        behind = np.interp(energy, library.energy, library.mu)
        columns["ic-ir"] = columns["ic-it"] * np.exp(-behind)
    uid = f"00000000-0000-4000-8000-00000000000{number}"
    key = {"source": "golden", "dtype": "number", "shape": []}
    start = {"uid": uid, "time": began, "element": file[:2], "sample_formula": file[3:]}
    yield "start", start
    descriptor = {"uid": f"{uid}-d", "run_start": uid, "name": "primary", "time": began}
    yield "descriptor", descriptor | {"data_keys": dict.fromkeys(columns, key)}
    for i in range(energy.size):
        yield (
            "event",
            {
                "uid": f"{uid}-{i}",
                "descriptor": f"{uid}-d",
                "seq_num": i + 1,
                "time": began + i,
                "data": {name: float(column[i]) for name, column in columns.items()},
                "timestamps": dict.fromkeys(columns, began + i),
            },
        )
    yield (
        "stop",
        {
            "uid": f"{uid}-s",
            "run_start": uid,
            "time": began + energy.size,
            "exit_status": "success",
        },
    )


def hashes() -> dict[str, str]:
    """Hash of the settings of each shipped profile that can change a number."""
    return {name: load_profile(name).analysis_hash() for name in PROFILES}


if __name__ == "__main__":
    main()
