"""Long searches for what breaks the lab: `python -m soak NAME`. Each file with a function `run` is one search."""
