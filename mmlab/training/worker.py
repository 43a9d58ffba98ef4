"""One of the processes that train the models of a cross-fitting: `python -m mmlab.training.worker FOLDER`."""

import os
import sys
from pathlib import Path

from mmlab.training.parts import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
    os._exit(0)  # there is nothing left to tidy up, and it would take half a second
