import torch
import torch.nn as nn

torch.manual_seed(0)
SETTINGS = {
    "columns": 12,  # <- fault: the table has 13
    "hidden": [32, 16],
    "rate": 0.01,
}


class Regressor(nn.Module):
    def __init__(self, s):
        super().__init__()
        sizes = [s["columns"]] + s["hidden"] + [1]
        self.steps = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))  # noqa: RUF007

    def forward(self, x):
        for step in self.steps[:-1]:
            x = torch.tanh(step(x))
        return self.steps[-1](x)


table = torch.randn(60, 14)
net = Regressor(SETTINGS)
optimizer = torch.optim.Adam(net.parameters(), lr=SETTINGS["rate"])
for rows in table.split(20):
    loss = nn.functional.mse_loss(net(rows[:, :13]), rows[:, 13:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
