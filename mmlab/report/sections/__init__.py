"""What the report says: one function per section, `(evidence, say) -> blocks`, and SECTIONS, which lists them in order.

Every number is read from the evidence. A section whose runs are missing returns what it can show, or nothing.
"""

from mmlab.report.sections.registry import GROUPS, SECTIONS, Section
