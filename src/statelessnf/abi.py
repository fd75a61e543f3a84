"""The C side of a compiled function, for NumPy: `Job` and `Table` of engine/function.hpp (a test compares them)."""

import numpy as np

FUNCTION_ABI = 2  # function_abi in engine/function.hpp

JOB = np.dtype(
    [
        ("packet", "<u8"),  # addresses
        ("before", "<u8"),
        ("after", "<u8"),
        ("lifetime", "<u8"),
        ("verdict", "<u4"),
        ("fault", "<u2"),
        ("changed", "<u2"),
    ],
    align=True,
)

TABLE = np.dtype([("data", "<u8"), ("rows", "<u8")], align=True)
