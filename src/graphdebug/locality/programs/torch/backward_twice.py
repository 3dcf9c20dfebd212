# misuse: a recurrent state is carried over and backward goes through the last step again
import torch
from torch import nn

torch.manual_seed(0)
cell, readout = nn.RNNCell(3, 6), nn.Linear(6, 1)
optimizer = torch.optim.SGD([*cell.parameters(), *readout.parameters()], lr=0.01)
hidden = torch.zeros(5, 6)
for step in range(3):
    x, y = torch.randn(5, 3), torch.randn(5, 1)
    hidden = cell(x, hidden)  # FAULT: hidden = cell(x, hidden.detach())
    loss = (readout(hidden) - y).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()  # FAULT
    optimizer.step()
    print("step", step, "loss", loss.item())
