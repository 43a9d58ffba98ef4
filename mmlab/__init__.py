"""mmlab: a course lab for the sentiment of paired tweet text and image."""

__version__ = "0.1.0"
