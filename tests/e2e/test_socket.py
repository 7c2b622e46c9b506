"""A real monitor with everything on, asked over its socket by the commands that people use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.monitor import Monitor, busted
