"""Choice of the false-alarm rate: guaranteed and realized rates on new images.

A detector trains on digits, without any anomaly. For each rate, the threshold is set on digits that
were not used in training, without training again (split conformal prediction: at the rate q the
threshold is the k-th highest of n calibration scores, k = q (n + 1) rounded down). On average over
calibration sets, at most this share of new digits is flagged. A single calibration set gives a rate
above or below.

    python examples/chosen_false_alarm_rate.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from augan import GANDetector

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


def main() -> None:
    digits = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    train, others = train_test_split(digits, train_size=700, random_state=0)
    calibration, new = train_test_split(others, train_size=500, random_state=0)
    corrupted = new[:, ::-1].copy()  # upside down
    corrupted[:, 3:5] = 0  # with a gap in the middle

    trained = GANDetector(steps=400, random_state=0).fit(train)
    print(f"digits: {len(calibration)} calibration, {len(new)} new, {len(new)} corrupted")
    print("rate    new digits flagged    corrupted digits flagged")
    for rate in RATES:
        detector = GANDetector(bundle=trained.bundle_, far=rate).fit(calibration)
        alarms, hits = ((detector.predict(images) == -1).mean() for images in (new, corrupted))
        print(f"{rate:>4.0%}    {alarms:>18.1%}    {hits:>24.1%}")

    # A rate that is too small for the number of calibration images is refused, not rounded.
    try:
        GANDetector(bundle=trained.bundle_, far=0.001).fit(calibration)
    except ValueError as error:
        print(f"0.1%    {error}")


if __name__ == "__main__":
    main()
