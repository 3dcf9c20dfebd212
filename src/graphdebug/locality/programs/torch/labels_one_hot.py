# dtype: one-hot labels of whole numbers are given to a loss that wants class numbers
import torch
from torch import nn

torch.manual_seed(0)
classes = torch.randint(0, 4, (12,))
labels = nn.functional.one_hot(classes, 4)  # FAULT: labels = classes
model = nn.Linear(6, 4)  # COMPILED: model = torch.compile(nn.Linear(6, 4))
criterion = nn.CrossEntropyLoss()
logits = model(torch.randn(12, 6))
loss = criterion(logits, labels)  # FAULT
loss.backward()
print("loss", loss.item())
