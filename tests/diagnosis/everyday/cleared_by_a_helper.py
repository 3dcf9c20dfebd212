import torch
from torch import nn

torch.manual_seed(0)


class Learner:
    def __init__(self, net, rate):
        self.net = net
        self.rule = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)

    def reset(self):
        self.rule.zero_grad()

    def move(self):
        self.rule.step()

    def learn(self, x, y):
        loss = nn.functional.cross_entropy(self.net(x), y)
        loss.backward()
        self.reset()  # <- fault: before backward, or after the step
        self.move()
        return loss.item()


learner = Learner(nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)), 0.05)
x, y = torch.randn(30, 6), torch.randint(0, 3, (30,))
for _ in range(12):
    for rows, kinds in zip(x.split(10), y.split(10), strict=True):
        learner.learn(rows, kinds)
