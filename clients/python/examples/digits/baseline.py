"""How well one recognises handwritten digits without learning anything: a script to submit.

runstream run submit-script -e digits baseline.py --strategy uniform
"""

import argparse

from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import train_test_split

from runstream.core import Run


def main() -> None:
    """Measures one strategy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--strategy", default="most_frequent", choices=("most_frequent", "uniform", "stratified"))
    strategy = parser.parse_args().strategy

    run = Run.get_context()  # the run that this script was submitted as; without one it prints what would be recorded
    run.tag("strategy", strategy)
    images, digits = load_digits(return_X_y=True)
    train_images, test_images, train_digits, test_digits = train_test_split(images, digits, random_state=0)
    model = DummyClassifier(strategy=strategy, random_state=0).fit(train_images, train_digits)
    accuracy = model.score(test_images, test_digits)
    run.log("accuracy", accuracy)
    print(f"{strategy}: {accuracy:.1%} of {len(test_digits)} digits")


if __name__ == "__main__":
    main()
