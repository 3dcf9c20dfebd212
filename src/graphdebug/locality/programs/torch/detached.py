# misuse: the loss is computed from class numbers, which have no gradient
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(5, 3)
x, labels = torch.randn(9, 5), torch.randint(0, 3, (9,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    predicted = model(x).argmax(dim=1)  # FAULT: predicted = model(x).max(dim=1).values
    loss = (predicted.float() - labels.float()).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
