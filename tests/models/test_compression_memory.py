from __future__ import annotations

import numpy as np

from rtlab.models.compression_memory import deflate_memory_bytes, inflate_memory_bytes


def test_deflate_memory_at_its_bounds() -> None:
    np.testing.assert_array_equal(deflate_memory_bytes([9, 15], [1, 8]), [3072, 262_144])
    np.testing.assert_array_equal(inflate_memory_bytes([9, 15]), [512, 32_768])
