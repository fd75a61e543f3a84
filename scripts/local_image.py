"""Makes a Docker image without a registry, for this machine only: local_image.py [NAME], by default `statelessnf`.

Its containers see this installation, read-only (statelessnf/orchestrator/drivers/local_image.py). The Engine is that of
DOCKER_HOST, or the machine's.
"""

import sys

from statelessnf.errors import SnfError
from statelessnf.orchestrator.drivers.local_image import make_local_image

try:
    make_local_image(sys.argv[1] if len(sys.argv) > 1 else "statelessnf")
except SnfError as error:
    sys.exit(error.line())
