"""Trains a small neural network on scikit-learn's handwritten digits, epoch by epoch.

An ordinary program: it prints how well it does, and says how far it is in one line.
"""

import argparse
import os

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from jupyter_tasks import progress


def main() -> None:
    """Train with the options of the command line."""
    options = parse()
    digits = load_digits()
    split = train_test_split(digits.images / 16, digits.target, test_size=0.3, random_state=0)
    train_x, test_x, train_y, test_y = (
        nudged(split[0]),
        flat(split[1]),
        np.tile(split[2], 5),
        split[3],
    )
    net = MLPClassifier(
        hidden_layer_sizes=[options.hidden], learning_rate_init=options.rate, random_state=0
    )
    print(
        f"pid {os.getpid()}: {len(train_x)} digits to learn from, {len(test_x)} to be tested with"
    )
    for epoch in range(1, options.epochs + 1):
        net.partial_fit(train_x, train_y, classes=range(10))
        accuracy = net.score(test_x, test_y)
        print(f"epoch {epoch} of {options.epochs}: loss {net.loss_:.4f}, accuracy {accuracy:.4f}")
        progress(epoch, options.epochs, f"accuracy {accuracy:.3f}")


def flat(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each image as one row."""
    return images.reshape(len(images), -1)


def nudged(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The images, and again moved by one pixel to each side: a digit is one wherever it stands."""
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    return np.concatenate([flat(np.roll(images, move, axis=(1, 2))) for move in moves])


def parse() -> argparse.Namespace:
    """What can be said on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.001, help="learning rate")
    parser.add_argument("--hidden", type=int, default=64, help="size of the hidden layer")
    parser.add_argument("--epochs", type=int, default=350)
    return parser.parse_args()


if __name__ == "__main__":
    main()
