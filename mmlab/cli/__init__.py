"""The command line: the package's functions under names to type."""

from mmlab.cli.app import app, main
