"""Drive the page in a browser, and a session that feeds it, as people at a beamline do."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from waiting import PATIENCE

from rankaae_stream.callback import DescriptorStream
from rankaae_stream.dashboard import PATH


class Page:
    """A browser on the page, asked by the page's own ids."""

    def __init__(self, driver: Any, uri: str, folder: Path) -> None:
        self.driver = driver
        self.uri = uri
        self.folder = folder
        self.patience = PATIENCE

    def open(self, query: str = "") -> None:
        self.driver.get(f"{self.uri}{PATH}{query}")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, name: str) -> str:
        """What stands in an element, seen or not."""
        return self.run("return document.getElementById(arguments[0])?.textContent ?? ''", name)

    def shown(self, name: str) -> bool:
        return self.run(
            "return document.getElementById(arguments[0])"
            ".checkVisibility({visibilityProperty: true})",
            name,
        )

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + self.patience
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                self.picture("failed")
                message = f"not within {self.patience:.0f} s: {what}; {self.sample}"
                self.patience = 10.0  # the tests go on from one another: the next may fail, too
                raise AssertionError(message)
            time.sleep(0.05)

    @property
    def sample(self) -> str:
        return f"{self.text('sample')} | {self.text('state')} | {self.text('connection')}"

    def wait_for(self, name: str, part: str) -> str:
        self.wait(lambda: part in self.text(name), f"{name} says {part!r}, not {self.text(name)!r}")
        return self.text(name)

    def set(self, name: str, value: str) -> None:
        """As a person would: the control changes and says so."""
        self.run(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "for (const kind of ['input', 'change'])"
            " e.dispatchEvent(new Event(kind, {bubbles: true}));",
            name,
            value,
        )

    def click(self, name: str) -> None:
        self.run("document.getElementById(arguments[0]).click()", name)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def rows(self) -> list[dict[str, Any]]:
        return self.run(
            "return [...document.querySelectorAll('#rows tr[data-uid]')].map(r => ({uid: "
            "r.dataset.uid, text: r.innerText, outside: r.classList.contains('outside'), "
            "selected: r.getAttribute('aria-selected') === 'true'}))"
        )

    def show(self, sample: str) -> None:
        """Choose a result by its row."""
        self.run(
            "[...document.querySelectorAll('#rows tr[data-uid]')]"
            ".find(r => r.innerText.includes(arguments[0])).click()",
            sample,
        )
        self.wait(lambda: self.text("sample") == sample, f"{sample} is shown")

    def ink(self, plot: str, colour: str = "") -> int:
        """Pixels of a plot that something is drawn on, in one of the page's colours or any."""
        return self.run(
            "const c = document.querySelector(`#${arguments[0]} canvas`);"
            "if (!c) return 0;"
            "const wanted = arguments[1] && getComputedStyle(document.documentElement)"
            ".getPropertyValue(arguments[1]).trim();"
            "const rgb = wanted && [1, 3, 5].map(i => parseInt(wanted.slice(i, i + 2), 16));"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "const like = i => !rgb || rgb.every((v, k) => Math.abs(v - d[i + k]) < 12);"
            "let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 128 && like(i);"
            "return n",
            plot,
            colour,
        )

    @property
    def slider_off(self) -> bool:
        """Whether there is nothing yet that the slider could move the curve by."""
        return self.run("return document.getElementById('what-if-value').disabled")

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone},
        )

    def desk(self) -> None:
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def picture(self, name: str) -> None:
        self.driver.save_screenshot(str(self.folder / f"{name}.png"))


@dataclass
class Session:
    """A session at the beamline: feeds scans to a stream, piece by piece."""

    stream: DescriptorStream
    now: list[float]
    make: Callable[..., Any]
    columns: tuple[Any, ...]
    scans: int = 0

    def begin(self, sample: str, columns: tuple[Any, ...] | None = None, **start: Any) -> Any:
        self.scans += 1
        about = {"sample_name": sample, "scan_id": self.scans, "temperature": 300.0 + self.scans}
        uid = f"page-{self.scans:03d}-0000"
        documents = self.make(*(columns or self.columns), uid=uid, **about | start)
        return iter(documents)

    def feed(self, documents: Any, until: float = np.inf) -> None:
        """Documents up to an energy, with the times that a scan of now has."""
        for name, doc in documents:
            last = name == "event" and doc["data"]["mono-energy"] >= until
            if last:  # which is answered, for the last answer is long ago
                assert self.stream.wait_idle(PATIENCE), self.stream.status()
                self.now[0] += 1.0
            self.stream(name, {**doc, "time": time.time()} if "time" in doc else doc)
            if last:
                break
        assert self.stream.wait_idle(PATIENCE), self.stream.status()

    def begin_to_answer(self, sample: str) -> None:
        """A whole scan, whose result nobody waits for."""
        for name, doc in self.begin(sample):
            self.stream(name, {**doc, "time": time.time()} if "time" in doc else doc)

    def scan(self, sample: str, columns: tuple[Any, ...] | None = None, **start: Any) -> Any:
        """A whole scan; its report."""
        self.feed(self.begin(sample, columns, **start))
        return self.stream.last
