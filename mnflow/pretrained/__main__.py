"""`python -m mnflow.pretrained`: store answers, digests and card anew after a model was made and measured."""

from mnflow.pretrained.card import write_card
from mnflow.pretrained.shipped import record_digests
from mnflow.pretrained.stored_answers import store
from mnflow.serve.pretrained import pretrained

print(store(pretrained()))
print(write_card())
record_digests()
