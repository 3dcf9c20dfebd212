# non-finite forward: log(1 + exp(a)) overflows in exp
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(3, 1)


# COMPILED: @torch.compile
def logistic_loss(scores, signs):
    margins = -signs * scores
    return torch.log(1 + torch.exp(margins)).mean()  # FAULT: return nn.functional.softplus(margins).mean()


x = torch.randn(20, 3) * torch.tensor([1.0, 1.0, 500.0])
signs = torch.sign(torch.randn(20, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
for step in range(3):
    loss = logistic_loss(model(x), signs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
