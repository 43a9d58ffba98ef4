"""Encode a course before the first notebook asks for it: `python -m mmlab.workbook.encoding DATA KNOBS NOTE`.

Notebooks that need the features wait for this process, as they wait for each other. It writes how far it is to the file
NOTE, and reports nothing else: what goes wrong here goes wrong again in the notebook that needs the features, and that
one says where.
"""

import json
import os
import sys

from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.features import encode_course
from mmlab.workbook.note import Note


def main(data: str, knobs: str, note: str) -> None:
    config = RunConfig.from_params(json.loads(knobs))
    course = read_course(data, seed=config.seed)
    encoders = config.text_encoder, config.image_encoder
    encode_course(course, *encoders, lambda total, label, unit: Note(note, total), config.precision)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception:
        os._exit(1)
    os._exit(0)  # there is nothing left to tidy up, and it would take half a second
