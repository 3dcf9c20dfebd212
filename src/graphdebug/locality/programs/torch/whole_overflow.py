# dtype: a running time in microseconds goes beyond int32, and a rate becomes negative
import torch
from torch import nn

torch.manual_seed(0)
seconds = torch.randint(600, 7200, (16,), dtype=torch.int32)
bits = torch.rand(16, 1) * 1e9
model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


# COMPILED: @torch.compile
def rates(amount, duration):
    micros = duration * 1000000  # FAULT: micros = duration.double() * 1000000
    return amount / micros.float().unsqueeze(1)


for step in range(2):
    loss = ((model(rates(bits, seconds)) - 0.5) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
