"""Prints the run-time requirements of pyproject.toml, one a line: pip cannot install them without the project."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
print("\n".join(project["project"]["dependencies"]))
