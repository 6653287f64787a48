from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.server.brokers.bench", "tests.server.brokers.contract")
