# dtype: class labels come as floats
import torch
from torch import nn

torch.manual_seed(0)
rows = torch.cat([torch.randn(30, 4), torch.randint(0, 3, (30, 1)).float()], dim=1)  # FAULT
x, y = rows[:, :4], rows[:, 4]  # FAULT: x, y = rows[:, :4], rows[:, 4].long()
model = nn.Linear(4, 3)  # COMPILED: model = torch.compile(nn.Linear(4, 3))
loss = nn.functional.cross_entropy(model(x), y)  # FAULT
loss.backward()
print("loss", loss.item())
