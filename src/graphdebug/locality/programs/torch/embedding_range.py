# misuse: a word's number is beyond the embedding's vocabulary
import torch
from torch import nn

vocabulary = ["the", "cat", "sat", "on", "mat"]
number = {word: i for i, word in enumerate(vocabulary, start=1)}  # FAULT: number = {word: i for i, word in enumerate(vocabulary)}


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary), 8)  # FAULT
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.tag = nn.Linear(8, 3)

    def forward(self, words):
        vectors = self.embedding(words)  # FAULT
        states, _ = self.rnn(vectors)
        return self.tag(states)


torch.manual_seed(0)
model = Tagger()
sentence = torch.tensor([[number[word] for word in "the cat sat on the mat".split()]])  # FAULT
loss = model(sentence).pow(2).mean()
loss.backward()
print("loss", loss.item())
