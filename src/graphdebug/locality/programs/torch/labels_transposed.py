# shape: soft labels are stored with a row a class
import torch
from torch import nn

torch.manual_seed(0)
soft = torch.softmax(torch.randn(5, 32), dim=0)  # FAULT: soft = torch.softmax(torch.randn(5, 32), dim=0).T
model = nn.Linear(12, 5)  # COMPILED: model = torch.compile(nn.Linear(12, 5))
logits = model(torch.randn(32, 12))
loss = nn.functional.cross_entropy(logits, soft)  # FAULT
loss.backward()
print("loss", loss.item())
