# misuse: a list of tensors is handed to the tensor constructor instead of stack
import torch
from torch import nn

torch.manual_seed(0)
cell = nn.GRUCell(4, 8)
state = torch.zeros(2, 8)
states = []
for x in torch.randn(5, 2, 4):
    state = cell(x, state)
    states.append(state)
sequence = torch.tensor(states)  # FAULT: sequence = torch.stack(states)
loss = sequence.pow(2).mean()
loss.backward()
print("loss", loss.item())
