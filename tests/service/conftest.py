"""What profiles/service ships for those who watch a service."""

import json

import pytest
import yaml


@pytest.fixture(scope="module")
def shipped(root):
    return root / "profiles/service"


@pytest.fixture(scope="module")
def panels(shipped):
    return json.loads((shipped / "dashboard.json").read_text(encoding="utf-8"))["panels"]


@pytest.fixture(scope="module")
def rules(shipped):
    (group,) = yaml.safe_load((shipped / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return group["rules"]
