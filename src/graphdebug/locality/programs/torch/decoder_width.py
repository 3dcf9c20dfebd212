# shape: the decoder is declared for the encoder's width before pooling
import torch
from torch import nn


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64))
        self.pool = nn.MaxPool1d(2)
        self.decode = nn.Sequential(
            nn.Linear(64, 128),  # FAULT: nn.Linear(32, 128),
            nn.ReLU(),
            nn.Linear(128, 784),
        )

    def forward(self, x):
        code = self.pool(self.encode(x))
        return torch.sigmoid(self.decode(code))  # FAULT


torch.manual_seed(0)
model = AutoEncoder()  # COMPILED: model = torch.compile(AutoEncoder())
digits = torch.rand(16, 784)
loss = nn.functional.mse_loss(model(digits), digits)
loss.backward()
print("reconstruction", loss.item())
