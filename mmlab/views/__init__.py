"""Views: cheap, named features of one side of a pair, beside the vectors of its encoder.

A view is one class in `text.py` or `image.py`; defining it enters its name, by which the knob `views` turns it on. No
view sees a label, so each is computed once, cached like an encoder's vectors, and used for every fold. Explained in
docs/scores.md.
"""

from mmlab.views import image, text
from mmlab.views.view import VIEWS, View, find_views
