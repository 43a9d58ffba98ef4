"""`python -m mmlab.demo FOLDER [SEED]`."""

import sys

from mmlab.demo.recipe import main

sys.exit(main())
