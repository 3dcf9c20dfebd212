# fine-tuning the head only, and two optimizers of which one starts late
import torch
import torch.nn as nn

torch.manual_seed(0)
body, head = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 3)
warm = torch.optim.SGD(head.parameters(), lr=0.1)
full = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.05)
x = torch.randn(90, 8)
y = torch.randint(0, 3, (90,))
for ep in range(10):
    opt = warm if ep < 50 else full
    loss = nn.functional.cross_entropy(head(body(x)), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(loss.item())
