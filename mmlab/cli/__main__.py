"""`python -m mmlab.cli`: the same as `mmlab`."""

from mmlab.cli.app import main

main()
