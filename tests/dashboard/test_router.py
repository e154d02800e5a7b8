"""The page as files: what serves them, with which headers, and that they are built from web/."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from rankaae_stream.dashboard import PATH
from rankaae_stream.dashboard.router import STATIC, TYPES
from rankaae_stream.results import compose, compose_series, late, what_if

IMPORTS_ALONE = """
import asyncio, sys
from fastapi import FastAPI
allowed = set(sys.stdlib_module_names) | {"rankaae_stream", *(m.split(".")[0] for m in sys.modules)}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed:
            raise ImportError(f"{name} is not there")

for name in [m for m in sys.modules if m.split(".")[0] in ("numpy", "tiled", "httpx", "bluesky")]:
    del sys.modules[name]
allowed -= {"numpy", "tiled", "httpx", "bluesky"}
sys.meta_path.insert(0, Blocker())
from rankaae_stream.dashboard.router import router

app = FastAPI()
app.include_router(router, prefix="/custom")
sent = []

async def ask(path):
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": [], "http_version": "1.1", "root_path": ""}
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    await app(scope, receive, send)

asyncio.run(ask("/custom/dashboard/"))
print(sent[0]["status"], b"<!doctype html>" in sent[1]["body"])
"""


def lower(headers) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}


@pytest.fixture(scope="module")
def get(server):
    """What the embedded Tiled server answers, as (status, headers, body)."""

    def asked(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(server.uri + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, lower(response.headers), response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, lower(error.headers), error.read()

    return asked


def test_tiled_serves_the_page_under_custom_and_it_is_never_kept(get):
    status, headers, body = get(PATH)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert b"<!doctype html>" in body


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_file_says_its_kind_and_allows_this_server_only(get, name):
    status, headers, _ = get(PATH + name)
    assert status == 200
    assert headers["content-type"] == TYPES[name]
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(maxsplit=1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {policy[key] for key in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("name", sorted(set(TYPES) - {"index.html"}))
def test_a_file_that_the_browser_has_is_not_sent_again(get, name):
    _, headers, body = get(PATH + name)
    assert body == (STATIC / name).read_bytes()
    assert headers["cache-control"] == "no-cache"
    assert get(PATH + name, **{"If-None-Match": headers["etag"]})[0] == 304
    assert get(PATH + name, **{"If-None-Match": f'"x", W/{headers["etag"]}'})[0] == 304
    assert get(PATH + name, **{"If-None-Match": '"of another version"'})[0] == 200


@pytest.mark.parametrize(
    "name", ["other.js", "..%2frouter.py", "%2e%2e/router.py", "web/package.json", "%00"]
)
def test_nothing_else_of_the_disk_is_served(get, name):
    assert get(PATH + name)[0] == 404


def test_the_address_without_its_slash_leads_to_the_page_with_its_query(server):
    with urllib.request.urlopen(f"{server.uri}/custom/dashboard?node=sandbox") as response:
        assert response.url == f"{server.uri}{PATH}?node=sandbox"
        assert b"<!doctype html>" in response.read()


def test_the_router_needs_fastapi_and_nothing_else(root):
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS_ALONE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "200 True", done.stderr


def test_the_page_asks_for_nothing_from_elsewhere():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#|app\.|icon\.)', page)
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert not re.search(r"url\((?!#)|@import", (STATIC / "app.css").read_text())
    addresses = re.findall(r"https?://[^\"'`\s)]+", (STATIC / "app.js").read_text())
    assert addresses == []


@pytest.fixture
def web(root):
    """The page's sources."""
    return root / "rankaae_stream/dashboard/web"


def test_the_lock_file_names_no_registry(web):
    lock = json.loads((web / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/uplot"]["integrity"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_pages_own_tests_pass(web):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    done = subprocess.run(
        ["node", "--test"], cwd=web, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^. tests [1-9]", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize(
    ("name", "constant", "published"),
    [
        ("results", "PURPOSE", compose.PURPOSE),
        ("curves", "WHAT_IF", what_if.PURPOSE),
        ("series", "SERIES_PURPOSE", compose_series.PURPOSE),
        ("late", "LATE_PURPOSE", late.PURPOSE),
    ],
)
def test_the_page_asks_for_the_purpose_that_is_published(web, name, constant, published):
    source = (web / "src" / f"{name}.js").read_text()
    assert re.findall(rf'const {constant} = "(.*)";', source) == [published]


def test_the_committed_page_is_what_its_sources_build(web, tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    copy = tmp_path / "web"
    shutil.copytree(web, copy, ignore=shutil.ignore_patterns("node_modules"))
    fetched = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if fetched.returncode:
        pytest.skip(f"npm ci does not work here: {fetched.stderr[-300:]}")
    subprocess.run(["node", "build.mjs", str(tmp_path / "out")], cwd=copy, check=True)
    built = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert sorted(built) == sorted(committed) == sorted(TYPES)
    for name, content in built.items():
        assert content == committed[name], f"{name}: build it with npm ci && npm run build"
