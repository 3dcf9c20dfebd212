# dtype: float64 data from numpy meets float32 weights
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
data = np.random.default_rng(0).normal(size=(50, 4))
inputs = torch.from_numpy(data)  # FAULT: inputs = torch.from_numpy(data).float()
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
model.train()  # COMPILED: model = torch.compile(model)
output = model(inputs)  # FAULT
loss = output.pow(2).mean()
loss.backward()
print("loss", loss.item())
