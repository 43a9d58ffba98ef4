"""The report: run folders in; HTML, PDF, figures, tables, metrics.json and prediction files out.

`evidence` reads a results folder, `sections` say what follows from it as the blocks of a `document`, and `html`, `pdf`
and `tables` write it. The words are in `en.yml` and `zh.yml`. Explained in notebook 07.
"""

from mmlab.report.build import BuiltReport, build_report, predict_test, publish, read_runs, rebuild_report, watch_report
from mmlab.report.document import (
    Block,
    Code,
    Document,
    Example,
    Figure,
    Formula,
    Gallery,
    Heading,
    Items,
    Notice,
    Paragraph,
    Table,
)
from mmlab.report.evidence import Compared, Evidence, Gap, Row, differing_answers, judge_predictions, predicted_labels
from mmlab.report.html import to_html
from mmlab.report.pdf import find_browser, write_pdf
from mmlab.report.tables import difference_table, knob_table, score_table, write_tables
from mmlab.report.words import ReportOptions, Say
from mmlab.report.writer import SECTIONS, Section, report_digest, write_document
