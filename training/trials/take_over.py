"""Rename folders of trials that were kept under the marks of the version before.

Those marks hashed the source text of training; they name a recipe number now. Delete this
module when `RECIPE` is raised, or when the shipped models were trained anew.
"""

from pathlib import Path

__all__ = ["take_over"]

MARKS = {
    # configs/co-k.toml ... v-k.toml and tiny.toml: networks
    "b5314c293d9d2f9b": "92ee854fb3005fc9",
    "e97d224eac227be8": "b11d7061a073a826",
    "434c02bba1fad43f": "adf8ea7102d2bb42",
    "38bae7bcc436412b": "8094c4e555675656",
    "035216c80ddca39f": "0b797e5cac8d5ab0",
    "4a330b5153e0ed34": "19f2e6ab4dba30f1",
    "de5894335c961898": "735095f369ba53fb",
    "a83b624489171182": "6c4170385cba595f",
    "11569541034f85b5": "e2def4477e4ce6ff",
    # searches, in the same order
    "search-e7cc4cedf46c7e0c": "search-573ff2cc5029277e",
    "search-b861a4fdaec0cc06": "search-8776cc3c968da8e0",
    "search-f14b7e39a15a40bc": "search-d5a2ad696e8633a5",
    "search-04f501a6cdcb9f93": "search-e4e9876c9223fcc0",
    "search-d5fefe9583fc7fe2": "search-85dab58d294d486d",
    "search-71292230fdd178f0": "search-576b8b226c49e559",
    "search-c7bffd646e827324": "search-4989db27b8125727",
    "search-225b75323dc6c872": "search-993d55c467ae0124",
    "search-8a9b5380b51e79fb": "search-333496496ec7f2cb",
}
"""The mark before, computed at commit b86b310, to the mark now."""


def take_over(element: str, runs: Path) -> None:
    """Rename an element's folders that carry a mark of before, unless the new one is there."""
    for folder in sorted(runs.glob(f"{element.lower()}/*")):
        new = folder.with_name(MARKS.get(folder.name, folder.name))
        if not new.exists():
            folder.rename(new)
