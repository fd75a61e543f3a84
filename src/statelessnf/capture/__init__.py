"""Capture files: pcap and pcapng in (also compressed with zstd), classic pcap out.

Reading streams, holds a bounded piece of the file in memory, and names the offset of what it cannot read.
Writing goes to a temporary file that gets the final name only when it is complete.
"""

from __future__ import annotations

from statelessnf.capture.captured import Captured
from statelessnf.capture.read import CaptureReader
from statelessnf.capture.write import CaptureWriter

__all__ = ["CaptureReader", "CaptureWriter", "Captured"]
