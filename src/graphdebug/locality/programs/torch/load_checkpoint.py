# shape: a checkpoint of 1000 classes is loaded into a network of 10
import io

import torch
from torch import nn


def make(classes):
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, classes))


torch.manual_seed(0)
checkpoint = io.BytesIO()
torch.save(make(1000).state_dict(), checkpoint)
checkpoint.seek(0)
model = make(10)  # FAULT: model = make(1000)
model.load_state_dict(torch.load(checkpoint))  # FAULT
print(model(torch.randn(2, 32)).shape)
