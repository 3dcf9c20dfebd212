"""Programs whose sizes stand in a configuration: the line that wrote the size there is the one to name."""

import argparse
from dataclasses import dataclass

import torch
from torch import nn


class Tokens(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)

    def forward(self, ids):
        return self.tokens(ids)


@dataclass
class Configuration:
    width: int = 16
    vocabulary: int = 90  # <- fault


def field_of_a_dataclass():
    Tokens(Configuration())(torch.arange(100))


class Plain:
    def __init__(self, **fields):
        vars(self).update(fields)


def keyword_of_a_configuration():
    config = Plain(
        width=12,
        vocabulary=80,  # <- fault
    )
    Tokens(config)(torch.arange(100))


def key_of_a_dict():
    settings = {"width": 24, "classes": 7}  # <- fault
    head = nn.Linear(settings["width"], settings["classes"])
    nn.functional.cross_entropy(head(torch.randn(8, 24)), torch.arange(8))


def default_of_an_argument():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", type=int, default=70)  # <- fault
    parser.add_argument("--width", type=int, default=8)
    Tokens(parser.parse_args([]))(torch.arange(100))


def size_of_another_layer():
    settings = {"width": 24, "deep": 24}
    nn.Embedding(10, settings["width"])(torch.tensor([3, 10]))  # <- fault
