# wrong axis: the softmax runs over the batch, and nothing fails
import torch
from torch import nn


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 16)
        self.actions = nn.Linear(16, 3)

    def forward(self, state):
        h = torch.relu(self.body(state))
        return torch.softmax(self.actions(h), dim=0)  # FAULT: return torch.softmax(self.actions(h), dim=1)


torch.manual_seed(0)
policy = Policy()  # COMPILED: policy = torch.compile(Policy())
optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
states, taken = torch.randn(20, 4), torch.randint(0, 3, (20,))
for step in range(3):
    chosen = policy(states)[torch.arange(20), taken]
    loss = -torch.log(chosen).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
