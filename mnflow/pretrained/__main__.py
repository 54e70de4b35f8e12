"""`python -m mnflow.pretrained`: store answers and digests anew after a model was made anew."""

from mnflow.pretrained.shipped import record_digests
from mnflow.pretrained.stored_answers import store
from mnflow.serve.pretrained import pretrained

print(store(pretrained()))
record_digests()
