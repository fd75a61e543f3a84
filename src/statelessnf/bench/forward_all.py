"""The function that every other is measured against: it reads nothing, keeps nothing, and says FORWARD."""

from typing import Any

import numpy as np

from statelessnf.function import Function
from statelessnf.packet import FORWARD


class ForwardAll(Function):
    name = "forward_all"
    record = np.dtype([("state", "u1")])

    @staticmethod
    def process(packet: Any, record: Any, tables: Any) -> int:
        return FORWARD

    @staticmethod
    def lifetime(record: Any, tables: Any) -> int:
        return 1000
