# AMP: the optimizer steps by itself on scaled gradients, which overflow
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)  # FAULT
x, y = torch.randn(32, 16), torch.randn(32, 1) * 200
for step in range(3):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        prediction = model(x)
        loss = nn.functional.mse_loss(prediction.float(), y)  # BORN
    scaler.scale(loss).backward()  # FAULT
    optimizer.step()  # FAULT: scaler.step(optimizer); scaler.update()
    print("step", step, "loss", loss.item())
