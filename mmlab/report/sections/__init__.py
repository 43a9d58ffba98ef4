"""What the report says: one function per section, `(evidence, say) -> blocks`; `writer.SECTIONS` has them in order.

Every number is read from the evidence. A section whose runs are missing returns what it can show, or nothing.
"""
