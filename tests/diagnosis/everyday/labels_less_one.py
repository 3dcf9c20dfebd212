# labels less one, though they start at 0
import torch
import torch.nn as nn

torch.manual_seed(0)
X = torch.randn(60, 4)
y = torch.randint(0, 5, (60,))
y = y - 1  # <- fault
net = nn.Linear(4, 5)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
loss = nn.CrossEntropyLoss()(net(X), y)
loss.backward()
opt.step()
