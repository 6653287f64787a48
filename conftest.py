"""What holds for every test and every notebook cell; see `tests/plugins`."""

from __future__ import annotations

import sys

# jsonschema (nbval → nbformat) would build a grammar of IRIs here: two seconds for each test process.
# It does without where the module is missing; no notebook holds such a field.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

pytest_plugins = [
    "tests.plugins.collection",
    "nbval.plugin",
    "tests.plugins.strict",
    "tests.plugins.marks",
    "tests.plugins.stages",
    "tests.plugins.kernels",
    "tests.plugins.warm_start",
]
