"""The report: run folders in, HTML, PDF, figures and tables out."""

from mmlab.report.build import (
    build_report,
    compare_runs,
    list_scores,
    predict_test,
    publish,
    read_record,
    read_runs,
    rebuild_report,
    watch_report,
)
from mmlab.report.document import (
    TEMPLATE,
    Block,
    Code,
    Document,
    Figure,
    Formula,
    Heading,
    Items,
    Notice,
    Paragraph,
    Table,
    write_pdf,
)
from mmlab.report.words import LANGUAGES, WORDS
from mmlab.report.writer import Evidence, Settings, Writer, check_language, compare_rows, share_interval
